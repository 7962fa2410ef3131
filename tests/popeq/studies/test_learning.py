"""Learning curves: the runs they make, what their table says, and what is beyond noise."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests import preloaded
from tests.conftest import environment, write_small_dataset

import popeq
from popeq.board.scoring import Scorer
from popeq.errors import RunError, UsageError
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.folder import find_runs
from popeq.statistics import MeanEstimate
from popeq.studies.learning import conclusion, with_subsets

pytestmark = pytest.mark.usefixtures("readable_pictures")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("learn") / "data", prompts=20)


def test_the_table_is_what_its_runs_score(data, tmp_path):
    study = popeq.learn(["prior", "random"], data, train=(6, 3), subsets=2, seeds=(0, 1), runs_dir=tmp_path)
    runs = find_runs(tmp_path)[0]
    assert len(runs) == 2 * 2 * (2 + 1)
    loaded = popeq.load_dataset(data)
    scorer = Scorer(loaded, DEFAULT_PROTOCOL)
    table = study.table.set_index(["predictor", "train"])
    assert list(table.index) == [(p, n) for p in ("prior", "random") for n in (3, 6)]
    for size, names in ((3, ["small@train-3-0", "small@train-3-1"]), (6, ["small"])):
        means = []
        for name in names:
            own = [r for r in runs if r.record.dataset.name == name and r.record.predictor.name == "prior"]
            assert sorted(r.record.seed for r in own) == [0, 1]
            scores = [scorer.score(r.samples(loaded.test_ids)).scores(HEADLINE) for r in own]
            means.append(np.mean(scores))
        row = table.loc["prior", size]
        assert row[f"{HEADLINE}_mean"] == pytest.approx(np.mean(means))
        assert row["subsets"] == len(names)
        assert row["seeds"] == "0,1"
        if size == 3:
            assert row["sd_subsets"] == pytest.approx(np.std(means, ddof=1))
        else:
            assert np.isnan(row["sd_subsets"])
        assert row[f"{HEADLINE}_mean_low"] < row[f"{HEADLINE}_mean"] < row[f"{HEADLINE}_mean_high"]
    assert any("With all 6 training prompts there is one subset" in note for note in study.notes)
    assert any(note.startswith("Beyond noise (5 % for any of 4 comparisons, Holm)") for note in study.notes)
    for name in ("one.svg", "two.svg"):
        study.picture(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_choice_of_prompts_adds_the_variance_that_theory_says():
    plain = MeanEstimate(2.0, 0.1, 40.0, 1.0)
    means = np.array([1.9, 2.0, 2.2])
    # v (1 - r) = 0.07 / 3, so the mean of three has v (r + (1 - r) / 3).
    v = (0.07 / 3) / 0.9
    found = with_subsets(plain, means, 0.1)
    added = v * (0.1 + 0.9 / 3)
    assert found.se**2 == pytest.approx(0.01 + added)
    assert found.df == pytest.approx((0.01 + added) ** 2 / (1e-4 / 40 + added**2 / 2))
    assert found.value == plain.value
    assert with_subsets(plain, means[:1], 0.1) == plain
    assert with_subsets(plain, means, 1.0) == plain
    assert with_subsets(plain, np.full(3, 2.0), 0.1).se == plain.se
    nothing = MeanEstimate(2.0, 0.1, 0.0, 1.0)
    assert with_subsets(nothing, means, 0.1) == nothing


def test_conclusions_are_holms():
    def estimate(value, p):
        """With 1,000 degrees of freedom, nearly a normal distribution."""
        from scipy.stats import t

        return MeanEstimate(value, abs(value) / t.isf(p / 2, 1000), 1000.0, 1.0)

    found = conclusion(
        {
            ("a", 60, "b", 60): estimate(-0.3, 0.01),  # at most 0.05 / 4
            ("a", 600, "b", 600): estimate(0.3, 0.016),  # at most 0.05 / 3
            ("a", 600, "a", 60): estimate(-0.25, 0.03),  # over 0.05 / 2
            ("b", 600, "b", 60): estimate(-0.2, 0.04),
        }
    )
    assert found == (
        "Beyond noise (5 % for any of 4 comparisons, Holm): a is ahead of b with 60 training prompts; b is "
        "ahead of a with 600 training prompts."
    )
    assert conclusion({("a", 6, "b", 6): estimate(-0.3, 0.2)}).endswith("Holm): no difference.")
    better = conclusion({("a", 600, "a", 60): estimate(-0.25, 0.03)})
    assert better.endswith("a improves by 0.25 dB from 60 to 600 prompts.")


@pytest.mark.parametrize("train", [(), (0,), (3, 7), (-1, 2)])
def test_numbers_that_the_data_set_does_not_have(data, tmp_path, train):
    with pytest.raises(UsageError, match="has 6 training prompts; give numbers from 1 to that"):
        popeq.learn("prior", data, train=train, runs_dir=tmp_path)
    assert not list(tmp_path.iterdir())


def test_wrong_seeds_and_no_predictor_are_one_line(data, tmp_path):
    for seeds in (-1, (0, -1), "x"):
        with pytest.raises(UsageError, match="seeds must be whole numbers from 0"):
            popeq.learn("prior", data, train=(3,), seeds=seeds, runs_dir=tmp_path)
    with pytest.raises(UsageError, match="name at least one predictor"):
        popeq.learn([], data, train=(3,), runs_dir=tmp_path)
    study = popeq.learn("prior", popeq.load_dataset(data), train=(3,), subsets=1, seeds=2, runs_dir=tmp_path)
    assert study.table["seeds"].tolist() == ["2"]


def test_folds_and_views_are_refused(tmp_path):
    folds = write_small_dataset(tmp_path / "folds", folds=True)
    with pytest.raises(UsageError, match="has folds; a learning curve needs a data set with a split"):
        popeq.learn("prior", folds, train=(2,), runs_dir=tmp_path / "runs")
    small = write_small_dataset(tmp_path / "small")
    with pytest.raises(UsageError, match="is a view already"):
        popeq.learn("prior", f"{small}@train-3-0", train=(2,), runs_dir=tmp_path / "runs")


def test_a_run_that_fails_is_named(data, tmp_path):
    with pytest.raises(RunError, match="1 of 1 runs are not complete"):
        popeq.learn("prior", data, train=(6,), runs_dir=tmp_path, memory_gb=0.001)


def test_the_command_draws_prints_and_goes_on(data, tmp_path):
    def call(*arguments):
        return preloaded.run(["learn", *arguments, "--dataset", str(data)], tmp_path, environment())

    planned = call("prior", "random", "--train", "3,6", "--subsets", "2", "--dry-run")
    assert planned.returncode == 0, planned.stderr
    assert "small@train-3-1" in planned.stdout
    assert not (tmp_path / "runs").exists()
    shown = call("prior", "--train", "3,6", "--subsets", "2", "--picture", "curve.png", "--format", "json")
    assert shown.returncode == 0, shown.stderr
    rows = json.loads(shown.stdout)["rows"]
    assert [(r["train"], r["subsets"]) for r in rows] == [(3, 2), (6, 1)]
    assert (tmp_path / "curve.png").stat().st_size > 5000
    made = sorted((tmp_path / "runs").glob("2*"))
    again = call("prior", "random", "--train", "3,6", "--subsets", "2", "--quiet")
    assert again.returncode == 0, again.stderr
    assert set(made) < set((tmp_path / "runs").glob("2*"))
    assert len(list((tmp_path / "runs").glob("2*"))) == 6
    wrong = call("prior", "--train", "3;6")
    assert wrong.returncode == 2
    assert "whole numbers with commas between" in wrong.stderr
