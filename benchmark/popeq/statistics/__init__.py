"""Inference on means over prompts and listeners, ranks, and the signed-rank test: docs/statistics.md."""

from popeq.statistics.mean_inference import (
    LEAST_PROMPTS,
    MeanEstimate,
    Panels,
    mean_inference,
    satterthwaite,
    standard_errors,
    two_sided_p,
)
from popeq.statistics.signed_rank import EXACT_LIMIT, SignedRank, signed_rank, signed_rank_distribution
from popeq.statistics.step_down import Family, Paired, all_pairs, family, holm, rank_ranges, step_down

__all__ = [
    "EXACT_LIMIT",
    "LEAST_PROMPTS",
    "Family",
    "MeanEstimate",
    "Paired",
    "Panels",
    "SignedRank",
    "all_pairs",
    "family",
    "holm",
    "mean_inference",
    "rank_ranges",
    "satterthwaite",
    "signed_rank",
    "signed_rank_distribution",
    "standard_errors",
    "step_down",
    "two_sided_p",
]
