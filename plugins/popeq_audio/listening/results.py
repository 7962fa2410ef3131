"""Read what webMUSHRA wrote: mushra.csv or paired_comparison.csv, one row a rating or a choice."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from popeq.errors import InvalidInputError, Problem, UsageError
from popeq_audio.listening.plan import REFERENCE, Condition, Plan, Trial

_MUSHRA = ("trial_id", "rating_stimulus", "rating_score")
_PAIRED = ("trial_id", "choice_reference", "choice_non_reference", "choice_answer")
Rows = Iterator[tuple[int, str, dict[str, str]]]


@dataclass(frozen=True)
class Rating:
    """How well one listener finds that one sound of a trial fits; ``condition`` None is the hidden reference.

    A choice between two sounds is two ratings in a group of their own: 1 and 0, or 0.5 each.
    """

    listener: str
    trial: Trial
    condition: Condition | None
    score: float
    group: str


def read_results(path: Path, plan: Plan) -> list[Rating]:
    """Every rating of the file.

    Raises
    ------
    UsageError
        If it cannot be read, or is no result file of this kind of test.
    InvalidInputError
        With every row that does not belong to the plan, is no rating, or stands twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    needed = _MUSHRA if plan.kind == "mushra" else _PAIRED
    missing = [name for name in needed if name not in header]
    if missing:
        what = "mushra.csv" if plan.kind == "mushra" else "paired_comparison.csv"
        raise UsageError(
            f"{path}: has no column {', '.join(missing)}; give webMUSHRA's {what} of {plan.test_id!r}"
        )
    problems: list[Problem] = []

    def problem(line: int, message: str, column: str | None = None) -> None:
        problems.append(Problem(path.name, message, line, column))

    rows = _rows(reader, header, problem)
    read = _read_mushra if plan.kind == "mushra" else _read_pairs
    ratings = read(rows, plan, problem)
    if not ratings and not problems:
        problem(1, "holds no answers")
    if problems:
        raise InvalidInputError(f"{path} does not belong to this test", problems)
    return ratings


def _rows(reader: Iterator[list[str]], header: list[str], problem: Callable[..., None]) -> Rows:
    """Line, listener and cells of each row. Who a listener is stands between the test's id and the trial's:
    everything that the test asked of him, whatever it was."""
    person = [n for n in header[: header.index("trial_id")] if n not in ("session_test_id", "session_uuid")]
    person = ["session_uuid"] if "session_uuid" in header else person
    for line, cells in enumerate(reader, 2):
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problem(line, f"has {len(cells)} fields where the header has {len(header)}")
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        listener = " ".join(row[name] for name in person if row[name])
        if not listener:
            problem(line, "does not say which listener it is; let the test ask for a name or a number")
            continue
        yield line, listener, row


def _read_mushra(rows: Rows, plan: Plan, problem: Callable[..., None]) -> list[Rating]:
    trials = {trial.trial_id: trial for trial in plan.trials}
    seen: dict[tuple[str, str, str], int] = {}
    ratings = []
    for line, listener, row in rows:
        trial, name = trials.get(row["trial_id"]), row["rating_stimulus"]
        if trial is None:
            problem(line, f"{row['trial_id']!r} is no trial of the plan", "trial_id")
            continue
        condition = trial.condition(name)
        if condition is None and name != REFERENCE:
            problem(line, f"{name!r} is no sound of {trial.trial_id}", "rating_stimulus")
            continue
        try:
            score = float(row["rating_score"])
        except ValueError:
            score = math.nan
        if not 0.0 <= score <= 100.0:
            problem(line, f"{row['rating_score']!r} is not a rating from 0 to 100", "rating_score")
            continue
        first = seen.setdefault((listener, trial.trial_id, name), line)
        if first != line:
            problem(line, f"{listener!r} rates {name} of {trial.trial_id} already in row {first}")
            continue
        ratings.append(Rating(listener, trial, condition, score, trial.trial_id))
    return ratings


def _read_pairs(rows: Rows, plan: Plan, problem: Callable[..., None]) -> list[Rating]:
    pages = {
        f"{trial.trial_id}-{a.name}-{b.name}": (trial, a, b)
        for trial in plan.trials
        for a in trial.conditions
        for b in trial.conditions
    }
    seen: dict[tuple[str, str], int] = {}
    ratings = []
    for line, listener, row in rows:
        if row["trial_id"] not in pages:
            problem(line, f"{row['trial_id']!r} is no page of the plan", "trial_id")
            continue
        trial, a, b = pages[row["trial_id"]]
        answer = row["choice_answer"].casefold().replace("_", "").replace("-", "")
        first_score = {"reference": 1.0, "nonreference": 0.0, "unforced": 0.5}.get(answer)
        if first_score is None:
            problem(
                line, f"{row['choice_answer']!r} is not reference, nonReference or unforced", "choice_answer"
            )
            continue
        first = seen.setdefault((listener, row["trial_id"]), line)
        if first != line:
            problem(line, f"{listener!r} answers {row['trial_id']} already in row {first}")
            continue
        ratings.append(Rating(listener, trial, a, first_score, row["trial_id"]))
        ratings.append(Rating(listener, trial, b, 1.0 - first_score, row["trial_id"]))
    return ratings
