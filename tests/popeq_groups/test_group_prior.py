"""``group-prior`` keeps the contract, is given groups in every process, and without groups is the prior."""

from __future__ import annotations

import numpy as np

import popeq
from popeq.testing import conformance
from popeq.testing.hash_seed import drawn_with_hash_seed
from popeq.testing.subject import Subject

test_contract = conformance("group-prior")


def test_the_checks_tell_it_groups_and_other_predictors_none():
    told = Subject.of("group-prior", {"pooled_answers": 0})
    assert told.train[0].groups == ("one", "one", "two", "two", "two")
    assert {p.group for p in told.prompts} == {"two"}
    plain = Subject.of("prior")
    assert plain.train[0].groups is None
    assert {p.group for p in plain.prompts} == {None}
    own = {tuple(x) for p in told.train for x, g in zip(p.responses, p.groups, strict=True) if g == "two"}
    assert {tuple(x) for x in drawn_with_hash_seed(told, 1).reshape(-1, 2)} <= own


def test_without_groups_it_draws_from_all_answers_alike():
    fitted = popeq.load_predictor("group-prior", pooled_answers=0).fit("simulated-120")
    data = popeq.load_dataset("simulated-120")
    pool = data.pooled(data.stages[0].train)
    samples = fitted.sample(["make it warm"], 4000)[0]
    assert fitted.predictor.own_share(None) == 0.0
    assert fitted.predictor.describe() == {"group_responses": {}}
    assert np.abs(samples.mean(axis=0) - pool.mean(axis=0)).max() < 0.2
