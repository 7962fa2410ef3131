"""Bounds of many Wasserstein-1 distances on one grid at once: matrix products, and a duality gap that proves
them.

A candidate for scoring on a GPU, where one product serves thousands of pairs; popeq's own solver is exact and
faster on a CPU (docs/performance.md). Source of the iteration: Cuturi 2013; of the rounding to a plan:
Altschuler, Weed & Rigollet 2017.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Below this, exp() of costs over epsilon leaves the range of float64 on a box of 17 dB across.
LEAST_EPSILON_DB = 0.025
_TINY = 1e-300


def transport_bounds(
    a: Tensor,
    b: Tensor,
    distances: Tensor,
    *,
    epsilon_db: float = 0.03,
    stages: int = 16,
    iterations: int = 100,
    chunk: int = 64,
) -> tuple[Tensor, Tensor]:
    """Lower and upper bound (B,) in dB of the distances between rows of ``a`` and of ``b``.

    ``a`` and ``b`` (B, N) are masses on the cells of one grid, each row summing to 1, and ``distances``
    (N, N) the Euclidean distances of the cells, dB; float64. Entropic regularisation falls to ``epsilon_db``
    geometrically over ``stages`` of ``iterations`` each. The plans of ``chunk`` pairs are in memory at once,
    N^2 numbers each.

    Mass that both have in a cell stays there, as the cost is a metric. The lower bound is the value of a
    feasible dual pair (c-transforms of the potential), the upper one the cost of a plan with the right
    marginals, so both hold however far the iteration has come.
    """
    shared = torch.minimum(a, b)
    mass = (a - shared).sum(dim=1)
    moving = mass > 1e-12
    lower, upper = torch.zeros_like(mass), torch.zeros_like(mass)
    if not bool(moving.any()):
        return lower, upper
    scale = mass[moving, None]
    p, q = (a - shared)[moving] / scale, (b - shared)[moving] / scale
    f, g = torch.zeros_like(p), torch.zeros_like(q)
    first = float(distances.max()) / 4
    steps = max(1, stages - 1)
    for stage in range(stages):
        epsilon = first * (max(epsilon_db, LEAST_EPSILON_DB) / first) ** (stage / steps)
        kernel = torch.exp(-distances / epsilon)
        u, v = torch.exp(f / epsilon), torch.exp(g / epsilon)
        for _ in range(iterations):
            u = p / (v @ kernel).clamp_min(_TINY)
            v = q / (u @ kernel).clamp_min(_TINY)
        f, g = epsilon * u.clamp_min(_TINY).log(), epsilon * v.clamp_min(_TINY).log()
    f = torch.where(p > 0, f, -math.inf)  # cells without mass bind nobody
    chunks = zip(*(t.split(chunk) for t in (p, q, f, u, v)), strict=True)
    bounds = [_bounds(*own, distances, kernel) for own in chunks]
    lower[moving], upper[moving] = (torch.cat(side) * mass[moving] for side in zip(*bounds, strict=True))
    return lower, upper


def _bounds(
    p: Tensor, q: Tensor, f: Tensor, u: Tensor, v: Tensor, distances: Tensor, kernel: Tensor
) -> tuple[Tensor, Tensor]:
    """Value of the dual pair made from ``f``, and cost of the plan made from the scalings."""
    g = (distances[None] - f[:, :, None]).amin(dim=1)
    best = (distances[None] - g[:, None, :]).amin(dim=2)
    value = (best * p).sum(dim=1) + (g * q).sum(dim=1)
    plan = u[:, :, None] * kernel * v[:, None, :]
    plan *= (p / plan.sum(dim=2).clamp_min(_TINY)).clamp_max(1)[:, :, None]
    plan *= (q / plan.sum(dim=1).clamp_min(_TINY)).clamp_max(1)[:, None, :]
    short, wanting = p - plan.sum(dim=2), q - plan.sum(dim=1)
    rest = short[:, :, None] * wanting[:, None, :] / short.sum(dim=1).clamp_min(_TINY)[:, None, None]
    return value, ((plan + rest) * distances).sum(dim=(1, 2))
