"""Write the two simulated data set folders, ``data`` and ``panel_b``, the same bytes every time.

``python -m popeq_data.simulated_120.generate [-o DIR]``
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from string import Template

import pandas as pd

from popeq.atomic import write_text
from popeq.dataset import Dataset
from popeq.dataset_card import PROMPT_COLUMNS, RESPONSE_COLUMNS, DatasetCard
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
    made = {name: panel_dataset(card, panel, sentences) for name, (card, panel) in FOLDERS.items()}
    write_panels(made, folder, HERE / "cards", table())


def write_panels(made: Mapping[str, Dataset], folder: Path, cards: Path, statistics: str) -> None:
    """Write data sets to folders by name, each with its card of ``cards``, in which the Markdown table
    ``statistics`` is filled in."""
    for name, dataset in made.items():
        template = (cards / f"{dataset.name}.md").read_text(encoding="utf-8")
        readme = Template(template).substitute(statistics=statistics.rstrip("\n"))
        with tempfile.TemporaryDirectory() as temporary:
            # Only what the harness's own writer and reader accept reaches the folder.
            fresh = Path(temporary) / name
            write_dataset(dataset, fresh, readme)
            (folder / name).mkdir(parents=True, exist_ok=True)
            for file in sorted(fresh.iterdir()):
                write_text(folder / name / file.name, file.read_text(encoding="utf-8"))


def folder_of(arguments: Sequence[str] | None, about: str | None, default: Path) -> Path:
    """The folder that a command line names with ``-o``."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("-o", "--output", type=Path, default=default, help="where (default: in the package)")
    return Path(parser.parse_args(arguments).output)


def main(arguments: Sequence[str] | None = None) -> int:
    """Generate both folders; 0 when they are written."""
    generate(folder_of(arguments, __doc__, HERE))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
