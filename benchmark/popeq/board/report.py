"""A judgement as Markdown, in which everything from the submission is text in blocks of code."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence

from popeq.board.judge import BoardJudgement, Judgement, RunJudgement
from popeq.plain_text import visible

#: Lines of one block, so that a report fits where reports are shown (1 MiB for the summary of a job).
_MOST_LINES = 400


def report(judgement: Judgement) -> str:
    """What was found, for people; the first line says how it ends."""
    if not judgement.boards:
        return "No published result changes."
    end = (
        "Nothing of anybody else changes."
        if judgement.ok
        else "**Refused, or to be decided by a maintainer**: see the lines that begin with `!`."
    )
    return "\n".join([end, *(line for board in judgement.boards for line in _board(board))])


def _board(board: BoardJudgement) -> Iterator[str]:
    yield from _block("Board", [board.name])
    yield from _block("Runs of the submission", [line for run in board.runs for line in _run(run)])
    yield from _block("Rows of others that change", [f"! {line}" for line in board.changed])
    yield from _block("New rows", [f"+ {line}" for line in board.new])
    yield from _block("Ranks of others with the new rows counted", board.ranks)


def _run(run: RunJudgement) -> Iterator[str]:
    mean = "" if math.isnan(run.mean_db) else f": {run.mean_db:.2f} dB"
    yield f"{'! refused' if run.refused else '+ verified'}: {visible(run.name, 200)}{mean}"
    yield from (f"!   {line}" for line in run.refused)
    yield from (f"?   suspicious: {flag}" for flag in run.flags)


def _block(title: str, lines: Sequence[str]) -> Iterator[str]:
    """A title of ours and lines in a block of code that none of them can end; nothing without lines."""
    if lines:
        shown = [visible(line, 600) for line in lines[:_MOST_LINES]]
        if len(lines) > _MOST_LINES:
            shown.append(f"! {len(lines) - _MOST_LINES} more lines are not shown")
        longest = max((len(run) for line in shown for run in re.findall("`+", line)), default=0)
        fence = "`" * max(3, longest + 1)
        yield from ("", title, "", f"{fence}text", *shown, fence)
