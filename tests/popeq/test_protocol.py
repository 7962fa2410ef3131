"""The published protocols: what they are never changes, and which of several is the newest."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from popeq.protocol import DEFAULT_PROTOCOL, PROTOCOL_1, PROTOCOL_2, PUBLISHED, Protocol, newest
from popeq.runs.folder import kept_to
from popeq.space import PLANE, Space

#: A board of a protocol is never mixed with another, so a fingerprint is a promise.
FINGERPRINTS = {
    1: "e446063fbeb8de4436bf98142d24563043d831027561559606c4863e1c3bb4d4",
    2: "436da42b",
}


@pytest.mark.parametrize("protocol", PUBLISHED, ids=lambda p: p.label)
def test_a_published_protocol_keeps_its_fingerprint_and_reads_back(protocol):
    assert protocol.fingerprint.startswith(FINGERPRINTS[protocol.version])
    assert protocol.label == f"protocol {protocol.version} ({FINGERPRINTS[protocol.version][:8]})"
    assert Protocol.model_validate_json(protocol.model_dump_json()) == protocol
    assert protocol.n_samples % 11 == 0, "a model may answer in lists of 11 settings"


def test_the_first_protocol_is_written_as_it_was_before_there_was_a_second():
    assert json.loads(PROTOCOL_1.model_dump_json()) == {
        "version": 1,
        "n_samples": 110,
        "bandwidth": "scott",
        "bandwidth_floor": 0.025,
        "grid_cells": 24,
        "metrics": dict.fromkeys(
            ("kantorovich", "reflective_kantorovich", "sample_kantorovich", "energy_score"), 1
        ),
    }


def test_the_newest_is_the_last_published_and_a_custom_one_only_where_there_is_none():
    custom = [PROTOCOL_2.model_copy(update={"n_samples": n}) for n in (11, 22)]
    assert newest([PROTOCOL_1, PROTOCOL_2, PROTOCOL_1]) == PROTOCOL_2 == DEFAULT_PROTOCOL
    assert newest([custom[0], PROTOCOL_1]) == PROTOCOL_1
    assert newest(custom) == custom[0]
    assert custom[0].label.startswith("custom protocol")


edges = st.floats(-30, 29).flatmap(lambda low: st.tuples(st.just(low), st.floats(low + 0.05, low + 30)))


@given(x=edges, y=edges, share=st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=5))
def test_rounding_stays_in_the_box_moves_little_and_does_nothing_twice(x, y, share):
    space = Space(x[0], x[1], y[0], y[1])
    points = space.clip(space.low + space.size * np.array(share))
    kept = kept_to(points, 2, space)
    assert space.contains(kept).all()
    assert np.abs(kept - points).max() < 0.01 + 1e-9, "half a step, or a whole one at an edge"
    assert np.array_equal(kept_to(kept, 2, space), kept)
    inner = (points > space.low + 0.01).all(axis=1) & (points < space.high - 0.01).all(axis=1)
    assert np.abs(kept - points)[inner].max(initial=0.0) <= 0.005 + 1e-9
    assert [float(f"{v:.2f}") for v in kept[inner].ravel()] == kept[inner].ravel().tolist()


def test_rounding_has_no_negative_zero_and_turns_to_the_inside():
    kept = kept_to(np.array([[-0.001, 5.9999], [-6.0, 6.0]]), 2, PLANE)
    assert repr(kept.tolist()) == "[[0.0, 6.0], [-6.0, 6.0]]"
    narrow = Space(-5.996, 5.996, -6.0, 6.0)
    assert kept_to(np.array([[-5.996, 0.0], [5.9955, 0.0]]), 2, narrow)[:, 0].tolist() == [-5.99, 5.99]
