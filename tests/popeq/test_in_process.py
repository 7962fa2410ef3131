"""Predictors in this process: the same fit and draws as a run's."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import popeq
from popeq.errors import UnknownNameError, UsageError
from popeq.runs.folder import kept_to
from tests.conftest import write_small_dataset


@pytest.mark.parametrize(
    "name", ["prior", "static-best", pytest.param("kernel-ridge", marks=pytest.mark.models)]
)
@pytest.mark.parametrize("folds", [False, True])
def test_the_samples_of_a_data_set_are_those_of_a_run(tmp_path, name, folds):
    data = popeq.load_dataset(write_small_dataset(tmp_path / "data", folds=folds))
    loaded = popeq.load_predictor(name, seed=3)
    if folds:  # a run fits once a fold
        assert loaded.fit(data).sample(data.unlabelled(data.test_ids), n=5).shape == (12, 5, 2)
        return
    (run,) = popeq.run(name, data, seeds=3, runs_dir=tmp_path / "runs")
    drawn = loaded.fit(data).sample(data.unlabelled(data.test_ids), n=660)
    kept = kept_to(drawn, 2, data.space)
    assert np.array_equal(kept, run.samples(data.test_ids, data.space))


@pytest.mark.models
def test_sentences_and_labelled_prompts_do_as_well(tmp_path):
    data = popeq.load_dataset(write_small_dataset(tmp_path / "data"))
    train = data.labelled(data.stages[0].train)
    fitted = popeq.load_predictor("knn", k=2).fit(train)
    both = fitted.sample(["make it warmer", "brighter"], n=7)
    assert both.shape == (2, 7, 2)
    assert data.space.contains(both.reshape(-1, 2)).all()
    assert np.array_equal(fitted.sample(["brighter"], n=7)[0], both[1]), "a sentence alone draws the same"
    assert "k=2" in repr(fitted)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: popeq.load_predictor("knm"), UnknownNameError, "did you mean 'knn'"),
        (lambda: popeq.load_predictor("knn", k=0), UsageError, "knn: .*k=0.*greater than or equal to 1"),
        (lambda: popeq.load_predictor("knn", kk=2), UsageError, "kk"),
        (lambda: popeq.load_predictor("prior").sample(["warm"]), UsageError, r"not fitted; call fit\(\)"),
        (lambda: popeq.load_predictor("prior").fit().sample("warm"), UsageError, "a list of"),
        (lambda: popeq.load_predictor("prior").fit().sample([]), UsageError, "at least one"),
        (lambda: popeq.load_predictor("prior").fit().sample([1]), UsageError, "sentence or prompt"),
        (lambda: popeq.load_predictor("prior").fit([]), UsageError, "at least one labelled prompt"),
    ],
)
def test_wrong_use_is_one_line(make, error, message):
    with pytest.raises(error, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_what_is_installed_is_listed():
    assert {"prior", "knn", "lora-head"} <= {spec.name for spec in popeq.list_predictors()}
    assert "simulated-120" in {spec.name for spec in popeq.list_datasets()}


def test_every_public_name_is_there_after_import_popeq_alone():
    code = (
        "import sys, popeq\n"
        "heavy = {'torch', 'transformers', 'pandas', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "for name in popeq.__all__: getattr(popeq, name)\n"
        "popeq.metrics.kantorovich, popeq.errors.UsageError, popeq.testing.conformance\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
