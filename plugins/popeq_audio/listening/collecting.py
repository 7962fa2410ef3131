"""Turn a listening test's answers into a data set: what each listener liked best for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popeq.contract import Prompt
from popeq.dataset import Dataset, DatasetCard
from popeq.dataset_folder import write_dataset
from popeq.errors import UsageError
from popeq_audio.listening.analysis import chosen_settings
from popeq_audio.listening.plan import Plan
from popeq_audio.listening.results import Rating
from popeq_data.importers.assemble import Answer, Pseudonyms, assemble, round_robin

FOLDS = 5


def to_dataset(ratings: Sequence[Rating], plan: Plan, folder: Path, simulated: bool = False) -> Dataset:
    """Write a data set folder with folds; listeners become keyed hashes.

    Raises
    ------
    UsageError
        If there are fewer than two prompts, or the folder is not empty.
    """
    chosen = chosen_settings(ratings)
    prompts = [
        Prompt(t.prompt_id, t.text, "listening test", "fold", t.track)
        for t in plan.trials
        if any(prompt_id == t.prompt_id for prompt_id, _ in chosen)
    ]
    if len(prompts) < 2:
        raise UsageError("the answers are about fewer than two prompts; a data set needs two")
    names = Pseudonyms("")
    answers = [Answer(p, names[listener], _array(point)) for (p, listener), point in chosen.items()]
    card = DatasetCard(
        name=f"{plan.test_id.lower()}-chosen",
        version="1",
        title=f"the best-liked of the settings offered in the listening test {plan.test_id}",
        licence="not said",
        citation="not said",
        simulated=simulated,
        second_panel=None,
    )
    readme = (
        f"# {card.name}\n\nEach listener's setting is the best-liked of the few that the test offered for "
        f"the prompt (prompts of {plan.dataset}), so it has no more points than there were sounds. "
        "Listeners are hashed; the salt was not kept.\n"
    )
    folds = round_robin([p.prompt_id for p in prompts], FOLDS)
    return write_dataset(assemble(card, prompts, folds, answers), folder, readme)


def _array(point: tuple[float, float]) -> NDArray[np.float64]:
    return np.array(point)
