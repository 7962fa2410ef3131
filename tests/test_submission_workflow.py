"""The shell commands of .github run here as a pull request would run them, in a repository of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from popeq.board.signing import sign
from popeq.dataset_folder import read_dataset
from tests.attacks.world import PROTOCOL, RESULTS, git
from tests.conftest import ROOT, environment, write_small_dataset
from tests.forger import Forger

WORKFLOW = ROOT / ".github" / "workflows" / "verify-submissions.yml"
#: What a submission puts where a Python that is started carelessly would find it.
CAUGHT = "import pathlib\npathlib.Path(__file__).with_name('caught').write_text('it ran')\n"


@pytest.fixture(scope="module")
def env(tmp_path_factory) -> dict[str, str]:
    """Variables with the program ``popeq`` on the path, which knows a small data set by name."""
    folder = tmp_path_factory.mktemp("site")
    program = folder / "bin" / "popeq"
    program.parent.mkdir()
    program.write_text(f"#!{sys.executable}\nfrom popeq.cli import main\nmain()\n")
    program.chmod(0o755)
    data = write_small_dataset(folder / "small", prompts=16)
    (folder / "small_set.py").write_text(
        "import pathlib, popeq\n@popeq.hookimpl\ndef popeq_datasets():\n"
        f"    return [popeq.DatasetSpec('small', 'small', pathlib.Path({str(data)!r}))]\n"
    )
    installed = folder / "small_set-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: small-set\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[popeq]\nsmall = small_set\n")
    # POT: for eight prompts it takes longer to load the compiled solver than to do without
    found = environment({"PYTHONPATH": str(folder), "POPEQ_SOLVER": "pot"})
    return found | {"PATH": os.pathsep.join([str(program.parent), found["PATH"]]), "DATA": str(data)}


@pytest.fixture
def workspace(tmp_path, env) -> Path:
    """What the workflow has beside its tools: a clone of a repository with a signed board, on a branch."""
    published = tmp_path / "published"
    dataset = read_dataset(Path(env["DATA"]))
    forger = Forger(dataset, PROTOCOL)
    forger.run(published / RESULTS / "small", "prior", card=None, points=forger.samples(1))
    sign(published / RESULTS / "small", dataset, PROTOCOL)
    git("init", "--quiet", cwd=published)
    git("add", ".", cwd=published)
    git("commit", "--quiet", "-m", "begin", cwd=published)
    (tmp_path / "workspace").mkdir()
    git("clone", "--quiet", str(published), str(tmp_path / "workspace" / "submission"), cwd=tmp_path)
    git("switch", "--quiet", "-c", "mine", cwd=tmp_path / "workspace" / "submission")
    return tmp_path / "workspace"


def steps() -> list[dict]:
    return [s for s in yaml.safe_load(WORKFLOW.read_text())["jobs"]["verify"]["steps"] if "run" in s]


def propose(workspace: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Commit everything in the clone and run the workflow's last step beside it."""
    git("add", "-A", cwd=workspace / "submission")
    git("commit", "--quiet", "--allow-empty", "-m", "propose", cwd=workspace / "submission")
    more = {"BASE": "origin/main", "GITHUB_STEP_SUMMARY": str(workspace / "summary.md")}
    command = steps()[-1]["run"].replace(" --jobs 2", "")  # two more processes to start, for two runs
    words = ["bash", "-e", "-o", "pipefail", "-c", command]  # as the workflow's runner does
    return subprocess.run(
        words, cwd=workspace, env=env | more, capture_output=True, text=True, timeout=180, check=False
    )


def shown(result: subprocess.CompletedProcess[str]) -> str:
    """What the log has between the two lines that keep the runner from obeying it."""
    first, *lines, last = result.stdout.splitlines(keepends=True)
    token = re.fullmatch("::stop-commands::([0-9a-f-]{36})\n", first)
    assert token
    assert last == f"::{token[1]}::\n"
    return "".join(lines)


def test_a_new_run_is_verified_and_nothing_of_the_submission_is_run(workspace, env):
    clone = workspace / "submission"
    forger = Forger(read_dataset(Path(env["DATA"])), PROTOCOL)
    made = forger.run(clone / RESULTS / "small", "mine")
    for name in (
        "sitecustomize.py",
        "usercustomize.py",
        "pip.py",
        "click.py",
        "popeq/__init__.py",
        "setup.py",
    ):
        (clone / name).parent.mkdir(exist_ok=True)
        (clone / name).write_text(CAUGHT)
    (clone / ".gitattributes").write_text("* export-ignore filter=evil ident\n")
    (clone / "pip.conf").write_text("[install]\nindex-url = https://evil.example\n")
    result = propose(workspace, env)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (workspace / "summary.md").read_text() == shown(result)
    assert f"+ verified: {made.name}" in result.stdout
    assert "+ mine: rank" in result.stdout
    assert not list(workspace.rglob("caught"))


def test_what_is_refused_ends_the_job_with_its_report(workspace, env):
    program = workspace.parent / "bin" / "popeq"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho '**Refused**'\nexit 1\n")
    program.chmod(0o755)
    result = propose(workspace, env | {"PATH": os.pathsep.join([str(program.parent), env["PATH"]])})
    assert result.returncode == 1
    assert (workspace / "summary.md").read_text() == shown(result) == "**Refused**\n"


def test_the_workflow_trusts_nobody():
    text = WORKFLOW.read_text()
    workflow = yaml.safe_load(text)
    assert workflow["permissions"] == {"contents": "read"}
    assert "pull_request" in workflow[True]  # YAML 1.1 reads the key `on` so
    assert "pull_request_target" not in text
    assert not re.search(r"secrets\.\w", text)
    assert all("${{" not in step["run"] for step in steps()), "expressions belong into env, not into a script"
    assert all("cd " not in step["run"] and "working-directory" not in step for step in steps())
    assert all("python -I" in step["run"] or "python" not in step["run"] for step in steps())
    checkouts = [s["with"] for s in workflow["jobs"]["verify"]["steps"] if "checkout" in s.get("uses", "")]
    assert [c["path"] for c in checkouts] == ["base", "submission"]
    assert all(c["persist-credentials"] is False for c in checkouts)


@pytest.mark.parametrize("path", sorted((ROOT / ".github").rglob("*.yml")), ids=lambda p: p.name)
def test_every_github_file_is_yaml(path):
    assert isinstance(yaml.safe_load(path.read_text()), dict)
