"""What a board says of tested people, counted by hand from listener ids."""

from __future__ import annotations

import dataclasses

import pytest
from tests.conftest import write_small_dataset

from popeq.board.people import people_note, seen_answers
from popeq.dataset_folder import read_dataset


@pytest.fixture(params=[False, True], ids=["split", "folds"])
def data(request, tmp_path):
    return read_dataset(write_small_dataset(tmp_path / "data", folds=request.param))


def renamed(data, name):
    """The data set with its listeners called ``name(prompt_id, listener_id)``."""
    responses = data.responses.copy()
    pairs = zip(responses["prompt_id"], responses["listener_id"], strict=True)
    responses["listener_id"] = [name(p, who) for p, who in pairs]
    return dataclasses.replace(data, responses=responses)


def test_all_some_or_none_of_the_tested_people_were_seen(data):
    tested = 5 * len(data.test_ids)
    assert seen_answers(data, data.test_ids) == (tested, tested)
    assert "all test answers" in people_note(data, data.test_ids)
    some = renamed(data, lambda p, who: f"{who}-{p}" if p == "p09" or who == "l0" else who)
    # l0 and everybody of p09 answer once; the other four listeners of the other prompts are seen
    assert seen_answers(some, data.test_ids) == (tested, 4 * (len(data.test_ids) - 1))
    share = 4 * (len(data.test_ids) - 1) / tested
    assert f"{share * 100:.0f} % of the test answers" in people_note(some, data.test_ids)
    assert seen_answers(some, ["p09"]) == (5, 0)
    own = renamed(data, lambda p, who: f"{who}-{p}")
    assert seen_answers(own, data.test_ids) == (tested, 0)
    assert "each id has a single answer" in people_note(own, data.test_ids)


def test_people_of_the_validation_prompts_are_seen_too(tmp_path):
    data = read_dataset(write_small_dataset(tmp_path / "data"))
    validation = set(data.stages[0].validation)
    others = renamed(data, lambda p, who: who if p in validation or p == "p08" else f"{who}-{p}")
    assert seen_answers(others, data.test_ids) == (20, 5)
    pairs = renamed(data, lambda p, who: f"{who}-{p in data.test_ids}")
    assert people_note(pairs, data.test_ids).startswith("People: no tested listener")


def test_answers_that_are_not_here_are_said_to_be_unknown(data):
    known = data.responses[~data.responses["prompt_id"].isin(data.test_ids)]
    assert "not known" in people_note(dataclasses.replace(data, responses=known), data.test_ids)


def test_a_small_share_is_neither_none_nor_all(tmp_path):
    data = read_dataset(write_small_dataset(tmp_path / "data", prompts=200))
    few = renamed(data, lambda p, who: who if p < "p06" or (p, who) == ("p100", "l1") else f"{who}-{p}")
    assert "1 % of the test answers" in people_note(few, data.test_ids)
