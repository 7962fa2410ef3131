"""Pooling sees no padding, the head is bounded and starts at the given points, dropout is the generator's."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from popeq.space import PLANE, Space
from popeq_peft.heads import PointHead, Pooling


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("kind", ["mean", "cls", "attention"])
def test_pooling_ignores_padding(kind, causal):
    torch.manual_seed(0)
    pooling = Pooling(kind, 6, causal)
    if kind == "attention":
        torch.nn.init.normal_(pooling.score.weight)
    hidden = torch.randn(1, 4, 6)
    alone = pooling(hidden, torch.ones(1, 4, dtype=torch.long))
    padded = torch.cat([hidden, torch.randn(1, 3, 6)], dim=1)
    torch.testing.assert_close(pooling(padded, torch.tensor([[1, 1, 1, 1, 0, 0, 0]])), alone)
    expected = {"mean": hidden.mean(dim=1), "cls": hidden[:, -1 if causal else 0]}
    if kind in expected:
        torch.testing.assert_close(alone, expected[kind])


def test_attention_starts_as_the_mean():
    hidden = torch.randn(2, 5, 6)
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    torch.testing.assert_close(
        Pooling("attention", 6, False)(hidden, mask), Pooling("mean", 6, False)(hidden, mask)
    )


@pytest.mark.parametrize("space", [PLANE, Space(-3.0, 9.0, 0.0, 4.0)])
def test_the_head_is_bounded_and_starts_at_the_given_points(space):
    start = space.low + space.size * np.random.default_rng(0).uniform(0.1, 0.9, (11, 2))
    head = PointHead(6, 8, start, 0.3, space)
    points = head(torch.randn(4, 6), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(points.detach().numpy(), np.tile(start, (4, 1, 1)), atol=1e-4)
    torch.nn.init.normal_(head.last.weight, std=50.0)
    assert space.contains(space.clip(head(torch.randn(50, 6)).detach().double().numpy())).all()
    wild = head(torch.randn(50, 6)).detach()
    assert (wild >= torch.tensor(space.low) - 1e-5).all()
    assert (wild <= torch.tensor(space.high) + 1e-5).all()


def test_passes_differ_by_their_dropout_and_repeat_by_their_generator():
    head = PointHead(6, 8, np.zeros((11, 2)), 0.3, PLANE).eval()
    torch.nn.init.normal_(head.last.weight)
    same = torch.randn(1, 6).expand(10, -1)
    first = head(same, torch.Generator().manual_seed(4))
    assert len({tuple(p.flatten().tolist()) for p in first}) == 10
    torch.testing.assert_close(head(same, torch.Generator().manual_seed(4)), first, rtol=0, atol=0)
    without = head(same)
    torch.testing.assert_close(without, without[:1].expand_as(without))
