"""No folder of this machine in a page, a table or what is published; the data set and the runs lie in one."""

from __future__ import annotations

import json
import re

import pytest
from tests.conftest import write_small_dataset

import popeq
from popeq.folder_names import is_path, last_name, without_folders
from popeq.runs.folder import Run, find_runs

PLUGIN = """
import numpy as np
import popeq

class Options(popeq.Parameters):
    model: str = "none"
    notes: str = "none"

class Made:
    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def fit(self, train, validation, rng):
        if self.parameters.notes == "fail":
            raise FileNotFoundError(self.parameters.model)

    def sample(self, prompts, n, rngs):
        return self.space.clip(np.stack([rng.normal(0, 1.0, (n, 2)) for rng in rngs]))

    def describe(self):
        return {"model": self.parameters.model, "notes": [f"read {self.parameters.model}/config.json"]}

@popeq.hookimpl
def popeq_predictors():
    return [popeq.PredictorSpec("made", "made", "made_plugin:Made", parameters=Options)]
"""
CARD = {"authors": ["A"], "contact": "a@example.org", "training_data": "none"}


@pytest.fixture
def world(tmp_path, popeq):
    """Runs with every kind of path in them: data set, model, a failure, a broken run, another revision."""
    where = tmp_path / "a very private folder"
    plugin = where / "plugin"
    info = plugin / "made_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: made-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[popeq]\nmade = made_plugin\n")
    (plugin / "made_plugin.py").write_text(PLUGIN)
    data, other = write_small_dataset(where / "small"), write_small_dataset(where / "other", seed=3)
    env = {"PYTHONPATH": str(plugin)}
    runs = ("--runs", where / "runs", "--quiet")
    model = where / "models" / "mine"
    for words in (
        ("prior", "--dataset", data),
        ("prior", "--dataset", other),
        ("made", "--dataset", data, "-o", f"model={model}"),
        ("made", "--dataset", data, "-o", f"model={model}", "-o", "notes=fail"),
    ):
        popeq("run", *words, *runs, env=env)
    (where / "runs" / "broken").mkdir()
    (where / "runs" / "broken" / "run.json").write_text("{")
    found, broken = find_runs(where / "runs")
    assert (len(found), len(broken)) == (4, 1)
    return where, data, env


def test_no_page_table_or_published_file_names_a_folder(world, popeq, tmp_path):
    where, data, env = world
    marks = (str(tmp_path), "a very private folder")
    common = ("--dataset", data, "--runs", where / "runs")
    texts = {}
    for form in ("text", "markdown", "csv", "json"):
        shown = popeq("leaderboard", "show", *common, "--format", form, env=env)
        assert shown.returncode == 0, shown.stderr
        texts[form] = shown.stdout + shown.stderr
    assert "left out: broken/run.json: cannot be read" in texts["json"]
    assert popeq("leaderboard", "build", "-o", tmp_path / "site", *common, env=env).returncode == 0
    pages = [p for p in (tmp_path / "site").rglob("*") if p.is_file()]
    assert {"index.html", "board.csv", "board.json"} <= {p.name for p in pages}
    texts |= {str(p.relative_to(tmp_path)): p.read_text(encoding="utf-8") for p in pages}
    card = tmp_path / "card.json"
    card.write_text(json.dumps(CARD))
    words = ("--dataset", data, "--card", card, "--to", tmp_path / "board")
    own = [r for r in find_runs(where / "runs")[0] if r.record.status == "complete"]
    for run in own:
        if run.record.dataset.revision == popeq_revision(data):
            sent = popeq("submit", run.folder, *words, env=env)
            assert sent.returncode == 0, sent.stderr
    published = [p for p in (tmp_path / "board").rglob("*") if p.is_file()]
    assert len(published) == 6
    texts |= {str(p.relative_to(tmp_path)): p.read_bytes().decode("utf-8", "replace") for p in published}
    (made,) = [r for r in find_runs(tmp_path / "board" / "small")[0] if r.record.predictor.name == "made"]
    assert made.record.model == "mine"
    shown = popeq("show", made.folder, "--dataset", data, env=env)
    texts["popeq show"] = shown.stdout
    assert "-o model=mine" in shown.stdout
    for name, text in texts.items():
        for mark in marks:
            assert mark not in text, (name, text[max(0, text.find(mark) - 200) :][:400])


def popeq_revision(data):
    return popeq.load_dataset(data).revision


def test_a_run_of_popeq_0_1_with_a_path_in_its_parameters_is_not_published(world, popeq, tmp_path):
    """Its key was made with the path, so that it cannot be taken out."""
    where, data, env = world
    (run,) = [
        r
        for r in find_runs(where / "runs")[0]
        if r.record.predictor.name == "made" and r.record.status == "complete"
    ]
    values = {**run.record.predictor.parameters, "model": "/srv/models/mine"}
    old = run.record.predictor.model_copy(update={"parameters": values, "code": None, "identity": {}})
    record = run.record.model_copy(update={"predictor": old})
    Run(run.folder, record).update(key=record.expected_key)
    (tmp_path / "card.json").write_text(json.dumps(CARD))
    words = ("--dataset", data, "--card", tmp_path / "card.json", "--to", tmp_path / "board")
    sent = popeq("submit", run.folder, *words, env=env)
    assert sent.returncode == 2
    assert "predictor.parameters.model" in sent.stderr
    assert "draw the run again" in sent.stderr
    board = popeq("leaderboard", "show", run.folder, "--dataset", data, "--format", "json", env=env)
    assert "/srv/models" not in board.stdout


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/srv/a/model", "model"),
        ("/srv/a b/model", "model"),
        ("~/models/x/", "x"),
        ("cannot read /srv/a/b.txt: no", "cannot read b.txt: no"),
        ("FileNotFoundError: [Errno 2]: '/srv/a/b'", "FileNotFoundError: [Errno 2]: 'b'"),
        ("cannot read /srv/a b/c d/e.txt: no", "cannot read e.txt: no"),
        ("-o model=/srv/a/b", "-o model=b"),
        (
            "https://example.org/a/b and http://[::1]:8000/v1/x",
            "https://example.org/a/b and http://[::1]:8000/v1/x",
        ),
        ("owner/model", "owner/model"),
        ("3 dB/octave and/or 1/3", "3 dB/octave and/or 1/3"),
        ("all-MiniLM-L6-v2", "all-MiniLM-L6-v2"),
        (3, 3),
        ({"a": ["/x/y", None]}, {"a": ["y", None]}),
    ],
)
def test_paths_are_cut_to_names_and_nothing_else_changes(text, shown):
    assert without_folders(text) == shown
    assert without_folders(shown) == shown


def test_what_is_a_path():
    assert all(map(is_path, ("/a", "~/a", "./a", "../a/b/")))
    assert not any(map(is_path, ("a", "a/b", "", "/", "https://a", ".", "-1")))
    assert (last_name("/a/b/"), last_name("/"), last_name("a")) == ("b", "", "a")
    assert re.fullmatch("b", last_name("../b"))
