"""A board as one narrow block: ranks, methods, means, shifts, a verdict in a word, and what it shows."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from popeq.board.leaderboard import Leaderboard
from popeq.board.names import cut, full_names, row_names
from popeq.board.people import seen_answers
from popeq.board.reference_lines import REFERENCE
from popeq.board.scoring import Scorer
from popeq.metrics import HEADLINE
from popeq.plain_text import visible
from popeq.render import render
from popeq.statistics import LEAST_PROMPTS

WIDTH = 100
#: A difference of this share of the mean that rows are compared with is none that matters.
LEVEL = 0.05
_MEAN, _LOW, _HIGH = f"{HEADLINE}_mean", f"{HEADLINE}_mean_low", f"{HEADLINE}_mean_high"
_LEAST_NAME, _GROUP = 9, 12


def verdict(low: float, high: float, level_db: float) -> str:
    """A shift's 95 % interval (dB, negative is better) in a word.

    ``ahead`` and ``behind``: it lies on one side of 0, which is p < 0.05; ``level``: it holds 0 and lies
    within ``level_db`` of it; ``unclear``: neither. Empty if there is no interval, or if it has no ends,
    because nothing is concluded from so few prompts.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return ""
    if high < 0.0:
        return "ahead"
    if low > 0.0:
        return "behind"
    return "level" if -level_db <= low and high <= level_db else "unclear"


def glance(board: Leaderboard, scorer: Scorer, by: str | None = None) -> str:
    """The block as text, at most WIDTH columns and, but for ``by``, rows + 12 lines.

    ``board`` may be split by a grouping (``groupings.split_board``), which is then ``by``.
    """
    tables = [board.table] if by is None else [t for _, t in board.table.groupby(by, sort=False)]
    margins = [_level_db(table, board.compared_with) for table in tables]
    words = [_verdicts(table, margin) for table, margin in zip(tables, margins, strict=True)]
    frames = [_frame(table, own) for table, own in zip(tables, words, strict=True)]
    frame = pd.concat(frames, ignore_index=True)
    if by is not None:
        groups = cut([visible(str(group)) for group in board.table[by]], _GROUP)
        frame.insert(0, by if len(by) <= _GROUP else "group", groups)
    room = WIDTH - sum(_width(frame, name) + 2 for name in frame.columns) - 2
    frame = _with_names(frame, board, room)
    level = f"{margins[0]:.2f}" if by is None else f"{100 * LEVEL:.0f} % of the mean of {_compared(board)}"
    block = render(frame, "text", keys=len(frame.columns))
    notes = _legend(board, scorer, level)
    if by is None:
        own = [] if scorer.panels.prompts < LEAST_PROMPTS else [_outcome(board, words[0])]
        used = len([*block.split("\n"), "", *_wrapped([*notes, *own])])
        spare = len(board.entries) + 12 - used
        notes += [_rest(board, spare), *own]
    else:
        notes += [*(note.text for note in board.remarks if note.kind == "group"), _rest(board, 2)]
    return "\n".join([block, "", *_wrapped(notes)])


def _wrapped(notes: Sequence[str]) -> list[str]:
    return [line for text in notes for line in textwrap.wrap(visible(text), WIDTH)]


def _level_db(table: pd.DataFrame, compared_with: str | None) -> float:
    """How far from 0 an interval may reach and be called level, dB."""
    base = f"[{REFERENCE}]" if compared_with is None else compared_with
    (mean,) = table[table["predictor"] == base][:1][_MEAN].to_numpy(dtype=np.float64).tolist()
    return LEVEL * float(mean)


def _verdicts(table: pd.DataFrame, level_db: float) -> list[str]:
    ends = table[["shift_low", "shift_high"]].to_numpy(dtype=np.float64).tolist()
    return [verdict(low, high, level_db) for low, high in ends]


def _frame(table: pd.DataFrame, words: Sequence[str]) -> pd.DataFrame:
    """The cells but for the names, as text of equal widths in a column."""
    marked = [f"{word} !".lstrip() if flag else word for word, flag in zip(words, _flags(table), strict=True)]
    columns = ("shift", "shift_high", _MEAN, _HIGH)
    shift, shift_high, mean, high = (table[name].to_numpy(dtype=np.float64).tolist() for name in columns)
    apart = [word in ("ahead", "behind") for word in words]
    shifts = [_with_reach(*each) for each in zip(shift, shift_high, apart, strict=True)]
    means = [_with_reach(*each) for each in zip(mean, high, strict=True)]
    ranks = [
        "" if pd.isna(first) else f"{first}" if first == last else f"{first}-{last}"
        for first, last in zip(table["rank"], table["rank_worst"], strict=True)
    ]
    medians = ["" if np.isnan(m) else f"{m:.2f}" for m in table[f"{HEADLINE}_median"]]
    cells = {
        "rank": ranks,
        "mean, 95 %": means,
        "shift, 95 %": shifts,
        "verdict": marked,
        "median": _right(medians, len("median")),
    }
    return pd.DataFrame(cells)


def _flags(table: pd.DataFrame) -> list[bool]:
    return [isinstance(flag, str) and bool(flag) for flag in table["flags"]]


def _with_reach(value: float, high: float, apart: bool | None = None) -> str:
    """A number with half the width of its interval, if that has ends; ``apart`` says whether the interval
    holds 0, which the decimals must show."""
    if math.isnan(value):
        return ""
    reach = high - value
    if not math.isfinite(reach):
        return f"{round(value, 2) + 0.0:5.2f}"
    digits = 2
    while apart is not None and digits < 6 and (abs(round(value, digits)) > round(reach, digits)) != apart:
        digits += 1
    shown = f"{round(value, digits) + 0.0:.{digits}f}"
    before, _, decimals = shown.partition(".")
    return f"{before:>2}.{decimals} ± {reach:.{digits}f}"


def _right(cells: Sequence[str], least: int) -> list[str]:
    width = max([least, *map(len, cells)])
    return [cell.rjust(width) for cell in cells]


def _width(frame: pd.DataFrame, name: str) -> int:
    return max(len(name), *map(len, frame[name]))


def _with_names(frame: pd.DataFrame, board: Leaderboard, room: int) -> pd.DataFrame:
    """The frame with methods and models, which together take ``room`` characters."""
    labels = list(board.table["predictor"])
    lines = [label for label in labels if label.startswith("[")]
    whole = row_names(board.entries, 10_000, 10_000)
    method = max(map(len, [*lines, *(m for m, _ in whole)]))
    model = max((len(m) for _, m in whole), default=0)
    method = min(method, max([_LEAST_NAME, *map(len, lines), room - min(model, 2 * room // 5)]))
    model = min(model, max(_LEAST_NAME, room - method))
    short = row_names(board.entries, method, model)
    by_label = {entry.label: names for entry, names in zip(board.entries, short, strict=True)}
    found = [by_label.get(label, (label, "")) for label in labels]
    at = list(frame.columns).index("rank") + 1
    frame.insert(at, "method", [m for m, _ in found])
    if model:
        frame.insert(at + 1, "model", [m for _, m in found])
    return frame


def _legend(board: Leaderboard, scorer: Scorer, level: str) -> list[str]:
    """What the numbers are of, and what the columns mean; a line each."""
    panels = scorer.panels
    tested, seen = seen_answers(scorer.dataset, scorer.prompt_ids)
    known = "" if not seen else f" ({'all' if seen == tested else 'in part'} seen in training)"
    people = f"{panels.people} {'SIMULATED ' * scorer.dataset.card.simulated}listeners{known}"
    few = f" (nothing is concluded with fewer than {LEAST_PROMPTS})" * (panels.prompts < LEAST_PROMPTS)
    of = f": {panels.prompts} prompts{few}, {people}; dB, lower is better."
    return [
        _fitting(scorer.dataset.card.name, WIDTH - len(of)) + of,
        f"shift: from {_compared(board)}. ahead, behind: its 95 % interval is on one side of 0;",
        f"level: it holds 0 and is inside ± {level}; unclear: neither. "
        "Each row by itself; ranks hold for all.",
    ]


def _compared(board: Leaderboard) -> str:
    """What shifts are against, shortly."""
    return f"the {REFERENCE}" if board.compared_with is None else _fitting(board.compared_with, 24)


def _fitting(text: str, width: int) -> str:
    (short,) = cut([visible(text)], width)
    return short


def _outcome(board: Leaderboard, words: Sequence[str]) -> str:
    """One sentence, in one line: which rows are ahead, and how many are level, behind or unclear."""
    names = full_names(board.entries)
    ahead = [name for name, word in zip(names, words, strict=False) if word == "ahead"]  # lines are last
    others = [f"{words.count(word)} {word}" for word in ("level", "unclear", "behind") if word in words]
    end = f"; {', '.join(others)}." if others else "."
    if not ahead:
        return f"No method is ahead of {_compared(board)}{end}"
    who = ["all" if len(ahead) == len(names) > 1 else f"{len(ahead)} of {len(names)} methods"]
    for named in range(1, len(ahead) + 1):
        more = len(ahead) - named
        who.append(", ".join(ahead[:named]) + (f" and {more} more" if more else ""))
    texts = [f"Ahead of {_compared(board)}: {some}{end}" for some in who]
    return [text for text in texts if len(text) <= WIDTH or text == texts[0]][-1]


def _rest(board: Leaderboard, most_lines: int) -> str:
    """That there is more: how many warnings and runs that were left out, and the first if it is whole in so
    many lines."""
    kinds: Mapping[str, str] = {"warning": "warning", "left out": "left out"}
    own = [n for n in board.remarks if n.kind in kinds and not n.text.startswith("SIMULATED")]
    if not own:
        return "More columns and notes: --wide"
    first = min(own, key=lambda n: (not n.text.startswith("suspicious"), n.kind != "left out"))
    begin = f"More columns, {len(own)} warning{'s' * (len(own) > 1)}: --wide."
    whole = f"{begin} {first.text}"
    return whole if len(_wrapped([whole])) <= most_lines else begin
