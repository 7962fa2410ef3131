"""Two rows side by side: the paired comparison for each score, and the prompts where they differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from popeq.board.differences import difference_cells
from popeq.board.entries import Entry
from popeq.board.scoring import Scorer
from popeq.metrics import HEADLINE, SCORES
from popeq.render import html_table
from popeq.statistics import signed_rank


@dataclass(frozen=True, eq=False)
class Comparison:
    """``a`` minus ``b``: ``metrics`` has one row a score, ``prompts`` one row a prompt, the largest headline
    difference first. The shift is the mean difference over prompts, negative if ``a`` is better, its interval
    and p over prompts and listeners. ``notes`` are to be read with it."""

    a: str
    b: str
    metrics: pd.DataFrame
    prompts: pd.DataFrame
    notes: tuple[str, ...]

    def _repr_html_(self) -> str:
        """The scores and notes, in a notebook."""
        return html_table(self.metrics, self.notes)


def by_prompt(scorer: Scorer, metric: str, **entries: Entry) -> pd.DataFrame:
    """One row a prompt: ``prompt_id, text, category``, and one score of each entry, dB, under its name."""
    columns = {name: entry.table.scores(metric) for name, entry in entries.items()}
    return scorer.about[["prompt_id", "text", "category"]].assign(**columns)


def compare_entries(a: Entry, b: Entry, scorer: Scorer) -> Comparison:
    """The paired comparison of two entries of one data set revision and protocol."""
    rows = []
    for name in SCORES:
        x, y = a.table.scores(name), b.table.scores(name)
        difference = np.round(x - y, 9)
        rows.append(
            {"metric": name, "mean_a": float(np.mean(x)), "mean_b": float(np.mean(y))}
            | difference_cells(a.table, b.table, name, scorer.panels)
            | {
                "median_a": float(np.median(x)),
                "median_b": float(np.median(y)),
                "p_wilcoxon": signed_rank(x - y).p_value,
                "a_better": int((difference < 0).sum()),
                "b_better": int((difference > 0).sum()),
                "equal": int((difference == 0).sum()),
            }
        )
    prompts = by_prompt(scorer, HEADLINE, a=a, b=b)
    prompts["difference"] = prompts["a"] - prompts["b"]
    return Comparison(
        a.label,
        b.label,
        pd.DataFrame(rows),
        prompts.sort_values("difference", key=abs, ascending=False, kind="stable", ignore_index=True),
        ("sample_kantorovich and every p_wilcoxon hold given these listeners, the rest for others too.",),
    )
