"""Losses between the points a head gives and what listeners chose, the score that stops training, and how
far a loss may rise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from popeq.space import Space

#: Rise of a mean negative log-likelihood by which training has diverged, nats: about what a uniform density
#: on +-6 dB costs.
ALARM_NATS = 5.0


def alarm_db(space: Space) -> float:
    """Rise of a distance by which training has diverged, dB: a fifth of the box; squared for squares."""
    return float(np.sqrt(space.size.prod())) / 5.0


def padded_responses(responses: Sequence[NDArray[np.float64]]) -> tuple[Tensor, Tensor]:
    """Point sets of different sizes as (B, most, 2), dB, and a mask (B, most) that says what is a point."""
    most = max(len(r) for r in responses)
    points = torch.zeros((len(responses), most, 2))
    mask = torch.zeros((len(responses), most), dtype=torch.bool)
    for i, r in enumerate(responses):
        points[i, : len(r)], mask[i, : len(r)] = torch.as_tensor(np.array(r)).float(), True
    return points, mask


def squared_error(points: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
    """Half the mean squared distance of each point (B, n, 2) to each listener (B, m, 2), shape (B,), dB^2.

    Listeners have no order, so no point has a listener of its own; this is what regression on listeners in
    random order comes to. Its least value puts every point on the listeners' mean.
    """
    squares = (points[:, :, None] - responses[:, None]).square().sum(dim=3)
    weights = mask.to(points) / mask.sum(dim=1, keepdim=True)
    return 0.5 * (squares.mean(dim=1) * weights).sum(dim=1)


def energy_scores(samples: Tensor, responses: Tensor, mask: Tensor) -> Tensor:
    """The energy score (popeq.metrics) of samples (B, n, 2) against listeners (B, m, 2), shape (B,), dB."""
    weights = mask.to(samples) / mask.sum(dim=1, keepdim=True)
    across = (torch.cdist(samples, responses).mean(dim=1) * weights).sum(dim=1)
    n = samples.shape[1]
    inner = torch.cdist(samples, samples).sum(dim=(1, 2)) / (n * (n - 1))
    return across - inner / 2
