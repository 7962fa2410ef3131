"""What every study returns: a table, notes on what it can and cannot show, and a repeatable picture."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from popeq.board.groupings import Group, split_table
from popeq.board.names import cut
from popeq.board.scoring import Scorer
from popeq.drawing import check_picture, save
from popeq.render import html_table
from popeq.statistics import MeanEstimate
from popeq.views import LEAST_OF_GROUP

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


#: Okabe and Ito's colours, which people with any common kind of colour vision can distinguish.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")


@dataclass(frozen=True, eq=False)
class Study:
    """A study's ``table``, its ``notes``, and how to draw it on matplotlib axes."""

    title: str
    table: pd.DataFrame
    notes: tuple[str, ...]
    draw: Callable[[Axes], None] = field(repr=False)
    keys: int = 1

    def _repr_html_(self) -> str:
        """The table and notes, in a notebook."""
        return html_table(self.table, self.notes)

    def picture(self, path: Path) -> None:
        """Write the picture, the same bytes for the same study; .svg or .png.

        Raises
        ------
        UsageError
            If the ending is another one, or the file cannot be written.
        """
        check_picture(path)
        import matplotlib as mpl

        with mpl.rc_context(_style()):
            save(self.figure(), path)

    def figure(self) -> Figure:
        """The picture as a figure of matplotlib."""
        import matplotlib as mpl
        from matplotlib.figure import Figure

        with mpl.rc_context(_style()):
            figure = Figure(figsize=(7.2, 4.4), layout="constrained")
            axes = figure.add_subplot()
            self.draw(axes)
            figure.suptitle(textwrap.fill(self.title, 80), fontsize=11, x=0.01, ha="left")
            axes.set_axisbelow(True)
            handles, labels = axes.get_legend_handles_labels()
            if labels:
                columns = 3 if max(map(len, labels)) <= NAME else 2
                figure.legend(
                    handles, cut(labels, _LEGEND), loc="outside lower left", ncols=columns, fontsize=8
                )
                rows = -(-len(labels) // columns)
                figure.set_figheight(figure.get_figheight() + 0.18 * max(rows - 2, 0))
        return figure


#: Characters of a name in a picture and, in two columns, in its legend.
NAME, _LEGEND = 30, 44


def _style() -> dict[Any, Any]:
    return {
        "text.parse_math": False,  # names are text
        "svg.hashsalt": "popeq",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.edgecolor": "0.6",
        "axes.grid": True,
        "grid.color": "0.92",
        "legend.frameon": False,
    }


def draw_estimates(
    axes: Axes, number: int, at: ArrayLike, estimates: Sequence[MeanEstimate], label: str
) -> None:
    """The line of one method: means at their places with 95 % intervals, in the ``number``-th colour.

    An estimate whose interval has no end is drawn without one.
    """
    reach = np.array([estimate.interval()[1] - estimate.value for estimate in estimates])
    axes.errorbar(
        at,
        [estimate.value for estimate in estimates],
        np.where(np.isfinite(reach), reach, 0.0),
        fmt="o-" if number < len(COLOURS) else "s--",
        color=COLOURS[number % len(COLOURS)],
        capsize=2,
        markersize=4,
        label=label,
    )


def log_axis(axes: Axes, sizes: Sequence[int], text_of: Callable[[int], str] = str) -> None:
    """A logarithmic x axis with a tick at each size, and a number at those that have room for it."""
    axes.set_xscale("log")
    ordered = sorted(set(sizes))
    apart = 0.07 * math.log(ordered[-1] / ordered[0])
    texts, last = [], -math.inf
    for size in ordered:
        room = math.log(size) - last >= apart
        last = math.log(size) if room else last
        texts.append(text_of(size) if room else "")
    axes.set_xticks(ordered, texts)
    axes.minorticks_off()


def name_beside(axes: Axes, places: Sequence[tuple[str, float, float]]) -> None:
    """Write names to the right of the axes, none over another, each with a line to its place (x, y).

    The limits of the axes must be final. The figure becomes higher where it has to.
    """
    size, line_in = 7, 0.135  # points; inches from one name to the next
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.set_figheight(max(figure.get_figheight(), 1.4 + line_in * len(places)))
    low, high = axes.get_ylim()
    gap = line_in / (figure.get_figheight() - 1.4)
    ordered = sorted(places, key=lambda place: place[2])
    heights: list[float] = []
    for _, _, y in ordered:
        heights.append(max((y - low) / (high - low), heights[-1] + gap if heights else 0.0))
    for i in range(len(heights) - 1, -1, -1):  # back inside the axes from above
        above = heights[i + 1] - gap if i + 1 < len(heights) else 1.0
        heights[i] = min(heights[i], above)
    names = cut([name for name, _, _ in ordered], NAME)
    for name, (_, x, y), height in zip(names, ordered, heights, strict=True):
        axes.annotate(
            name,
            (x, y),
            xytext=(1.02, height),
            textcoords="axes fraction",
            fontsize=size,
            color="0.25",
            va="center",
            arrowprops={
                "arrowstyle": "-",
                "color": "0.75",
                "linewidth": 0.6,
                "shrinkB": 3,
                "relpos": (0.0, 0.5),
                "shrinkA": 1,
            },
        )


def name_lines(axes: Axes, values: Mapping[str, float]) -> None:
    """A dotted line at each value (y), with its name beside the axes."""
    for value in values.values():
        axes.axhline(value, color="0.6", linewidth=0.8, linestyle=":")
    right = axes.get_xlim()[1]
    name_beside(axes, [(name, right, value) for name, value in values.items()])


def table_by(
    scorer: Scorer, table_of: Callable[[Group], pd.DataFrame], by: str | None, least: int = LEAST_OF_GROUP
) -> tuple[pd.DataFrame, list[str]]:
    """The table of all prompts, or one split by a grouping with notes on what is left out or too small;
    ``least`` is the number of answers that a prompt of a group of listeners needs."""
    if by:
        return split_table(scorer, by, table_of, least)
    return table_of(Group("all", tuple(range(len(scorer.prompt_ids))))), []


def simulated_note(scorer: Scorer) -> list[str]:
    """A note on what a study of simulated listeners cannot show; none for real ones."""
    if not scorer.dataset.card.simulated:
        return []
    return [
        f"{scorer.dataset.card.label}: SIMULATED listeners; the result describes the generator, not people."
    ]
