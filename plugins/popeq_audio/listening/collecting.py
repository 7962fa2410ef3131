"""Turn a listening test's answers into a data set: what each listener liked best for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from popeq.dataset import Dataset, DatasetCard
from popeq.dataset_folder import write_dataset
from popeq.errors import UsageError
from popeq_audio.listening.analysis import chosen_settings
from popeq_audio.listening.plan import Plan
from popeq_audio.listening.results import Rating
from popeq_data.importers.assemble import Pseudonyms, Question, assemble, round_robin

FOLDS = 5


def to_dataset(ratings: Sequence[Rating], plan: Plan, folder: Path, simulated: bool | None = None) -> Dataset:
    """Write a data set folder with folds; listeners become keyed hashes.

    ``simulated`` says whether the answers are simulated; by default they are if the plan's listeners are.
    Prompts for which the test offered fewer than two settings are left out: nobody could choose.

    Raises
    ------
    UsageError
        If fewer than two prompts are left, or the folder is not empty.
    """
    offered = plan.offered
    chosen = {key: at for key, at in chosen_settings(ratings).items() if len(offered[key[0]]) >= 2}
    answered = {prompt_id for prompt_id, _ in chosen}
    folds = round_robin(answered, FOLDS)
    questions = {
        t.prompt_id: Question(t.prompt_id, t.text, "listening test", folds[t.prompt_id], t.track)
        for t in plan.trials
        if t.prompt_id in answered
    }
    if len(questions) < 2:
        raise UsageError(
            f"no data set can be made: {len(questions)} prompt(s) have answers and two or more settings to "
            "choose from besides reference and anchor; a data set needs two: export with more RUNs or --at"
        )
    names = Pseudonyms("")
    answers = [(prompt_id, names[listener]) for prompt_id, listener in chosen]
    source = f"{plan.dataset} (simulated)" if plan.simulated else plan.dataset
    card = DatasetCard(
        name=f"{plan.test_id.lower()}-chosen",
        version="1",
        title=f"the best-liked of the settings offered in listening test {plan.plan_id}, made from {source}",
        licence="not said",
        citation="not said",
        simulated=plan.simulated if simulated is None else simulated,
    )
    readme = (
        f"# {card.label}\n\nEach listener's setting is the best-liked of the few that the test "
        f"{plan.plan_id} offered for the prompt (prompts of {source}), so it has no more points than there "
        "were settings. The hidden reference and the anchor are no answers. Listeners are hashed; the salt "
        f"was not kept.\n\n{'**Simulated**: no real listener.' if card.simulated else 'Real listeners.'}\n"
    )
    dataset = assemble(card, list(questions.values()), answers, list(chosen.values()))
    return write_dataset(dataset, folder, readme)
