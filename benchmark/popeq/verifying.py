"""Runs verified from Python, by their names: hashes, scores, and, if asked, every sample drawn again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from popeq.board.redraw import redraw as draw_again
from popeq.board.reproduced import note_reproduced
from popeq.board.scoring import Scorer
from popeq.board.selection import gather
from popeq.board.verify import examine
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_RUNS
from popeq.errors import PopeqError, SealedError, UsageError
from popeq.lookup import as_dataset
from popeq.metrics import HEADLINE, SCORES
from popeq.render import html_table
from popeq.runs.folder import Run
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings


@dataclass(frozen=True, eq=False)
class VerifiedRuns:
    """One row a run in ``table`` (scores in dB), what was found in ``notes``; ``ok`` is False if a run does
    not verify or is not reproduced."""

    table: pd.DataFrame
    notes: tuple[str, ...]
    ok: bool

    def _repr_html_(self) -> str:
        """The table and notes, in a notebook."""
        return html_table(self.table, self.notes)


def verify(
    runs: Sequence[Run | str | Path] = (),
    dataset: str | Path | Dataset | None = None,
    *,
    runs_dir: str | Path = DEFAULT_RUNS,
    redraw: bool = False,
    options: Mapping[str, object] | None = None,
    settings: RunSettings = DEFAULT_SETTINGS,
) -> VerifiedRuns:
    """Check all hashes of runs and compute every score again from their predictions.

    Parameters
    ----------
    runs
        Runs, run folders or folders of runs; all of ``runs_dir`` if empty.
    dataset
        By default the one that each run names.
    redraw
        Also draw each run again with the code that is installed and compare every sample. What comes out the
        same is listed in ``reproduced.json`` in the folder of runs.
    options
        Parameters for drawing again in place of the record's, such as where a model's folder lies here.
    settings
        How runs are drawn again.

    Raises
    ------
    UsageError
        If there are no runs, or ``options`` without ``redraw``.
    SealedError
        If the test answers are sealed and not given.
    """
    if options and not redraw:
        raise UsageError("options of predictors are for drawing again: give redraw too")
    found, unread = gather(runs, runs_dir)
    scorers: dict[tuple[object, str], Scorer | None] = {}

    def scorer_of(run: Run) -> Scorer | None:
        """One scorer for all runs of a data set and protocol; None if the data set cannot be read."""
        where = dataset or run.record.dataset.given
        identity = where, run.record.protocol.fingerprint
        if identity not in scorers:
            try:
                scorers[identity] = Scorer(as_dataset(where), run.record.protocol)
            except SealedError:
                raise
            except PopeqError:
                if dataset:
                    raise
                scorers[identity] = None
        return scorers[identity]

    rows, notes, ok = [], [note.text for note in unread], not unread
    for run in found:
        scorer = scorer_of(run)
        seen = examine(run, scorer)
        said = [*map(str, seen.problems), *(f"suspicious: {flag}" for flag in seen.flags)]
        row: dict[str, object] = {
            "run": run.folder.name,
            "predictor": run.record.predictor.name,
            "trust": seen.trust,
            "verified": "no" if seen.problems else "suspicious" if seen.flags else "yes",
        }
        ok &= not seen.problems
        if redraw:
            problem = "it does not verify"
            if not seen.problems and scorer is not None:
                own = {k: v for k, v in (options or {}).items() if k in run.record.predictor.parameters}
                result = draw_again(run, scorer.dataset, own, settings)
                note_reproduced(run, result.entry)
                problem = result.problem
                if problem:
                    said.append(f"not reproduced: {problem}")
                elif result.note:
                    said.append(f"reproduced, although {result.note}")
                row["trust"] = examine(run, scorer).trust if problem else "reproduced"
            row["reproduced"] = "no" if problem else "yes"
            ok &= not problem
        notes += [f"{run.folder.name}: {line}" for line in said]
        columns = [f"{HEADLINE}_median", *(f"{name}_mean" for name in SCORES)]
        row |= {name: seen.scores.get(name, float("nan")) for name in columns}
        row["predictions_sha256"] = (run.record.predictions_sha256 or "")[:12]
        rows.append(row)
    return VerifiedRuns(pd.DataFrame(rows), tuple(notes), ok)
