"""Runs verified from Python, by their names: hashes, scores, and, if asked, every sample drawn again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from popeq.activity import counted
from popeq.board.ownership import Rows
from popeq.board.redraw import redraw as draw_again
from popeq.board.scoring import Scorer
from popeq.board.selection import gather
from popeq.board.signed import note_reproduced
from popeq.board.trust import trust_of
from popeq.board.verify import Verification, examine
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_RUNS
from popeq.errors import PopeqError, Problem, SealedError, UsageError
from popeq.lookup import as_dataset, folders_of, installed_dataset, view_named
from popeq.metrics import HEADLINE, SCORES
from popeq.plain_text import visible
from popeq.render import html_table
from popeq.runs.folder import RECORD, Run
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
        By default the one that ``board.json`` names beside the runs, else an installed one of the name that
        a run gives. Where a run says that its data set lies is not looked at. Runs of views of the data set
        are verified with the same views.
    redraw
        Also draw each run again with the code that is installed and compare every sample. What comes out the
        same is listed in ``board.json`` in the folder of runs.
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
    beside = {folder: Rows.read(folder) for folder in folders_of(found)}
    loaded = None if dataset is None else as_dataset(dataset)
    scorers: dict[tuple[str, str], Scorer] = {}

    def scorer_of(run: Run) -> Scorer:
        """One scorer for all runs of a data set and protocol, from what is here and never from where a run
        says that it lies."""
        board = beside[run.folder.parent].board
        name = board.dataset.name if board.dataset else run.record.dataset.name
        protocol = board.protocol or run.record.protocol
        identity = name, protocol.fingerprint
        if identity not in scorers:
            chosen = installed_dataset(name) if loaded is None else view_named(loaded, name)
            board.check(chosen, run.folder.parent)
            scorers[identity] = Scorer(chosen, protocol)
        return scorers[identity]

    notes = [note.text for note in unread]
    # What lies beside a run that is named alone is not asked about.
    folders = {Path(name).absolute() for name in (runs or [runs_dir]) if not isinstance(name, Run)}
    for folder, rows_there in beside.items():
        notes += map(str, rows_there.strays() if folder.absolute() in folders else ())
    rows, ok = [], not notes
    for run in counted(found, "verifying runs", len(found)):
        scorer, seen = _examined(run, scorer_of, beside[run.folder.parent])
        said = [*map(str, seen.problems), *(f"suspicious: {flag}" for flag in seen.flags)]
        row: dict[str, object] = {
            "run": visible(run.folder.name),
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
                row["trust"] = trust_of(run)
            row["reproduced"] = "no" if problem else "yes"
            ok &= not problem
        notes += [f"{run.folder.name}: {line}" for line in said]
        columns = [f"{HEADLINE}_median", *(f"{name}_mean" for name in SCORES)]
        row |= {name: seen.scores.get(name, float("nan")) for name in columns}
        row["predictions_sha256"] = (run.record.predictions_sha256 or "")[:12]
        rows.append(row)
    return VerifiedRuns(pd.DataFrame(rows), tuple(notes), ok)


def _examined(
    run: Run, scorer_of: Callable[[Run], Scorer], beside: Rows
) -> tuple[Scorer | None, Verification]:
    """What is found in a run and in what lies beside it; no scorer if its data set is not here."""
    if taken := beside.problems(run):
        return None, Verification(tuple(taken), trust=trust_of(run))
    try:
        scorer = scorer_of(run)
    except SealedError:
        raise
    except PopeqError as error:
        missing = Problem(RECORD, f"its data set cannot be read: {error}", None, "dataset")
        return None, Verification((missing,), trust=trust_of(run))
    return scorer, examine(run, scorer)
