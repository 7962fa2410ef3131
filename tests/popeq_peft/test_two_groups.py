"""Listeners in two groups: squared error puts its points between them, and the diagnostics say so."""

from __future__ import annotations

import numpy as np
import pytest
from small_fits import SPECS

from popeq.contract import LabelledPrompt, Prompt, load_object
from popeq.metrics.diagnostics import spread_ratio
from popeq.seeding import generator
from popeq.space import PLANE


def two_groups(split, count=8):
    """Half of the listeners 4 dB to one side, half to the other; which side is the sentence's."""
    rng = np.random.default_rng(len(split))
    prompts = []
    for i in range(count):
        side = np.array([4.0, 0.0]) if i % 2 else np.array([0.0, 4.0])
        centres = np.where(np.arange(10)[:, None] % 2, side, -side)
        points = PLANE.clip(centres + rng.normal(0, 0.5, (10, 2)))
        text = f"make it {'wide' if i % 2 else 'tall'}, take {i}"
        prompts.append(
            LabelledPrompt(Prompt(f"{split}{i}", text, "x", split), points, tuple(f"l{j}" for j in range(10)))
        )
    return prompts


def predicted(name, **options):
    spec = SPECS[name]
    predictor = load_object(spec.factory)(spec.parameters(device="cpu", **options), PLANE)
    predictor.fit(two_groups("train"), two_groups("validation", 4), generator(0))
    test = two_groups("test", 4)
    prompts = [p.prompt for p in test]
    return test, predictor.sample(prompts, 110, [generator(0, p.prompt_id) for p in prompts])


@pytest.mark.parametrize(
    ("name", "options", "collapses"),
    [
        ("lora-head", {"loss": "mse", "epochs": 30, "batch_size": 4, "head_learning_rate": 1e-2}, True),
        ("lora-head", {"epochs": 10}, False),
        ("head-mixture", {"epochs": 10, "ensemble": 1}, False),
    ],
)
def test_who_stands_between_the_two_groups(name, options, collapses):
    test, samples = predicted(name, **options)
    ratios = [spread_ratio(s, p.responses) for s, p in zip(samples, test, strict=True)]
    between = np.mean([(np.linalg.norm(s, axis=1) < 2).mean() for s in samples])
    if collapses:
        assert np.median(ratios) < 0.5
        assert between > 0.7
    else:
        assert 0.7 < np.median(ratios) < 1.4
        assert between < 0.3
