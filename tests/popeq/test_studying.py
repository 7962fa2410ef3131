"""Studies, gate and verification from Python and from the command line: the same numbers."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest

import popeq as api
from popeq.board.regression import NotComparableError
from popeq.errors import UsageError
from popeq.render import render
from tests.conftest import store_text, stored_text, write_small_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of two predictors on a data set, and another data set of the same sentences."""
    folder = tmp_path_factory.mktemp("studies")
    data = write_small_dataset(folder / "data")
    write_small_dataset(folder / "other", seed=5, name="other")
    api.run(["prior", "random"], data, runs_dir=folder / "runs")
    return folder


@pytest.mark.parametrize(
    ("words", "study"),
    [
        (("ceiling", "{}/data"), lambda f: api.ceiling(f / "data")),
        (("ceiling", "{}/data", "--by", "category"), lambda f: api.ceiling(f / "data", by="category")),
        (
            ("transfer", "prior", "random", "--to", "{}/other"),
            lambda f: api.transfer(["prior", "random"], to=f / "other", runs_dir=f / "runs"),
        ),
        (
            ("transfer", "prior", "--to", "{}/other", "--by", "category"),
            lambda f: api.transfer(["prior"], to=f / "other", runs_dir=f / "runs", by="category"),
        ),
        (("ablate", "prior"), lambda f: api.ablate(["prior"], runs_dir=f / "runs")),
        (("ablate", "--edges"), lambda f: api.ablate(runs_dir=f / "runs", edges=True)),
        (("verify", "--dataset", "{}/data"), lambda f: api.verify(dataset=f / "data", runs_dir=f / "runs")),
        (
            ("verify", "prior", "--redraw", "--dataset", "{}/data"),
            lambda f: api.verify([f / "runs" / "prior"], f / "data", runs_dir=f / "runs", redraw=True),
        ),
    ],
)
def test_python_and_the_command_line_give_the_same_table(popeq_inside, folder, words, study):
    runs = [] if words[0] == "ceiling" else ["--runs", folder / "runs"]
    printed = popeq_inside(*(w.format(folder) for w in words), *runs, "--format", "json")
    assert printed.returncode == 0
    made = study(folder)
    assert ("--by" in words) == ("category" in made.table)
    assert json.loads(printed.stdout) == json.loads(render(made.table, "json", made.notes))
    assert made._repr_html_().startswith("<table")


def test_the_gate_is_the_same_too(popeq_inside, folder):
    found = api.regress("prior", "random", runs_dir=folder / "runs", margin_db=0.1)
    printed = popeq_inside(
        "regress", "prior", "random", "--runs", folder / "runs", "--margin", "0.1", "--json"
    )
    shown = json.loads(printed.stdout)
    assert shown["verdict"] == found.verdict
    assert shown["shift_db"] == found.shift.value
    assert printed.returncode == found.exit_code
    assert found.lines[0] in found._repr_html_()
    assert found.margin_db == shown["margin_db"] == 0.1
    assert api.regress("prior", "random", runs_dir=folder / "runs", margin_db=100.0).verdict != "regressed"


def test_a_run_that_comes_out_otherwise_is_not_ok(folder, tmp_path):
    run = shutil.copytree(next((folder / "runs").glob("*-random-*")), tmp_path / "run")
    rows = stored_text(run).splitlines(keepends=True)
    rows[1] = ",".join([*rows[1].split(",")[:2], "0.5,0.5\n"])
    store_text(run, "".join(rows))
    record = json.loads((run / "run.json").read_text())
    record["predictions_sha256"] = hashlib.sha256("".join(rows).encode()).hexdigest()
    (run / "run.json").write_text(json.dumps(record))
    assert api.verify([run], folder / "data").ok
    found = api.verify([run], folder / "data", redraw=True)
    assert not found.ok
    assert found.table["reproduced"].tolist() == ["no"]
    assert "1 of 2640 samples differ" in " ".join(found.notes)


def test_wrong_use_of_a_study_is_one_line(folder):
    runs = folder / "runs"
    with pytest.raises(UsageError, match="leave 'by' out"):
        api.ablate(runs_dir=runs, edges=True, by="category")
    with pytest.raises(UsageError, match="split by category"):
        api.ceiling(folder / "data", by="colour")
    with pytest.raises(UsageError, match="too few"):  # of the small set's four prompts
        api.power("prior", "random", runs_dir=runs)
    with pytest.raises(UsageError, match="give redraw"):
        api.verify(runs_dir=runs, options={"k": 1})
    with pytest.raises(NotComparableError, match="no score is called"):
        api.regress("prior", "random", runs_dir=runs, metric="loudness")


def test_wrong_use_of_the_gate_is_not_its_verdict(popeq_inside, folder):
    for words in (["prior", "nobody"], ["prior", "random", "--answers", "x"], ["prior", "--json"]):
        assert popeq_inside("regress", *words, "--runs", folder / "runs").returncode == 3
