"""Every built-in predictor on other boxes than the paper's, with a coarser step and other curves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from small_fits import fitted, learnable

from popeq.contract import LabelledPrompt
from popeq.errors import UsageError
from popeq.plugins import registry
from popeq.space import PLANE, Space
from popeq.testing import CHECKS, Subject
from popeq_peft.mixture import Mixture
from popeq_peft.records import read_record

#: A place near a corner of each box, outside of the paper's, where all answers are given.
SPACES = {
    "wide": (Space(-12.0, 12.0, -12.0, 12.0, 0.5, "beosonic"), (10.0, -10.0)),
    "odd": (Space(0.0, 10.0, -3.0, 3.0, 0.5, "beosonic"), (9.0, -2.5)),
}
TINY = {"model": "llama", "epochs": 1}
OPTIONS = {
    **{name: {} for name in ("random", "prior", "static-flat", "static-best", "static-preset")},
    "static-cloud": {"steps": 2},
    "group-prior": {},
    **{name: {"k": 3} for name in ("knn", "text-near")},
    **{name: {} for name in ("kernel-mixture", "kernel-ridge")},
    **{name: {"model": "llama", "device": "cpu", "dtype": "float32"} for name in ("icl-zero", "icl-static")},
    "icl-rag": {"model": "llama", "examples": 2},
    "icl-rag-qa": {"model": "llama", "examples": 1, "answers": 2},
    "icl-verbal": {"model": "llama", "examples": 1, "answers": 2},
    **dict.fromkeys(("lora-head", "prefix-head", "lora-ntp", "prefix-ntp"), TINY),
    "head-mixture": TINY | {"ensemble": 1},
}
ON_THE_STEP = {"static-flat", "prior", "group-prior", "knn", "text-near"} | {
    n for n in OPTIONS if n[:3] == "icl" or n[-3:] == "ntp"
}
LEARNT = {
    "prior",
    "group-prior",
    "static-best",
    "static-cloud",
    "knn",
    "text-near",
    "kernel-mixture",
    "kernel-ridge",
}
LEARNT |= {"kernel-mixture", "kernel-ridge", "lora-head", "prefix-head", "head-mixture"}


def subject_of(name, space, model_folders):
    options = dict(OPTIONS[name])
    if "model" in options:
        options |= {"model": str(model_folders(options["model"])), "device": "cpu", "dtype": "float32"}
    return Subject.of(name, options, space)


def test_no_built_in_predictor_is_left_out():
    assert set(OPTIONS) == {name for name, spec in registry().predictors.items() if not spec.wants_audio}


@pytest.mark.parametrize("which", SPACES)
@pytest.mark.parametrize("name", OPTIONS)
def test_samples_are_where_the_answers_are(name, which, model_folders):
    space, place = SPACES[which]
    subject, rng = subject_of(name, space, model_folders), np.random.default_rng(0)
    train = [
        LabelledPrompt(p.prompt, space.nearest(rng.normal(place, 0.7, (5, 2))), p.listeners)
        for p in subject.train[:5]
    ]
    samples = subject.draw(subject.fit(subject.fresh(), train, train[:2]), subject.prompts[:2], 9)
    assert space.contains(samples).all()
    if name in ON_THE_STEP - {"icl-verbal"}:
        np.testing.assert_array_equal(space.nearest(samples), samples)
    if name in LEARNT:
        assert np.linalg.norm(samples - place, axis=2).mean() < 2.5


@pytest.mark.parametrize("name", ["prior", "kernel-mixture", "icl-rag", "head-mixture"])
def test_the_conformance_suite_takes_a_space(name, model_folders):
    subject = subject_of(name, SPACES["odd"][0], model_folders)
    drawn = subject.draw(subject.fitted)
    assert subject.space.contains(np.concatenate([p.responses for p in subject.train])).all()
    for check in CHECKS:
        if check.name in ("samples-are-valid", "same-seed-same-samples", "order-and-batches", "another-box"):
            check.run(subject)
    np.testing.assert_array_equal(subject.draw(replace(subject).fitted), drawn)


def test_an_adapter_is_of_a_space(model_folders, tmp_path):
    options = {"epochs": 1, "ensemble": 1, "model": str(model_folders("llama"))}
    fitted("head-mixture", options, tmp_path, learnable(6, listeners=4))
    record = read_record(tmp_path / "member-0")
    assert record.space == PLANE
    assert "(smile and tilt, dB)" in (tmp_path / "member-0" / "README.md").read_text()
    old = record.model_dump(exclude={"step_db", "curves"})
    assert type(record).model_validate(old).space == PLANE, "records of before are of this space"
    for space in (replace(PLANE, step_db=0.5), replace(PLANE, curves="beosonic"), SPACES["wide"][0]):
        subject = Subject.of("head-mixture", options | {"adapter": str(tmp_path), "device": "cpu"}, space)
        with pytest.raises(
            UsageError, match=r"was trained for x -6 to 6 dB.*steps of 0.1 dB, curves orthogonal"
        ):
            subject.fit(subject.fresh())


@pytest.mark.parametrize(("space", "blur_db"), [(PLANE, 0.5), (SPACES["wide"][0], 1.0)])
def test_the_mixtures_sinkhorn_loss_is_as_blurred_as_the_box_is_large(space, blur_db, monkeypatch):
    seen = []
    monkeypatch.setattr("popeq_peft.mixture.sinkhorn_divergence", lambda *_, blur, **__: seen.append(blur))
    subject = Subject.of("head-mixture", {"loss": "sinkhorn"}, space)
    points = torch.zeros((1, 2, 2))
    given = Mixture(torch.zeros((1, 1)), points[:, :1], torch.ones((1, 1, 2)), space)
    subject.fresh().loss(given, points, torch.ones((1, 2), dtype=torch.bool))
    assert seen == [pytest.approx(blur_db)]
