"""A predictor's process cannot load the data set that it is tested on; any other it can."""

from __future__ import annotations

import importlib
import shutil
import textwrap

import pytest
from tests.conftest import write_small_dataset

import popeq
from popeq.contract import PredictorSpec
from popeq.dataset_folder import read_dataset, withheld_revisions
from popeq.errors import UsageError
from popeq.tuning.view import asking, tuning_view
from popeq.withheld import WITHHELD, withholding

MODULE = '''
import json, subprocess, sys
import numpy as np, popeq

class Options(popeq.Parameters):
    load: str = ""
    attempts: str = ""

def refused(given):
    try:
        popeq.load_dataset(given)
    except popeq.UsageError as error:
        return str(error)
    return "loaded"

class Loader:
    """Loads one data set in fit, or tries several, itself and by a child process, and says what came."""

    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def fit(self, train, validation, rng):
        if self.parameters.load:
            popeq.load_dataset(self.parameters.load)
        self.came = {given: refused(given) for given in filter(None, self.parameters.attempts.split("|"))}
        code = "import json, sys, {0}; print(json.dumps([{0}.refused(given) for given in sys.argv[1:]]))"
        if self.came:  # one process for all: to import popeq takes a second
            command = [sys.executable, "-c", code.format(__name__), *self.came]
            child = subprocess.run(command, capture_output=True, text=True, check=True)
            self.came |= {"child " + g: line for g, line in zip(self.came, json.loads(child.stdout))}

    def sample(self, prompts, n, rngs):
        return np.stack([rng.uniform(-6, 6, (n, 2)) for rng in rngs])

    def describe(self):
        return {"came": self.came}
'''
LINE = "holds answers that this predictor is tested on"


@pytest.fixture
def loader(tmp_path, monkeypatch):
    """A spec of the predictor in ``MODULE``; a suffix makes a module of its own with more code in front."""
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(tmp_path / "code")

    def spec(name="a_loader", before=""):
        (tmp_path / "code" / f"{name}.py").write_text(MODULE + textwrap.dedent(before))
        options = importlib.import_module(name).Options
        return PredictorSpec(name.replace("_", "-"), "loads", f"{name}:Loader", parameters=options)

    return spec


@pytest.fixture
def panels(tmp_path):
    """A data set with a second panel, that panel, a copy of the first under another name, another set."""
    first = write_small_dataset(tmp_path / "first")
    second = write_small_dataset(tmp_path / "second", seed=2, name="second")
    card = first / "dataset.toml"
    card.write_text(card.read_text() + 'second_panel = "../second"\n')
    copy = shutil.copytree(first, tmp_path / "copy")
    (copy / "dataset.toml").write_text(card.read_text().replace('name = "small"', 'name = "mine"'))
    return first, second, copy, write_small_dataset(tmp_path / "other", seed=3, name="other")


def draw(spec, dataset, tmp_path, **options):
    (run,) = popeq.run(spec, dataset, options=options, runs_dir=tmp_path / "runs")
    return run.record


def test_a_predictor_that_loads_its_own_test_set_in_fit_fails_and_says_why(loader, panels, tmp_path):
    record = draw(loader(), panels[0], tmp_path, load=str(panels[0]))
    assert record.status == "failed"
    (failure,) = record.failures
    assert failure.kind == "error"
    assert LINE in failure.message
    assert "\n" not in failure.message
    assert draw(loader(), panels[0], tmp_path, load=str(panels[3])).status == "complete"


def test_copies_and_the_second_panel_are_refused_too_in_children_as_well_and_others_are_not(
    loader, panels, tmp_path
):
    first, second, copy, other = map(str, panels)
    attempts = "|".join([first, second, copy, other])
    came = draw(loader(), first, tmp_path, attempts=attempts).predictor.described["came"]
    assert len(came) == 8
    for given in (first, second, copy):
        assert LINE in came[given]
        assert LINE in came[f"child {given}"]
    assert came[other] == came[f"child {other}"] == "loaded"
    came = draw(loader(), other, tmp_path, attempts=attempts).predictor.described["came"]
    assert [given for given, said in came.items() if said != "loaded"] == [other, f"child {other}"]
    # the set whose second panel is tested
    came = draw(loader(), second, tmp_path, attempts=attempts).predictor.described["came"]
    assert LINE in came[first]
    assert LINE in came[second]


def test_installed_data_sets_are_refused_by_name(loader, tmp_path):
    attempts = "simulated-120|simulated-120-b|simulated-tracks"
    came = draw(loader(), "simulated-120", tmp_path, attempts=attempts).predictor.described["came"]
    assert LINE in came["simulated-120"]
    assert LINE in came["simulated-120-b"]
    assert came["simulated-tracks"] == "loaded"


def test_it_is_in_force_while_the_predictors_module_is_imported(loader, panels, tmp_path):
    code = f"""
        import os
        if os.environ.get({WITHHELD!r}):
            popeq.load_dataset({str(panels[0])!r})
    """
    record = draw(loader("at_import", code), panels[0], tmp_path)
    assert record.status == "failed"
    assert LINE in record.failures[0].message


def test_a_search_withholds_the_data_set_that_its_view_was_cut_out_of(panels):
    first, second = (read_dataset(folder) for folder in panels[:2])
    view = tuning_view(first)
    for cut in (view, asking(view, view.test_ids[:1])):
        assert {first.revision, second.revision, cut.revision} <= withheld_revisions(cut)


def test_what_a_process_may_not_load_its_children_may_not_either(panels, monkeypatch):
    env = withholding(["b" * 64], {WITHHELD: "a" * 64, "PATH": "x"})
    assert env == {WITHHELD: f"{'a' * 64},{'b' * 64}", "PATH": "x"}
    revision = read_dataset(panels[0]).revision
    monkeypatch.setenv(WITHHELD, f"{'a' * 64},{revision}")
    with pytest.raises(UsageError, match=LINE):
        read_dataset(panels[2])
    assert read_dataset(panels[3])
