"""Read what webMUSHRA wrote: mushra.csv or lms.csv, one row a rating."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from popeq.errors import InvalidInputError, Problem, UsageError
from popeq_audio.listening.plan import REFERENCE, STEPS, Condition, Plan, Trial
from popeq_audio.listening.settings import Kind


@dataclass(frozen=True)
class _Form:
    """A result file: its name, the columns of sound and score, and the scores there are."""

    file: str
    sound: str
    score: str
    low: float
    high: float


_FORMS: dict[Kind, _Form] = {
    "mushra": _Form("mushra.csv", "rating_stimulus", "rating_score", 0.0, 100.0),
    "preference": _Form("lms.csv", "stimuli", "stimuli_rating", 1.0, float(STEPS)),
}
Row = tuple[int, str, dict[str, str]]
Rows = Iterator[Row]
#: The column that says which test a row is of.
_TEST = "session_test_id"


@dataclass(frozen=True)
class Rating:
    """How well a listener finds that a sound of a trial fits; ``condition`` None is the hidden reference."""

    listener: str
    trial: Trial
    condition: Condition | None
    score: float


def read_results(path: Path, plan: Plan) -> list[Rating]:
    """Every rating of the file.

    Raises
    ------
    UsageError
        If it cannot be read, is no result file of this kind of test, or holds results of another plan.
    InvalidInputError
        With every row that does not belong to the plan, is no rating, or is there twice.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: byte {error.start} is not UTF-8") from None
    reader = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(reader, [])]
    form = _FORMS[plan.kind]
    missing = [name for name in (_TEST, "trial_id", form.sound, form.score) if name not in header]
    if missing:
        raise UsageError(
            f"{path}: has no column {', '.join(missing)}; give webMUSHRA's {form.file} of {plan.plan_id!r}"
        )
    problems: list[Problem] = []

    def problem(line: int, message: str, column: str | None = None) -> None:
        problems.append(Problem(path.name, message, line, column))

    rows = list(_rows(reader, header, problem))
    _of_this_plan(path, rows, plan)
    ratings = _ratings(iter(rows), plan, form, problem)
    if not ratings and not problems:
        problem(1, "holds no answers")
    if problems:
        raise InvalidInputError(f"{path} does not belong to this test", problems)
    return ratings


def _of_this_plan(path: Path, rows: Sequence[Row], plan: Plan) -> None:
    """Raises UsageError, one line whatever the number of rows, if some are of another test."""
    foreign = [(line, row[_TEST]) for line, _, row in rows if row[_TEST] != plan.plan_id]
    if foreign:
        line, name = foreign[0]
        raise UsageError(
            f"{path}: {len(foreign)} of {len(rows)} rows are of another test, first {name!r} in row {line}; "
            f"this plan is {plan.plan_id!r}: give the plan of those rows, or a file without them"
        )


def _rows(reader: Iterator[list[str]], header: list[str], problem: Callable[..., None]) -> Rows:
    """Line, listener and cells of each row. The columns between the test's id and the trial's
    identify the listener: they hold everything that the test asked of that person."""
    person = [n for n in header[: header.index("trial_id")] if n not in (_TEST, "session_uuid")]
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


def _ratings(rows: Rows, plan: Plan, form: _Form, problem: Callable[..., None]) -> list[Rating]:
    trials = {trial.trial_id: trial for trial in plan.trials}
    seen: dict[tuple[str, str, str], int] = {}
    ratings = []
    for line, listener, row in rows:
        trial, name = trials.get(row["trial_id"]), row[form.sound]
        if trial is None:
            problem(line, f"{row['trial_id']!r} is no trial of the plan", "trial_id")
            continue
        condition = trial.condition(name)
        if condition is None and (name != REFERENCE or plan.kind != "mushra"):
            problem(line, f"{name!r} is no sound of {trial.trial_id}", form.sound)
            continue
        try:
            score = float(row[form.score])
        except ValueError:
            score = math.nan
        if not form.low <= score <= form.high:
            what = f"a rating from {form.low:g} to {form.high:g}"
            problem(line, f"{row[form.score]!r} is not {what}", form.score)
            continue
        first = seen.setdefault((listener, trial.trial_id, name), line)
        if first != line:
            problem(line, f"{listener!r} rates {name} of {trial.trial_id} already in row {first}")
            continue
        ratings.append(Rating(listener, trial, condition, score))
    return ratings
