"""Discovery: one entry point at a time, warnings that name the culprit, a test for each hook."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import types

import pytest

import popeq as package
from popeq import hookspecs
from popeq.commands import CommandSpec
from popeq.contract import DatasetSpec, PredictorSpec, load_object
from popeq.eq import CurvesSpec, curves_named
from popeq.errors import UnknownNameError, UsageError
from popeq.importing import ImporterSpec
from popeq.installing import pip_install
from popeq.plugins import Registry, build_registry, registry
from tests.conftest import ROOT


def entry(name: str, value: str) -> importlib.metadata.EntryPoint:
    return importlib.metadata.EntryPoint(name, value, "popeq")


def test_the_built_in_plugins_bring_what_the_readme_lists():
    found = registry()
    assert {"random", "prior", "static-flat", "static-best", "static-preset"} <= set(found.predictors)
    assert {"simulated-120", "simulated-120-b"} <= set(found.datasets)
    assert {"safe", "socialeq", "csv"} <= set(found.importers)
    assert found.source_of("prior").startswith("popeq ")


@pytest.mark.models
def test_every_factory_that_is_announced_can_be_imported():
    found = registry()
    own = [s for name, s in found.predictors.items() if found.source_of(name).startswith("popeq ")]
    assert len(own) >= 10
    for spec in [*own, *found.importers.values(), *found.commands.values()]:
        assert callable(load_object(spec.factory)), spec.name


def test_a_broken_entry_point_is_a_warning_that_names_it():
    found = build_registry(
        [
            entry("popeq_baselines", "popeq_baselines"),
            entry("absent", "a_package_that_is_absent"),
            entry("exits", "tests.popeq.exits_at_import"),
        ]
    )
    assert "prior" in found.predictors
    absent, exits = found.warnings
    assert "'absent'" in absent
    assert "ModuleNotFoundError" in absent
    assert "'exits'" in exits
    assert "SystemExit" in exits
    assert all("\n" not in w for w in found.warnings)


def plugin(**hooks) -> types.SimpleNamespace:
    return types.SimpleNamespace(**hooks)


def fresh() -> Registry:
    return build_registry([])


def spec(name: str) -> PredictorSpec:
    return PredictorSpec(name, "does nothing", "nowhere:Nothing")


def test_a_name_that_is_taken_stays_with_the_first():
    found = fresh()
    found.add(plugin(popeq_predictors=lambda: [spec("mine")]), "first 1.0")
    found.add(plugin(popeq_predictors=lambda: [spec("mine"), spec("other")]), "second 1.0")
    assert found.source_of("mine") == "first 1.0"
    assert found.source_of("other") == "second 1.0"
    assert found.warnings == ["plugin second 1.0: 'mine' is taken by first 1.0; give yours another name"]


@pytest.mark.parametrize("name", ["", "../up", "a/b", "a\\b", ".hidden", "two\nlines", "nul\x00", "x" * 101])
def test_a_name_that_no_folder_can_have_is_a_warning(name):
    found = fresh()
    found.add(plugin(popeq_predictors=lambda: [spec(name), spec("Klang: größer")]), "first 1.0")
    assert list(found.predictors) == ["Klang: größer"]
    assert len(found.warnings) == 1
    assert "must be a name for a folder: 1 to 100 printable characters" in found.warnings[0]
    assert "\n" not in found.warnings[0]


def test_a_hook_that_raises_or_gives_rubbish_is_a_warning():
    found = fresh()
    found.add(plugin(popeq_predictors=lambda: 1 / 0), "bad 1.0")
    found.add(plugin(popeq_predictors=lambda: ["prior"]), "worse 1.0")
    assert "popeq_predictors failed: ZeroDivisionError" in found.warnings[0]
    assert "gave 'prior', not a PredictorSpec" in found.warnings[1]


def test_hook_popeq_predictors():
    found = fresh()
    found.add(plugin(popeq_predictors=lambda: [spec("mine")]), "me 1.0")
    assert found.predictor("mine").summary == "does nothing"
    with pytest.raises(UnknownNameError, match="did you mean 'mine'"):
        found.predictor("mien")


def test_hook_popeq_datasets(tmp_path):
    found = fresh()
    found.add(plugin(popeq_datasets=lambda: [DatasetSpec("set", "a set", tmp_path)]), "me 1.0")
    assert found.datasets["set"].path == tmp_path


def test_hook_popeq_importers():
    found = fresh()
    found.add(plugin(popeq_importers=lambda: [ImporterSpec("files", "reads files", "json:loads")]), "me 1.0")
    assert found.importers["files"].load()("[1]") == [1]


def test_hook_popeq_curves(monkeypatch):
    found = fresh()
    mine = CurvesSpec("mine", "a loudness pair", "popeq.eq.pairs:orthogonal")
    found.add(plugin(popeq_curves=lambda: [mine, CurvesSpec("beosonic", "another", "json:loads")]), "me 1.0")
    assert found.curves["mine"] is mine
    assert found.warnings == ["plugin me 1.0: 'beosonic' is taken by popeq; give yours another name"]
    monkeypatch.setattr("popeq.plugins.registry", lambda: found)
    curves_named.cache_clear()
    assert curves_named("mine").x.name == "smile"
    curves_named.cache_clear()


def test_hook_popeq_commands():
    found = fresh()
    spec = CommandSpec("absent", "does nothing", "a_package_that_is_absent:command", extra="audio")
    found.add(plugin(popeq_commands=lambda: [spec]), "me 1.0")
    with pytest.raises(
        UsageError, match=f"popeq absent: cannot be loaded.*{re.escape(pip_install('audio'))}"
    ):
        found.commands["absent"].load()
    assert registry().commands["ask"].load().name == "ask"


#: popeq_run_started, popeq_prompt_done and popeq_run_finished are seen in a real run by
#: tests/popeq/runs/test_run_command.py::test_observers_see_every_event_and_cannot_break_a_run
OBSERVERS = {"popeq_run_started", "popeq_prompt_done", "popeq_run_finished"}


def test_every_hook_has_a_docstring_a_test_and_a_line_in_the_docs():
    hooks = {n: f for n, f in vars(hookspecs).items() if n.startswith("popeq_")}
    tested = {n.removeprefix("test_hook_") for n in globals() if n.startswith("test_hook_")} | OBSERVERS
    assert tested == set(hooks)
    docs = (ROOT / "docs" / "plugins.md").read_text()
    for name, hook in hooks.items():
        assert inspect.getdoc(hook), name
        assert name in docs


def test_every_public_name_can_be_imported():
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="No popeq attribute nonsense"):
        _ = package.nonsense
