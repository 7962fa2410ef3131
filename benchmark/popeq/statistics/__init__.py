"""Paired tests, intervals and ranks for scores by prompt; docs/statistics.md says which and why."""

from popeq.statistics.bootstrap import (
    Replicates,
    crossed_weights,
    interval,
    replicate_scores,
    score_interval,
)
from popeq.statistics.medians import medians
from popeq.statistics.multiplicity import benjamini_hochberg, holm
from popeq.statistics.pairs import Paired, all_pairs
from popeq.statistics.ranking import contradictions, tie_groups
from popeq.statistics.signed_rank import (
    EXACT_LIMIT,
    Estimate,
    SignedRank,
    detectable_shift,
    doubled_ranks,
    hodges_lehmann,
    signed_rank,
    signed_rank_distribution,
)

__all__ = [
    "EXACT_LIMIT",
    "Estimate",
    "Paired",
    "Replicates",
    "SignedRank",
    "all_pairs",
    "benjamini_hochberg",
    "contradictions",
    "crossed_weights",
    "detectable_shift",
    "doubled_ranks",
    "hodges_lehmann",
    "holm",
    "interval",
    "medians",
    "replicate_scores",
    "score_interval",
    "signed_rank",
    "signed_rank_distribution",
    "tie_groups",
]
