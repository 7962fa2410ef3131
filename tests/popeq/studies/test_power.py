"""Power: variance components and power against a world whose truth is known."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popeq.board.scoring import PromptTable
from popeq.metrics import HEADLINE
from popeq.statistics import Panels, mean_inference
from popeq.studies.power import components, power_of

PROMPT, LISTENER, ANSWER, SHIFT = 0.5, 0.2, 0.8, 0.35


def world(rng, prompts, panel):
    """Score differences (as a table against zeros) and the listeners' exact influences, of a linear world."""
    answers = (
        SHIFT
        + PROMPT * rng.standard_normal((prompts, 1))
        + LISTENER * rng.standard_normal((1, panel))
        + ANSWER * rng.standard_normal((prompts, panel))
    )
    scores = answers.mean(axis=1)
    one = PromptTable(pd.DataFrame({HEADLINE: scores}), {HEADLINE: list(answers - scores[:, None])})
    zero = PromptTable(pd.DataFrame({HEADLINE: scores * 0}), {HEADLINE: [np.zeros(panel)] * prompts})
    return one, zero


def test_components_are_those_of_the_world():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(200):
        parts = components(*world(rng, 30, 11), [tuple(f"l{j}" for j in range(11))] * 30)
        found.append([parts.prompt**2, parts.listener**2, parts.interaction**2])
    means = np.mean(found, axis=0)
    assert means == pytest.approx([PROMPT**2, LISTENER**2, ANSWER**2], rel=0.12, abs=0.01)


@pytest.mark.parametrize(("prompts", "panel"), [(20, 11), (30, 8)])
def test_power_is_within_five_points_of_a_direct_simulation(prompts, panel):
    """The pilot has 60 prompts and 11 listeners; the power is for other sizes."""
    rng = np.random.default_rng(1)
    panels = Panels([[f"l{j}" for j in range(panel)]] * prompts)
    worlds = [world(rng, prompts, panel)[0] for _ in range(2000)]
    direct = np.mean([mean_inference(*own.values(HEADLINE), panels).p_value < 0.05 for own in worlds])
    estimates = []
    for _ in range(40):
        pilot = world(rng, 60, 11)
        parts = components(*pilot, [tuple(f"l{j}" for j in range(11))] * 60)
        estimates.append(power_of(parts, SHIFT, prompts, panel))
    assert np.mean(estimates) == pytest.approx(direct, abs=0.05)
