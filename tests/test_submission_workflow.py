"""The shell commands of .github run here as a pull request would run them, in a repository of their own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT, environment, store_text, stored_text, write_small_dataset

CARD = {"authors": ["A. Stranger"], "contact": "a@example.org", "training_data": "none"}
WORKFLOW = ROOT / ".github" / "workflows" / "verify-submissions.yml"


def git(*arguments: str, cwd: Path) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, env=env, capture_output=True, check=True)


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    """Variables with the program ``popeq`` on the path, which knows a small data set by name."""
    folder = tmp_path_factory.mktemp("site")
    program = folder / "bin" / "popeq"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom popeq.cli import main\nmain()\n")
    program.chmod(0o755)
    data = write_small_dataset(folder / "small")
    (folder / "small_set.py").write_text(
        "import pathlib, popeq\n@popeq.hookimpl\ndef popeq_datasets():\n"
        f"    return [popeq.DatasetSpec('small', 'small', pathlib.Path({str(data)!r}))]\n"
    )
    installed = folder / "small_set-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: small-set\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[popeq]\nsmall = small_set\n")
    # POT: for four prompts it takes longer to load the compiled solver than to do without
    found = environment({"PYTHONPATH": str(folder), "POPEQ_SOLVER": "pot"})
    return found | {"PATH": os.pathsep.join([str(program.parent), found["PATH"]])}


def call(command: str, cwd: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-e", "-o", "pipefail", "-c", command]  # as the workflow's runner does
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, timeout=180, check=False)


@pytest.fixture(scope="module")
def base(tmp_path_factory, env) -> Path:
    """A repository with the workflow's script and one published run, on main; and two runs to propose."""
    root = tmp_path_factory.mktemp("base")
    git("init", "--quiet", cwd=root)
    shutil.copytree(ROOT / ".github", root / ".github")
    (root / "card.json").write_text(json.dumps(CARD))
    made = call("popeq run prior random static-flat --dataset small --quiet", root, env)
    assert made.returncode == 0, made.stderr
    assert call("popeq submit runs/*-prior-* --card card.json", root, env).returncode == 0
    (root / ".gitignore").write_text("/runs/\n")
    git("add", ".", cwd=root)
    git("commit", "--quiet", "-m", "begin", cwd=root)
    return root


@pytest.fixture
def clone(base, tmp_path) -> Path:
    """A contributor's clone, on a branch."""
    git("clone", "--quiet", str(base), str(tmp_path / "clone"), cwd=tmp_path)
    git("switch", "--quiet", "-c", "mine", cwd=tmp_path / "clone")
    shutil.copytree(base / "runs", tmp_path / "clone" / "runs")
    return tmp_path / "clone"


def steps() -> list[dict]:
    return [s for s in yaml.safe_load(WORKFLOW.read_text())["jobs"]["verify"]["steps"] if "run" in s]


def propose(clone: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Commit everything and run the workflow's last step, with the base branch beside the clone."""
    git("add", "-A", cwd=clone)
    git("commit", "--quiet", "-m", "propose", cwd=clone)
    git("worktree", "add", "--detach", "../base", "origin/main", cwd=clone)
    more = {"BASE": "origin/main", "GITHUB_STEP_SUMMARY": str(clone.parent / "summary.md")}
    return call(steps()[-1]["run"], clone, env | more)


def submit(clone: Path, env: dict[str, str], name: str) -> Path:
    assert call(f"popeq submit runs/*-{name}-* --card card.json", clone, env).returncode == 0
    (made,) = clone.glob(f"leaderboard/results/small/*-{name}-*")
    return made


def test_a_new_run_is_verified_and_the_board_shows_what_changes(clone, env):
    submit(clone, env, "random")
    result = propose(clone, env)
    assert result.returncode == 0, result.stdout + result.stderr
    summary = (clone.parent / "summary.md").read_text()
    assert summary == result.stdout
    added = [line for line in summary.splitlines() if line.startswith("+")]
    assert any(" random " in line for line in added)
    assert not any(" prior " in line for line in added)
    assert "yes" in summary


def test_what_does_not_verify_and_what_was_published_already_is_refused(clone, env):
    forged = submit(clone, env, "random")
    store_text(forged, stored_text(forged).replace(",0.", ",1.", 1))
    extra = submit(clone, env, "static-flat")
    (extra / "setup.py").write_text("print('hello')\n")
    (published,) = clone.glob("leaderboard/results/small/*-prior-*")
    (published / "card.json").write_text(json.dumps({**CARD, "authors": ["Somebody Else"]}))
    result = propose(clone, env)
    assert result.returncode == 1
    report = result.stdout.split("### ")
    assert "SHA-256 is" in next(part for part in report if "-random-" in part)
    assert "other files than" in next(part for part in report if "-static-flat-" in part)
    assert "changes or removes files" in next(part for part in report if "-prior-" in part)
    assert "## Boards" not in result.stdout


def test_a_submission_cannot_call_its_run_reproduced(clone, env):
    """The list lies beside the runs: a branch that brings or changes it is refused."""
    own = submit(clone, env, "random")
    assert call("popeq verify leaderboard/results/small --redraw", clone, env).returncode == 0
    listed = clone / "leaderboard" / "results" / "small" / "reproduced.json"
    assert own.name in listed.read_text()
    (clone / ".gitignore").write_text("/runs/\n.locks/\n")
    result = propose(clone, env)
    assert result.returncode == 1
    (part,) = [part for part in result.stdout.split("### ") if "reproduced.json" in part]
    assert "**Refused**" in part


def test_a_branch_without_runs_passes(clone, env):
    (clone / "README.md").write_text("hello\n")
    result = propose(clone, env)
    assert result.returncode == 0
    assert "No run below" in result.stdout


def test_the_workflow_trusts_nobody():
    text = WORKFLOW.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key `on` so
    assert "pull_request_target" not in text
    assert not re.search(r"secrets\.\w", text)
    assert all("${{" not in step["run"] for step in steps()), "expressions belong into env, not into a script"


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_every_github_file_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)
