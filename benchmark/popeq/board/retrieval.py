"""Whether similar sentences have similar settings, by what a run retrieved: a diagnostic of the paper."""

from __future__ import annotations

import pandas as pd

from popeq.dataset import Dataset
from popeq.metrics import retrieval_rank_correlation
from popeq.runs.folder import Run

COLUMNS = ["prompt_id", "nearest", "similarity", "retrieved", "rank_correlation"]


def retrieval_table(run: Run, dataset: Dataset) -> pd.DataFrame:
    """For each test prompt of a run that retrieved examples: the nearest one, its similarity, and the rank
    correlation of text similarity with distributional similarity over what was retrieved (NaN below two).

    Columns ``COLUMNS``; no rows if nothing was retrieved.
    """
    rows = [
        {
            "prompt_id": prompt_id,
            "nearest": found[0]["prompt_id"],
            "similarity": found[0]["similarity"],
            "retrieved": len(found),
            "rank_correlation": retrieval_rank_correlation(
                [f["similarity"] for f in found],
                dataset.tested([prompt_id])[0].responses,
                [dataset.points(f["prompt_id"]) for f in found],
            ),
        }
        for prompt_id, explanation in run.explanations().items()
        if (found := explanation.get("retrieved"))
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
