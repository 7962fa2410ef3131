"""The Sinkhorn divergence against POT, finite differences and its own laws."""

from __future__ import annotations

import numpy as np
import ot
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from popeq_peft.heads import padded_responses
from popeq_peft.losses import energy_scores, sinkhorn_divergence, squared_error


def sets(batch=3, n=11, m=11, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = torch.randn((batch, n, 2), generator=g, dtype=torch.float64) * 2
    y = torch.randn((batch, m, 2), generator=g, dtype=torch.float64) * 2 + 1
    return x, y


def peer(x, y, blur, p, a=None):
    """The same divergence from POT's solver, one pair at a time."""

    def transport(s, t, ws, wt):
        cost = ot.dist(s, t, metric="euclidean")
        cost = cost**2 / 2 if p == 2 else cost
        solved = ot.solve(cost, ws, wt, reg=blur**p, reg_type="KL", max_iter=10_000, tol=1e-10)
        return float(solved.value)

    a = np.full(len(x), 1 / len(x)) if a is None else a
    b = np.full(len(y), 1 / len(y))
    return transport(x, y, a, b) - transport(x, x, a, a) / 2 - transport(y, y, b, b) / 2


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("m", [11, 7, 16])
def test_it_equals_pot(p, m):
    x, y = sets(m=m)
    found = sinkhorn_divergence(x, y, blur=1.0, p=p, steps=200)
    np.testing.assert_allclose(
        found, [peer(a, b, 1.0, p) for a, b in zip(x.numpy(), y.numpy(), strict=True)], rtol=1e-5, atol=1e-6
    )


def test_weights_and_padding_equal_pot():
    x, y = sets(m=7)
    weights = torch.rand((3, 11), generator=torch.Generator().manual_seed(1), dtype=torch.float64) + 0.1
    weights /= weights.sum(dim=1, keepdim=True)
    padded = torch.cat([y, torch.full((3, 4, 2), 99.0)], dim=1)
    mask = torch.arange(11).expand(3, -1) < 7
    found = sinkhorn_divergence(x, padded, mask, weights, blur=1.0, steps=200)
    expected = [peer(a, b, 1.0, 2, w) for a, b, w in zip(x.numpy(), y.numpy(), weights.numpy(), strict=True)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("p", [1, 2])
def test_gradients_equal_finite_differences(p):
    x, y = sets(batch=2, n=4, m=3)
    weights = torch.tensor([[0.1, 0.2, 0.3, 0.4]], dtype=torch.float64).repeat(2, 1)

    def value(x, y, logits):
        return sinkhorn_divergence(x, y, None, logits.softmax(dim=1), blur=2.0, p=p, steps=60)

    inputs = tuple(t.requires_grad_() for t in (x, y, weights.log()))
    assert torch.autograd.gradcheck(value, inputs, atol=1e-5, rtol=1e-3)


def test_padding_gets_no_gradient_and_changes_nothing():
    x, y = sets(m=7)
    padded = torch.cat([y, torch.full((3, 4, 2), 99.0, dtype=torch.float64)], dim=1).requires_grad_()
    mask = torch.arange(11).expand(3, -1) < 7
    found = sinkhorn_divergence(x, padded, mask, steps=200)
    torch.testing.assert_close(found, sinkhorn_divergence(x, y, steps=200))
    found.sum().backward()
    assert (padded.grad[:, 7:] == 0).all()
    assert padded.grad[:, :7].abs().min() > 0


@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 2]))
@settings(max_examples=15)
def test_symmetric_non_negative_and_zero_at_equality(seed, n, m, p):
    x, y = sets(2, n, m, seed)
    there = sinkhorn_divergence(x, y, p=p, steps=200)
    torch.testing.assert_close(there, sinkhorn_divergence(y, x, p=p, steps=200), rtol=1e-9, atol=1e-9)
    assert (there > -1e-6).all()
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    own = sinkhorn_divergence(x, x[:, order], p=p, steps=200)
    torch.testing.assert_close(own, torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-6)


def test_it_tends_to_w1_and_half_squared_w2_as_epsilon_falls():
    x, y = sets(batch=4)
    for p, blurs in ((1, (2.0, 0.3, 0.05)), (2, (2.0, 0.7, 0.2))):
        exact = []
        for a, b in zip(x.numpy(), y.numpy(), strict=True):
            cost = ot.dist(a, b, metric="euclidean")
            exact.append(ot.emd2([], [], cost**2 / 2 if p == 2 else cost))
        errors = [
            np.abs(sinkhorn_divergence(x, y, blur=blur, p=p, steps=300).numpy() - exact).max()
            for blur in blurs
        ]
        assert errors[0] > 3 * errors[1] > 9 * errors[2]
        assert errors[2] < 0.05


def test_few_steps_are_near_the_limit_in_single_precision():
    x, y = sets(batch=10)
    x = x.requires_grad_()
    (exact,) = torch.autograd.grad(sinkhorn_divergence(x, y, steps=600).sum(), x)
    single = x.detach().float().requires_grad_()
    (found,) = torch.autograd.grad(sinkhorn_divergence(single, y.float()).sum(), single)
    assert (found - exact).norm() < 0.05 * exact.norm()


@pytest.mark.parametrize(
    ("x", "y", "options"),
    [
        ((2, 3, 2), (3, 3, 2), {}),
        ((3, 2), (3, 2), {}),
        ((2, 3, 2), (2, 3, 2), {"p": 3}),
        ((2, 3, 2), (2, 3, 2), {"blur": 0.0}),
    ],
)
def test_what_does_not_fit_is_refused(x, y, options):
    with pytest.raises(ValueError, match=r"needs|must"):
        sinkhorn_divergence(torch.zeros(x), torch.zeros(y), **options)


def test_other_losses_equal_their_plain_forms():
    from popeq.metrics import energy_score

    rng = np.random.default_rng(1)
    responses = [rng.uniform(-6, 6, (m, 2)) for m in (11, 4)]
    points, mask = padded_responses(responses)
    given_ = torch.as_tensor(rng.uniform(-6, 6, (2, 9, 2))).float()
    energy, squares = energy_scores(given_, points, mask), squared_error(given_, points, mask)
    for i, r in enumerate(responses):
        own = given_[i].double().numpy()
        assert energy[i].item() == pytest.approx(energy_score(own, r), abs=1e-4)
        assert squares[i].item() == pytest.approx(
            0.5 * np.square(own[:, None] - r[None]).sum(axis=2).mean(), rel=1e-4
        )
