"""Write the two data set folders of simulated-1200, ``data`` and ``panel_b``, the same bytes every time.

``python -m popeq_data.simulated_1200.generate [-o DIR]``
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from popeq.dataset import Dataset
from popeq.dataset_card import PROMPT_COLUMNS, RESPONSE_COLUMNS, DatasetCard
from popeq_data.simulated_120.generate import CITATION, folder_of, write_panels
from popeq_data.simulated_1200.people import Panels, meant, panels, settings
from popeq_data.simulated_1200.statistics import table
from popeq_data.simulated_1200.tables import Sentence, read_sentences

HERE = Path(__file__).parent
GROUPINGS = ("seen", "wording")

CARD_A = DatasetCard(
    name="simulated-1200",
    version="1",
    title="1,200 English prompts, 11 of 400 simulated listeners each",
    licence="MIT",
    citation=CITATION,
    simulated=True,
    groupings=GROUPINGS,
    second_panel="../panel_b",
)
CARD_B = CARD_A.model_copy(
    update={
        "name": "simulated-1200-b",
        "title": "The prompts of simulated-1200, 11 others of the same 400 simulated listeners each",
        "second_panel": None,
    }
)


def panel_dataset(card: DatasetCard, panel: Panels, sentences: Sequence[Sentence]) -> Dataset:
    """The data set of one panel."""
    prompts = pd.DataFrame(
        [
            (s.prompt_id, s.text, s.concept.category, s.concept.basis, s.split, None, None, None)
            + (s.seen if s.split != "train" else None, s.wording)
            for s in sentences
        ],
        columns=[*PROMPT_COLUMNS, *GROUPINGS],
        dtype=object,
    )
    points = settings([meant(s) for s in sentences], panel)
    responses = pd.DataFrame(
        [
            (s.prompt_id, listener, x, y)
            for s, own in zip(sentences, points.tolist(), strict=True)
            for listener, (x, y) in zip(panel[s.prompt_id], own, strict=True)
        ],
        columns=list(RESPONSE_COLUMNS),
    )
    return Dataset(card, prompts, responses)


def generate(folder: Path) -> None:
    """Write both data sets below ``folder``, file by file over old ones."""
    sentences = read_sentences()
    first, second = panels(sentences)
    made = {
        "data": panel_dataset(CARD_A, first, sentences),
        "panel_b": panel_dataset(CARD_B, second, sentences),
    }
    write_panels(made, folder, HERE / "cards", table())


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate both folders; 0 when they are written."""
    generate(folder_of(arguments, __doc__, HERE))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
