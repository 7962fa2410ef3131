"""Write the two simulated data set folders, ``data`` and ``panel_b``, the same bytes every time.

``python -m popeq_data.simulated_120.generate [-o DIR]``
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path
from string import Template

import pandas as pd

from popeq.atomic import write_text
from popeq.dataset import PROMPT_COLUMNS, RESPONSE_COLUMNS, Dataset, DatasetCard
from popeq.dataset_folder import write_dataset
from popeq_data.simulated_120.listeners import PANEL_A, PANEL_B, Panel, meanings, settings
from popeq_data.simulated_120.statistics import table
from popeq_data.simulated_120.tables import Sentence, read_sentences

HERE = Path(__file__).parent
CITATION = (
    "popeq, simulated listeners; word means from Cartwright, Pardo: Social-EQ: Crowdsourcing an equalization "
    "descriptor map. ISMIR 2013"
)

CARD_A = DatasetCard(
    name="simulated-120",
    version="1",
    title="120 English prompts, 11 simulated listeners each",
    licence="MIT",
    citation=CITATION,
    simulated=True,
    second_panel="../panel_b",
)
CARD_B = CARD_A.model_copy(
    update={
        "name": "simulated-120-b",
        "title": "The prompts of simulated-120, 11 other simulated listeners of a shifted taste",
        "second_panel": None,
    }
)
FOLDERS = {"data": (CARD_A, PANEL_A), "panel_b": (CARD_B, PANEL_B)}


def panel_dataset(card: DatasetCard, panel: Panel, sentences: Sequence[Sentence]) -> Dataset:
    """The data set of one panel: every listener answers every prompt."""
    prompts = pd.DataFrame(
        [(s.prompt_id, s.text, s.category, s.basis, s.split, None, None, None) for s in sentences],
        columns=list(PROMPT_COLUMNS),
        dtype=object,
    )
    points = settings(meanings(sentences), panel)
    responses = pd.DataFrame(
        [
            (sentence.prompt_id, listener, float(x), float(y))
            for sentence, answers in zip(sentences, points, strict=True)
            for listener, (x, y) in zip(panel.listener_ids, answers, strict=True)
        ],
        columns=list(RESPONSE_COLUMNS),
    )
    return Dataset(card, prompts, responses)


def generate(folder: Path) -> None:
    """Write both data sets below ``folder``, file by file over old ones."""
    sentences = read_sentences()
    for name, (card, panel) in FOLDERS.items():
        template = (HERE / "cards" / f"{card.name}.md").read_text(encoding="utf-8")
        readme = Template(template).substitute(statistics=table().rstrip("\n"))
        with tempfile.TemporaryDirectory() as temporary:
            # Only what the harness's own writer and reader accept reaches the folder.
            fresh = Path(temporary) / name
            write_dataset(panel_dataset(card, panel, sentences), fresh, readme)
            (folder / name).mkdir(parents=True, exist_ok=True)
            for file in sorted(fresh.iterdir()):
                write_text(folder / name / file.name, file.read_text(encoding="utf-8"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate both folders; 0 when they are written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=HERE, help="where (default: in the package)")
    generate(parser.parse_args(arguments).output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
