"""The equaliser that a prompt shows is the one of popeq.eq, for every pair of curves."""

from __future__ import annotations

import re
import sys
import types

import numpy as np
import pytest

from popeq import eq
from popeq.eq.pairs import BUNDLED, CurvesSpec
from popeq.space import PLANE, Space
from popeq_dsp.definition import TABLE_HZ, definition
from popeq_llm.answers import AnswerFormat, parse_answer

NAMES = {name: getattr(np, name) for name in ("log", "log10", "exp", "sqrt", "sin", "cos", "pi")}
AXIS = eq.Axis("knob", low="knob down", high="knob up", low_sound="thin", high_sound="full")
RATE_HZ = 48_000.0


def made_of(sections):
    """A pair of curves from its sections."""

    def curve_db(points, frequency_hz):
        flat = points.reshape(-1, 2)
        rows = [
            sum(eq.biquad.gain_db(s.coefficients(), frequency_hz, RATE_HZ) for s in sections(p)) for p in flat
        ]
        return np.reshape(rows, (*points.shape[:-1], len(frequency_hz)))

    return curve_db


def affine(point):
    x, y = point
    peaks = (eq.Section("peak", 200.0, 1.5 * x, 1.0), eq.Section("peak", 2500.0, -y + 0.25 * x, 0.5))
    return eq.Section("low_shelf", 120.0, float(x), 0.7), *peaks, eq.Section("high_shelf", 6000.0, -y, 0.9)


def one_peak(point):
    return (eq.Section("peak", 1000.0, float(point[0]), 1.0),)


def moving(point):
    return (eq.Section("peak", float(1000.0 * 2.0 ** (point[1] / 6.0)), float(point[0]), 1.0),)


def bent(point):
    return (eq.Section("peak", 1000.0, float(point[0] * abs(point[1])), 1.0),)


def bumps(points, frequency_hz):
    u = eq.log_frequency(frequency_hz)
    return points @ np.stack([np.exp(-9 * (u + 0.5) ** 2), np.exp(-9 * (u - 0.5) ** 2)])


PAIRS = {
    "affine": eq.CurvePair("affine", AXIS, AXIS, {}, made_of(affine), sections=affine),
    "one-peak": eq.CurvePair("one-peak", AXIS, AXIS, {}, made_of(one_peak), sections=one_peak),
    "moving": eq.CurvePair("moving", AXIS, AXIS, {}, made_of(moving), sections=moving),
    "bent": eq.CurvePair("bent", AXIS, AXIS, {}, made_of(bent), sections=bent),
    "bumps": eq.CurvePair("bumps", AXIS, AXIS, {}, bumps, linear=True),
}


@pytest.fixture(autouse=True)
def pairs(monkeypatch):
    """Pairs of curves as plugins bring them."""
    module = types.ModuleType("brought_pairs")
    monkeypatch.setitem(sys.modules, "brought_pairs", module)
    for name, pair in PAIRS.items():
        factory = name.replace("-", "_")
        setattr(module, factory, lambda pair=pair: pair)
        monkeypatch.setitem(BUNDLED, name, CurvesSpec(name, "brought", f"brought_pairs:{factory}"))
    yield
    eq.curves_named.cache_clear()


CODE = [
    (PLANE, 1e-9),
    (Space(-12.0, 12.0, -12.0, 12.0, 0.5), 1e-9),
    (Space(curves="beosonic"), 1e-3),
    (Space(0.0, 10.0, -3.0, 3.0, 0.5, "beosonic"), 1e-3),
    (Space(-3.0, 3.0, -1.0, 1.0, 0.25, "shelves:300:3000"), 1e-6),
    (Space(curves="shelves:62.5:15000"), 1e-6),
    (Space(-4.0, 9.0, 2.0, 5.0, 1.0, "affine"), 1e-6),
    (Space(curves="one-peak"), 1e-6),
]


@pytest.mark.parametrize(("space", "within_db"), CODE, ids=lambda v: getattr(v, "curves", None))
def test_the_code_has_the_gains_of_the_curves(space, within_db):
    said, names = definition(space), dict(NAMES)
    exec(said.partition("\n\n")[2], names)
    points = np.random.default_rng(0).uniform(space.low, space.high, (20, 2))
    expected = eq.gain_db(points, eq.GRID_HZ, space)
    found = np.array([names["gain_db"](eq.GRID_HZ, x, y) for x, y in points])
    np.testing.assert_allclose(found, expected, atol=within_db)
    assert said.startswith("This Python function is the equaliser:\n\ndef ")


def test_only_the_filters_that_are_there_are_shown():
    def functions(name):
        return re.findall(r"^def (\w+)", definition(Space(curves=name)), re.MULTILINE)

    assert functions("orthogonal") == ["gain_db"]
    assert functions("beosonic") == ["response_db", "shelf", "gain_db"]
    assert functions("one-peak") == ["response_db", "peak", "gain_db"]
    assert functions("affine") == ["response_db", "shelf", "peak", "gain_db"]
    assert functions("moving") == functions("bent") == functions("bumps") == []


def rows_of(text):
    """The rows of a table as (name, gains)."""
    found = re.findall(r"^(.+): ([-+0-9., ]+)$", text, re.MULTILINE)
    return [(name, np.array([float(gain) for gain in gains.split(", ")])) for name, gains in found]


@pytest.mark.parametrize("name", ["moving", "bent"])
@pytest.mark.parametrize("box", [(), (0.0, 10.0, -3.0, 3.0, 0.5), (-3.0, 9.0, 2.0, 5.0, 1.0)])
def test_other_curves_are_a_table_of_settings_that_the_control_offers(name, box):
    space = Space(*box, curves=name)
    rows = rows_of(definition(space))
    assert len(rows) >= 3
    for setting, gains in rows:
        point = parse_answer(setting, AnswerFormat(space=space))
        np.testing.assert_allclose(gains, eq.gain_db(point[0], TABLE_HZ, space), atol=0.05 + 1e-9)


def test_linear_curves_are_a_table_by_the_axis():
    (x, first), (y, second) = rows_of(definition(Space(curves="bumps")))
    assert (x, y) == ("x", "y")
    per_db = eq.gain_db(np.eye(2), TABLE_HZ, Space(curves="bumps"))
    np.testing.assert_allclose([first, second], per_db, atol=0.05 + 1e-9)


@pytest.mark.parametrize("name", [*PAIRS, "orthogonal", "beosonic", "shelves:300:3000"])
def test_the_limits_are_those_of_the_box(name):
    said = definition(Space(0.0, 10.0, -3.0, 3.0, 0.5, name))
    axes = eq.curves_named(name)
    assert f"x: {axes.x.name} in dB, from 0.0 to 10.0 in steps of 0.5; above 0 {axes.x.high}.\n" in said, (
        "nothing is said of a side that the box does not have"
    )
    assert (
        f"y: {axes.y.name} in dB, from -3.0 to 3.0 in steps of 0.5; above 0 {axes.y.high}; "
        f"below 0 {axes.y.low}.\n" in said
    )


def test_a_control_with_a_single_setting():
    assert "from 0.0 to 0.0" in definition(Space(-0.05, 0.05, -0.05, 0.05, 0.1, "bent"))
