"""Ceiling: how well a perfect predictor and a fresh panel would score, and with how many listeners."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popeq.board.groupings import Group, check_split
from popeq.board.leaderboard import score_cells
from popeq.board.reference_lines import (
    FRESH,
    LEAST_LISTENERS,
    PANEL_SIZE,
    PERFECT,
    estimated_line,
    reference_lines,
)
from popeq.board.scoring import ReferenceLine, Scorer
from popeq.board.split_half import HALVES, split_half
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.studies.study import COLOURS, Study, log_axis, simulated_note, table_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PANELS = (5, 11, 22, 44, 88)
_SCORES = (HEADLINE, "kantorovich")


def ceiling_study(scorer: Scorer, *, by: str | None = None) -> Study:
    """The reference lines with intervals over prompts and listeners, and where they would lie with panels of
    other sizes.

    Raises
    ------
    UsageError
        If some prompts have fewer than four listeners (there are no two disjoint groups), or the data set has
        no grouping ``by``.
    """
    check_split(scorer.dataset, by)
    fewest = min(len(t.responses) for t in scorer.targets)
    if fewest < LEAST_LISTENERS:
        raise UsageError(
            f"ceiling: {scorer.dataset.name} has prompts with {fewest} listeners; disjoint halves need "
            f"{LEAST_LISTENERS}"
        )
    lines = _lines(scorer)
    curve = {
        panel: estimated_line(scorer, PERFECT, scorer.protocol.n_samples, panel).scores for panel in PANELS
    }
    table, split_notes = table_by(
        scorer, lambda group: _table(_lines_of(group, lines), scorer, group), by, LEAST_LISTENERS
    )
    notes = [
        "Expected scores in dB, lower is better, of what has no row on a board. 95 % intervals, over prompts "
        "and listeners.",
        f"A perfect predictor against panels of {', '.join(map(str, PANELS))}: "
        + ", ".join(f"{np.mean(curve[n][HEADLINE]):.2f}" for n in PANELS)
        + f" dB (mean {HEADLINE}).",
        "The study shows how much lower a score can be; not that a predictor which reads only the sentence "
        "can reach it.",
        *simulated_note(scorer),
        *split_notes,
    ]

    others = [line for line in lines if line.name != PERFECT]

    def draw(axes: Axes) -> None:
        for score, colour in zip(_SCORES, COLOURS, strict=False):
            means = [float(np.mean(curve[n][score])) for n in PANELS]
            axes.plot(PANELS, means, "o-", color=colour, label=f"perfect predictor, {score}")
            for line, marker in zip(others, ("s", "D", "^", "v"), strict=False):
                at = PANEL_SIZE / 2 if line.name == HALVES else PANEL_SIZE
                value = float(np.mean(line.scores[score]))
                label = (
                    f"{line.name} ({'estimated' if line.estimated else 'measured'})"
                    if score == HEADLINE
                    else None
                )
                axes.plot([at], [value], marker, color=colour, label=label)
        log_axis(axes, PANELS)
        axes.set(xlabel="listeners in the panel that is scored against", ylabel="mean score (dB)")
        axes.set_ylim(bottom=0)

    title = f"The best scores that are possible: {scorer.dataset.card.label}"
    return Study(title, table, tuple(notes), draw, keys=2 if by else 1)


def _lines(scorer: Scorer) -> list[ReferenceLine]:
    """All lines of the table."""
    lines = reference_lines(scorer)
    if not any(line.estimated and line.name == FRESH for line in lines):
        lines.append(estimated_line(scorer, FRESH, PANEL_SIZE))
    return [*lines, split_half(scorer)]


def _lines_of(group: Group, lines: list[ReferenceLine]) -> list[ReferenceLine]:
    """The lines of a group, which are other ones where the listeners are."""
    return _lines(group.of_listeners) if group.of_listeners else [line.take(group.keep) for line in lines]


def _table(lines: list[ReferenceLine], scorer: Scorer, group: Group) -> pd.DataFrame:
    panels = group.scorer(scorer).panels
    rows = [
        {"line": line.name, "prompts": len(group.keep)}
        | score_cells(line, panels, medians=False)
        | {"how": line.how}
        for line in lines
    ]
    return pd.DataFrame(rows)
