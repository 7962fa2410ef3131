"""Two rows side by side: the paired comparison for each score, and the prompts where they differ most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from popeq.board.entries import Entry
from popeq.board.scoring import Scorer
from popeq.metrics import HEADLINE, SCORES
from popeq.statistics import hodges_lehmann, signed_rank

METRIC_COLUMNS = (
    "metric",
    "median_a",
    "median_b",
    "shift",
    "shift_low",
    "shift_high",
    "p_value",
    "effect_size",
    "a_better",
    "b_better",
    "equal",
)


@dataclass(frozen=True, eq=False)
class Comparison:
    """``a`` minus ``b``: ``metrics`` has one row a score, ``prompts`` one row a prompt, the largest headline
    difference first. A negative shift means that ``a`` is better. ``notes`` are to be read with it."""

    a: str
    b: str
    metrics: pd.DataFrame
    prompts: pd.DataFrame
    notes: tuple[str, ...] = ()


def compare_entries(a: Entry, b: Entry, scorer: Scorer) -> Comparison:
    """The paired comparison of two entries of one data set revision and protocol."""
    rows = []
    for name in SCORES:
        x, y = a.table.scores(name), b.table.scores(name)
        test, shift = signed_rank(x - y), hodges_lehmann(x - y)
        difference = np.round(x - y, 9)
        rows.append(
            {
                "metric": name,
                "median_a": float(np.median(x)),
                "median_b": float(np.median(y)),
                "shift": shift.value,
                "shift_low": shift.low,
                "shift_high": shift.high,
                "p_value": test.p_value,
                "effect_size": test.rank_biserial,
                "a_better": int((difference < 0).sum()),
                "b_better": int((difference > 0).sum()),
                "equal": int((difference == 0).sum()),
            }
        )
    text = scorer.dataset.prompts.set_index("prompt_id")["text"]
    prompts = pd.DataFrame(
        {
            "prompt_id": a.table.frame["prompt_id"],
            "text": [text[p] for p in a.table.frame["prompt_id"]],
            "category": a.table.frame["category"],
            "a": a.table.scores(HEADLINE),
            "b": b.table.scores(HEADLINE),
        }
    )
    prompts["difference"] = prompts["a"] - prompts["b"]
    order = prompts["difference"].abs().sort_values(ascending=False, kind="stable").index
    return Comparison(
        a.label,
        b.label,
        pd.DataFrame(rows, columns=list(METRIC_COLUMNS)),
        prompts.loc[order].reset_index(drop=True),
    )
