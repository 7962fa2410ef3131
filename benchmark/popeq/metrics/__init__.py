"""Scores and diagnostics of predicted distributions, all in dB on the bounded plane."""

from popeq.metrics.diagnostics import (
    coverage,
    edge_mass_gap,
    mean_shift,
    retrieval_rank_correlation,
    spread_ratio,
)
from popeq.metrics.kde import DensitySettings, bandwidth, densities, grid_of
from popeq.metrics.rendered import rendered_features, rendered_mmd, rendered_mmd_batch
from popeq.metrics.scores import (
    HEADLINE,
    SCORES,
    PromptScores,
    Target,
    compile_solver,
    energy_score,
    energy_score_batch,
    kantorovich,
    kantorovich_batch,
    reflective_kantorovich,
    reflective_kantorovich_batch,
    sample_kantorovich,
    sample_kantorovich_batch,
)
from popeq.metrics.solver import grid_transport, grid_wasserstein, point_wasserstein

__all__ = [
    "HEADLINE",
    "SCORES",
    "DensitySettings",
    "PromptScores",
    "Target",
    "bandwidth",
    "compile_solver",
    "coverage",
    "densities",
    "edge_mass_gap",
    "energy_score",
    "energy_score_batch",
    "grid_of",
    "grid_transport",
    "grid_wasserstein",
    "kantorovich",
    "kantorovich_batch",
    "mean_shift",
    "point_wasserstein",
    "reflective_kantorovich",
    "reflective_kantorovich_batch",
    "rendered_features",
    "rendered_mmd",
    "rendered_mmd_batch",
    "retrieval_rank_correlation",
    "sample_kantorovich",
    "sample_kantorovich_batch",
    "spread_ratio",
]
