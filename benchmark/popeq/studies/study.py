"""What every study returns: a table, notes on what it can and cannot show, and a repeatable picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from popeq.board.groupings import Group, split_table
from popeq.board.scoring import Scorer
from popeq.drawing import check_picture, save
from popeq.render import html_table
from popeq.views import LEAST_OF_GROUP

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        from matplotlib.figure import Figure

        style: dict[Any, Any] = {
            "text.parse_math": False,  # names are text
            "svg.hashsalt": "popeq",
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.edgecolor": "0.6",
            "axes.titlelocation": "left",
            "axes.grid": True,
            "grid.color": "0.92",
            "legend.frameon": False,
        }
        with mpl.rc_context(style):
            figure = Figure(figsize=(7.2, 4.4), layout="constrained")
            axes = figure.add_subplot()
            self.draw(axes)
            axes.set_title(self.title, fontsize=11)
            axes.set_axisbelow(True)
            if axes.get_legend_handles_labels()[1]:
                figure.legend(loc="outside lower left", ncols=3, fontsize=8)
            save(figure, path)


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
