"""Read what webMUSHRA wrote: mushra.csv or lms.csv, one row a rating."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from popeq.csv_table import Decimal, Table
from popeq.errors import InvalidInputError, UsageError
from popeq.foreign_csv import as_utf8, recognise_decimal, separator_of
from popeq_audio.listening.plan import REFERENCE, STEPS, Condition, Kind, Plan, Trial


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
#: The column that says which test a row is of.
_TEST = "session_test_id"


@dataclass(frozen=True)
class Rating:
    """How well a listener finds that a sound of a trial fits; ``condition`` None is the hidden reference."""

    listener: str
    trial: Trial
    condition: Condition | None
    score: float


@dataclass(frozen=True)
class Results:
    """The ratings of a file, and notes on what was left out of them."""

    ratings: list[Rating]
    notes: list[str]


def read_results(path: Path, plan: Plan, decimal: Decimal | None = None) -> Results:
    """Every rating of the file, which may have passed through a spreadsheet; ``decimal`` is the mark of its
    scores, by default the only one that fits.

    Rows that are there again, equal in every column, were sent twice: they count once, and a note says how
    many they are.

    Raises
    ------
    UsageError
        If it cannot be read, is no result file of this kind of test, or holds results of another plan.
    InvalidInputError
        With every row that does not belong to the plan, is no rating, or rates a sound again with another
        score.
    """
    table, form = Table(path.name), _FORMS[plan.kind]
    needed = (_TEST, "trial_id", form.sound, form.score)
    content = as_utf8(table.read(path, follow=True), str(path))
    table.separator = separator_of(content, needed)
    records = table.records(content, strict=False)
    header = [name.strip() for name in next(records, (1, []))[1]]
    if table.problems:
        raise UsageError(f"{path}: {table.problems[0].message}")
    missing = [name for name in needed if name not in header]
    if missing:
        raise UsageError(
            f"{path}: has no column {', '.join(missing)}; give webMUSHRA's {form.file} of {plan.plan_id!r}"
        )
    every = list(_rows(records, header, table))
    rows = list({tuple(row.values()): (line, who, row) for line, who, row in every}.values())
    _of_this_plan(path, rows, plan)
    recognise_decimal(table, [(line, row[form.score]) for line, _, row in rows], decimal)
    ratings = _ratings(rows, plan, form, table)
    if not ratings and not table.problems:
        table.problem("holds no answers", 1)
    if table.problems:
        raise InvalidInputError(f"{path} does not belong to this test", table.problems)
    again = len(every) - len(rows)
    return Results(ratings, [f"{again} rows were sent twice and count once"] if again else [])


def _of_this_plan(path: Path, rows: Sequence[Row], plan: Plan) -> None:
    """Raises UsageError, one line whatever the number of rows, if some are of another test."""
    foreign = [(line, row[_TEST]) for line, _, row in rows if row[_TEST] != plan.plan_id]
    if foreign:
        line, name = foreign[0]
        raise UsageError(
            f"{path}: {len(foreign)} of {len(rows)} rows are of another test, first {name!r} in row {line}; "
            f"this plan is {plan.plan_id!r}: give the plan of those rows, or a file without them"
        )


def _rows(records: Iterable[tuple[int, list[str]]], header: list[str], table: Table) -> Iterator[Row]:
    """Line, listener and cells of each row. The columns between the test's id and the trial's
    identify the listener: they hold everything that the test asked of that person."""
    person = [n for n in header[: header.index("trial_id")] if n not in (_TEST, "session_uuid")]
    person = ["session_uuid"] if "session_uuid" in header else person
    for line, cells in records:
        if len(cells) != len(header):
            table.problem(f"has {len(cells)} fields where the header has {len(header)}", line)
            continue
        row = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
        listener = " ".join(row[name] for name in person if row[name])
        if listener:
            yield line, listener, row
        else:
            table.problem("does not say which listener it is; let the test ask for a name or a number", line)


def _ratings(rows: Iterable[Row], plan: Plan, form: _Form, table: Table) -> list[Rating]:
    trials = {trial.trial_id: trial for trial in plan.trials}
    ratings = []
    for line, listener, row in rows:
        trial, name = trials.get(row["trial_id"]), row[form.sound]
        if trial is None:
            table.problem(f"{row['trial_id']!r} is no trial of the plan", line, "trial_id")
            continue
        condition, score = trial.condition(name), _number(row[form.score], table.decimal)
        if condition is None and (name != REFERENCE or plan.kind != "mushra"):
            table.problem(f"{name!r} is no sound of {trial.trial_id}", line, form.sound)
        elif not form.low <= score <= form.high:
            what = f"a rating from {form.low:g} to {form.high:g}"
            table.problem(f"{row[form.score]!r} is not {what}", line, form.score)
        else:
            rated = f"a rating of {name} of {trial.trial_id} by {listener!r}"
            table.unique((listener, trial.trial_id, name), line, form.sound, rated)
            ratings.append(Rating(listener, trial, condition, score))
    return ratings


def _number(text: str, decimal: Decimal) -> float:
    try:
        return float(text.replace(",", ".") if decimal == "," and "." not in text else text)
    except ValueError:
        return math.nan
