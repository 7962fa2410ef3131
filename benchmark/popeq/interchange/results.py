"""Scored runs, one by one, with what the formats of others ask about them."""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from popeq.board.differences import mean_score
from popeq.board.entries import Entry, make_entries
from popeq.board.scoring import Scorer
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.lookup import entries_of
from popeq.protocol import Protocol
from popeq.runs.folder import RECORD, Run
from popeq.runs.record import RunRecord
from popeq.statistics import MeanEstimate

_UNPORTABLE = re.compile(r"[^A-Za-z0-9._-]+")
LEVEL = 0.95


@dataclass(frozen=True)
class Origin:
    """What a person says of results and popeq cannot know; each may be None.

    ``organization`` provides the results and stands in ``relationship`` to the makers of the model.
    ``hub_dataset`` is the repository OWNER/NAME of the data set on the Hugging Face hub, ``source_url`` a
    page about the results.
    """

    organization: str | None = None
    relationship: str | None = None
    hub_dataset: str | None = None
    source_url: str | None = None


@dataclass(frozen=True, eq=False)
class Result:
    """One run with its scores; ``label`` is what a board calls its row."""

    run: Run
    label: str
    entry: Entry
    scorer: Scorer

    @property
    def record(self) -> RunRecord:
        return self.run.record

    @property
    def dataset(self) -> Dataset:
        return self.scorer.dataset

    @property
    def model(self) -> str:
        """The name of the model behind the predictor alone; empty if there is none."""
        return str(self.record.predictor.described.get("model") or "")

    @property
    def uuid(self) -> str:
        """A UUID of version 4 form that follows from the run's key: the same run has the same one."""
        digest = hashlib.sha256(f"popeq run {self.record.key}".encode()).digest()
        return str(uuid.UUID(bytes=digest[:16], version=4))

    def mean(self, score: str) -> MeanEstimate:
        """The mean of a score over the test prompts, dB."""
        return mean_score(self.entry.table, score, self.scorer.panels)


def scored_results(
    runs: Sequence[Path],
    dataset: str | Dataset | None,
    protocol: Protocol | None = None,
    *,
    jobs: int = 1,
) -> tuple[list[Result], list[str]]:
    """The runs that a board of these would have, each with its own scores, and a line for each left out.

    Parameters and errors as for ``popeq.leaderboard``.
    """
    scorer, entries, notes = entries_of(runs, dataset, protocol=protocol, jobs=jobs)
    results = []
    for entry in entries:
        for run in entry.runs:
            (own,) = make_entries([run], scorer)
            results.append(Result(run, entry.label, own, scorer))
    return results, [note.text for note in notes]


def check_place(folder: Path) -> None:
    """Raise UsageError if the folder to write into is a run or holds runs: then the last argument is one of
    the runs that were meant, and the folder to write into is missing."""
    found = {"is a run": RECORD, "holds runs": f"*/{RECORD}"}
    for what, file in found.items():
        if any(folder.glob(file)):
            raise UsageError(
                f"DIR is missing: the last argument is where files are written, and {folder} {what}"
            )


def new_place(folder: Path, *names: str) -> Path:
    """A folder below ``folder``, created if it is not there; UsageError if it cannot be."""
    place = folder.joinpath(*names)
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{place}: cannot be created: {error.strerror}") from None
    return place


def portable(text: str) -> str:
    """The text as a name that every file system and repository takes: ASCII letters, digits and ``._-``."""
    return _UNPORTABLE.sub("_", text)[:100].strip("._-") or "unknown"
