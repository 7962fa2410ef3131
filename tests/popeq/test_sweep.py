"""Sweeps: what a file expands to, what it may not say, and that nothing is drawn twice."""

from __future__ import annotations

import pytest

from popeq.errors import UsageError
from popeq.sweeping import expand, read_sweep, sweep
from tests.conftest import write_small_dataset


@pytest.fixture
def write(tmp_path):
    """Write a sweep's file beside two small data sets, ``one`` and ``two``."""
    for seed, name in enumerate(("one", "two")):
        write_small_dataset(tmp_path / name, seed=seed, name=name)

    def call(text: str):
        path = tmp_path / "sweep.toml"
        path.write_text(text)
        return path

    return call


def test_every_value_meets_every_other(write):
    path = write("""
datasets = ["one", "two"]
seeds = [3, 4]
[[predictor]]
name = "knn"
parameters = { k = [1, 2, 3] }
[[predictor]]
name = "prior"
seeds = [7]
[[predictor]]
name = "prior"
seeds = [7]
""")
    plans = expand(read_sweep(path), path.parent)
    found = [(p.dataset.name, p.predictor.name, p.parameter_values.get("k"), p.spec.seed) for p in plans]
    assert found == [
        (data, *rest)
        for data in ("one", "two")
        for rest in [*(("knn", k, seed) for k in (1, 2, 3) for seed in (3, 4)), ("prior", None, 7)]
    ]
    assert len({p.key for p in plans}) == len(plans)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "predictor: Field required"),
        ("seeds = ", "is no TOML"),
        ("datasets = []\n[[predictor]]\nname='prior'", "datasets: .*at least 1"),
        ("[[predictor]]\nname='prior'\ncolour=1", "predictor.0.colour: Extra inputs"),
        ("datasets=['one']\n[[predictor]]\nname='priar'", "'priar'.*did you mean 'prior'"),
        ("datasets=['one']\n[[predictor]]\nname='knn'\nparameters={kk=2}", "parameter of knn.*'kk'"),
        ("datasets=['one']\n[[predictor]]\nname='knn'\nparameters={k=[1, 'x']}", "-o k=x"),
        ("datasets=['one']\nseeds=[-1]\n[[predictor]]\nname='prior'", "seeds must be"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_before_anything_runs(write, tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        sweep(write(text), runs_dir=tmp_path / "runs")
    assert not list((tmp_path / "runs").glob("*/run.json"))


def test_a_sweep_draws_what_is_missing_and_ends_with_a_board_for_each_data_set(popeq, write):
    write('datasets = ["one", "two"]\n[[predictor]]\nname = "prior"\n')
    first = popeq("sweep", "sweep.toml", "--format", "markdown", check=True)
    assert first.stdout.count("| \\[perfect predictor") == 2
    write('datasets = ["one", "two"]\nseeds = [0, 1]\n[[predictor]]\nname = "prior"\n')
    planned = popeq("sweep", "sweep.toml", "--dry-run", check=True)
    assert [line.split() for line in planned.stdout.splitlines()[2:]] == [
        ["prior", name, "1/2", "4/8", "to", "do", line.split()[-1]]
        for name, line in zip(("one", "two"), planned.stdout.splitlines()[2:], strict=True)
    ]
    second = popeq("sweep", "sweep.toml", check=True)
    assert second.stderr.count("complete: prior") == 2  # seed 0 of either was there
    assert "2/2" in second.stderr.splitlines()[-1]


def test_a_failing_predictor_costs_its_own_runs_only(popeq, write, example_plugin):
    write('datasets = ["one"]\n[[predictor]]\nname = "example-crashes"\n[[predictor]]\nname = "prior"\n')
    result = popeq("sweep", "sweep.toml", env={"PYTHONPATH": str(example_plugin)})
    assert result.returncode == 1
    assert "FAILED" in result.stderr
    assert "prior" in result.stdout
