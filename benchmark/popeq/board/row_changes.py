"""What a second board changes in the rows of a first one."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from popeq.board.entries import Entry, row_of_record
from popeq.board.leaderboard import ALPHA, Leaderboard
from popeq.metrics import HEADLINE
from popeq.plain_text import visible

#: Columns of a row that no row of anybody else may change.
OWN_COLUMNS = (
    *(f"{HEADLINE}_{end}" for end in ("mean", "median", "mean_low", "mean_high")),
    *("shift", "shift_low", "shift_high", "p_value", "skill", "least_shift", "effect_size", "p_wilcoxon"),
    *("coverage", "time_s", "kind", "model", "trust", "flags", "seeds", "parameters"),
    *("kantorovich_mean", "kantorovich_median", "sample_kantorovich_mean", "energy_score_mean"),
)
#: More new rows than this in one submission are for a maintainer to decide.
MOST_NEW_ROWS = 5


def changes(first: Leaderboard, second: Leaderboard) -> tuple[tuple[str, ...], ...]:
    """What a second board changes in the rows of a first one, the ranks among these included; its new rows;
    and the ranks that change because new rows are counted in them."""
    old, new = _by_row(first), _by_row(second)
    changed = [line for row in old for line in _row_changes(old[row], new.get(row))]
    added = [_place(new[row]) for row in new if row not in old]
    if len(added) > MOST_NEW_ROWS:
        changed.append(
            f"{len(added)} new rows at once: all rows are tested together, so they widen every rank"
        )
    ranks = [
        f"{_label(old[row])}: {_rank(old[row])} -> {_rank(new[row])}"
        for row in old
        if row in new and _rank(old[row]) != _rank(new[row])
    ]
    return (*changed, *_separations(first, second, list(old))), tuple(added), tuple(ranks)


@dataclass(frozen=True, eq=False)
class _Row:
    """A row of a board: its entry, its place in the table and its cells."""

    entry: Entry
    place: int
    cells: Mapping[str, object]


def _by_row(board: Leaderboard) -> dict[str, _Row]:
    cells: list[Any] = board.table.to_dict(orient="records")
    return {
        row_of_record(entry.record): _Row(entry, place, cells[place])
        for place, entry in enumerate(board.entries)
    }


def _row_changes(old: _Row, new: _Row | None) -> list[str]:
    """What becomes of a row, a line each."""
    label = _label(old)
    if new is None:
        return [f"{label}: its row is gone"]
    runs = {run.folder.name for run in new.entry.runs} ^ {run.folder.name for run in old.entry.runs}
    if runs:
        names, means = visible(", ".join(sorted(runs)), 200), f"{old.entry.mean:.4f} -> {new.entry.mean:.4f}"
        return [
            f"{label}: {names} would be averaged into it ({means} dB); a card does not prove who sent it, "
            "so ask the owner"
        ]
    found = [f"{label}: would be called {_label(new)}"] if old.entry.label != new.entry.label else []
    return found + [
        f"{label}: {name} {visible(f'{old.cells[name]} -> {new.cells[name]}', 200)}"
        for name in OWN_COLUMNS
        if not _same(old.cells[name], new.cells[name])
    ]


def _separations(first: Leaderboard, second: Leaderboard, rows: Sequence[str]) -> list[str]:
    """Pairs of a first board's rows that differ significantly on one of two boards only: all pairs are tested
    together, so that a new row can change a rank among the others."""
    old, new = _by_row(first), _by_row(second)
    found = []
    for i, a in enumerate(rows):
        for b in rows[i + 1 :]:
            if a not in new or b not in new:
                continue
            was = bool(first.pairs.p[old[a].place, old[b].place] < ALPHA)
            now = bool(second.pairs.p[new[a].place, new[b].place] < ALPHA)
            if was != now:
                how = "differ significantly" if now else "do not differ significantly any more"
                found.append(
                    f"{_label(old[a])} and {_label(old[b])}: {how}, as more rows are tested together; "
                    "a maintainer decides"
                )
    return found


def _same(a: object, b: object) -> bool:
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def _label(row: _Row) -> str:
    return visible(row.entry.label, 100)


def _rank(row: _Row) -> str:
    return f"{row.cells['rank']} to {row.cells['rank_worst']}"


def _place(row: _Row) -> str:
    shift = float(str(row.cells["shift"]))
    return f"{_label(row)}: rank {_rank(row)}, {row.entry.mean:.2f} dB, shift {shift:+.2f} dB"
