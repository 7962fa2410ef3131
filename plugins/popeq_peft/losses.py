"""Losses between predicted points and the settings of listeners, and the limits that a loss may rise to."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from popeq.space import Space

#: Rise of a mean negative log-likelihood by which training has diverged, nats: about what a uniform density
#: on +-6 dB costs.
DIVERGENCE_NATS = 5.0


def divergence_db(space: Space) -> float:
    """Rise of a distance by which training has diverged, dB: a fifth of the box; squared for squares."""
    return float(np.sqrt(space.size.prod())) / 5.0


def equal_weights(mask: Tensor, like: Tensor) -> Tensor:
    """Equal weights of the points in a mask (B, m), each row's summing to 1, in the precision of ``like``."""
    return mask.to(like) / mask.sum(dim=1, keepdim=True)


def squared_error(points: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
    """Half the mean squared distance of each point (B, n, 2) to each listener (B, m, 2), shape (B,), dB^2.

    Listeners have no order, so no point has a listener of its own; this is what regression on listeners in
    random order comes to. Its least value puts every point on the listeners' mean.
    """
    squares = (points[:, :, None] - responses[:, None]).square().sum(dim=3)
    return 0.5 * (squares.mean(dim=1) * equal_weights(mask, points)).sum(dim=1)


def energy_scores(samples: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
    """The energy score (popeq.metrics) of samples (B, n, 2) against listeners (B, m, 2), shape (B,), dB."""
    across = (torch.cdist(samples, responses).mean(dim=1) * equal_weights(mask, samples)).sum(dim=1)
    n = samples.shape[1]
    inner = torch.cdist(samples, samples).sum(dim=(1, 2)) / (n * (n - 1))
    return across - inner / 2


#: Ratio of one annealed epsilon to the next.
_ANNEAL = 0.25
#: Over-relaxation at the last epsilon (Thibault et al. 2021): about three times fewer steps than without.
_OMEGA = 1.7


def sinkhorn_divergence(
    x: Tensor,
    y: Tensor,
    y_mask: Tensor | None = None,
    x_weights: Tensor | None = None,
    *,
    blur: float = 0.5,
    p: int = 2,
    steps: int = 20,
) -> Tensor:
    """``OT(x, y) - OT(x, x) / 2 - OT(y, y) / 2`` for each pair of a batch, shape (B,), in dB^p.

    OT is entropic transport with the cost |x - y|^p / p and epsilon = ``blur``^p. The divergence is
    symmetric, zero for equal sets, never negative once converged, and tends to W1 (p = 1) or to half the
    squared W2 (p = 2) as ``blur`` falls.

    Parameters
    ----------
    x : (B, n, d)
        Points, dB.
    y : (B, m, d)
        Points, dB.
    y_mask : (B, m) bool, optional
        Which rows of ``y`` are points, all of the same weight; the others are padding. Every set needs one.
    x_weights : (B, n), optional
        Weights of the rows of ``x``, positive, each set's summing to 1; equal if not given. They get a
        gradient too.
    blur
        Length below which points are not distinguished, dB.
    steps
        Steps at the last epsilon. For listeners' settings 20 leave the gradient within some per cent, 100
        within some thousandths; more are needed as ``blur`` falls.

    Raises
    ------
    ValueError
        For shapes that do not fit, p other than 1 and 2, or a blur that is not positive.

    Notes
    -----
    Feydy et al. 2019 (arXiv 1810.08278). The four problems (x to y, y to x, x to x, y to y) are one stacked
    soft minimum a step. Steps are simultaneous and over-relaxed against the step before the last, so that
    the result does not depend on which set comes first.
    """
    if x.ndim != 3 or y.ndim != 3 or x.shape[0] != y.shape[0] or x.shape[2] != y.shape[2]:
        raise ValueError(f"needs (B, n, d) and (B, m, d), not {tuple(x.shape)} and {tuple(y.shape)}")
    if p not in (1, 2) or not blur > 0:
        raise ValueError("p must be 1 or 2, and blur positive")
    solver = _Solver(blur**p, p, steps)
    value: Tensor = _Divergence.apply(x, y, y_mask, x_weights, solver)  # type: ignore[no-untyped-call]
    return value


class _Divergence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, y: Tensor, y_mask: Tensor | None, x_weights: Tensor | None, solver: _Solver
    ) -> Tensor:
        a, log_a = _padded(x.detach(), _log_weights(x, None, x_weights), y.shape[1])
        b, log_b = _padded(y.detach(), _log_weights(y, y_mask, None), x.shape[1])
        # Row k of the stack is transported to row k of its partner; potentials live on the rows.
        points, partner = torch.stack([a, b, a, b]), torch.stack([b, a, a, b])
        log_weights = torch.stack([log_a, log_b, log_a, log_b])
        difference = points[:, :, :, None, :] - partner[:, :, None, :, :]
        distance = difference.square().sum(dim=4)
        cost = distance / 2 if solver.p == 2 else distance.sqrt()
        real = log_weights.isfinite()
        cost = cost * (real[..., None] & real[_PARTNER][:, :, None])  # padding may lie anywhere
        potentials, log_plan = solver.solve(cost, log_weights[_PARTNER])
        pull = difference if solver.p == 2 else difference / cost.clamp(min=1e-12)[..., None]
        weights = log_weights.exp()
        forces = weights[..., None] * (log_plan.exp()[..., None] * pull).sum(dim=3)
        ctx.save_for_backward(
            (forces[0] - forces[2])[:, : x.shape[1]],
            (forces[1] - forces[3])[:, : y.shape[1]],
            (potentials[0] - potentials[2])[:, : x.shape[1]],
        )
        totals: Tensor = (weights * potentials).sum(dim=2)
        return totals[0] + totals[1] - totals[2] - totals[3]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        gradient_x, gradient_y, gradient_weights = ctx.saved_tensors
        given = outer[0][:, None]
        scale = given[..., None]
        to_weights = given * gradient_weights if ctx.needs_input_grad[3] else None
        return scale * gradient_x, scale * gradient_y, None, to_weights, None


#: x to y and y to x feed each other, x to x and y to y themselves.
_PARTNER = [1, 0, 2, 3]


def _log_weights(points: Tensor, mask: Tensor | None, weights: Tensor | None) -> Tensor:
    """Logarithms of a set's weights, (B, n); -inf for padding."""
    if weights is not None:
        return weights.detach().log()
    if mask is None:
        mask = points.new_ones(points.shape[:2], dtype=torch.bool)
    return torch.where(mask, 0.0, -torch.inf).to(points.dtype) - mask.sum(dim=1, keepdim=True).log()


def _padded(points: Tensor, log_weights: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Points and log weights with at least ``least`` rows, more of them padding."""
    missing = max(0, least - points.shape[1])
    pad = torch.nn.functional.pad
    return pad(points, (0, 0, 0, missing)), pad(log_weights, (0, missing), value=-torch.inf)


class _Solver(NamedTuple):
    epsilon: float
    p: int
    steps: int

    def solve(self, cost: Tensor, log_inner: Tensor) -> tuple[Tensor, Tensor]:
        """Potentials (4, B, N), and the logarithm of each row's plan given the row, (4, B, N, N)."""
        inner = log_inner[:, :, None, :]

        def exponent(potentials: Tensor, epsilon: float) -> Tensor:
            return inner + (potentials[_PARTNER][:, :, None, :] - cost) / epsilon

        now = torch.zeros_like(cost[..., 0])
        scale = max(float(cost.max()), self.epsilon)
        while scale > self.epsilon:  # averaged steps down to the last epsilon: a good start is enough
            now = (now - scale * exponent(now, scale).logsumexp(dim=3)) / 2
            scale *= _ANNEAL**self.p
        before = now
        for _ in range(self.steps):
            step = -self.epsilon * exponent(now, self.epsilon).logsumexp(dim=3)
            before, now = now, (1 - _OMEGA) * before + _OMEGA * step
        now = (now + before) / 2  # the two interleaved chains: neither side has the last word
        last = exponent(now, self.epsilon)
        total = last.logsumexp(dim=3, keepdim=True)
        return -self.epsilon * total[..., 0], last - total
