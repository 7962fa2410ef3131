"""Line ends are pinned: hashes of runs, data and code are the same in a clone with Windows line ends."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from popeq.runs.folder import Run
from popeq.scaffold import write_package
from tests.conftest import ROOT

GOLDEN = ROOT / "tests" / "golden" / "run-v3"  # of protocol 1, whose predictions are text


def git(folder, *words):
    own = ["-c", "user.name=n", "-c", "user.email=e@example.org", "-c", "core.autocrlf=false"]
    return subprocess.run(
        ["git", *own, *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


def committed(folder):
    git(folder, "init", "-q")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "all")
    return folder


def windows_clone(folder, target):
    subprocess.run(["git", "clone", "-q", "-c", "core.autocrlf=true", folder, target], check=True)
    return target


@pytest.mark.parametrize("pinned", [True, False])
def test_a_committed_run_verifies_from_a_clone_with_windows_line_ends(tmp_path, pinned):
    origin = tmp_path / "origin"
    shutil.copytree(GOLDEN, origin / "run")
    if pinned:
        shutil.copy(ROOT / ".gitattributes", origin)
    run = Run.open(windows_clone(committed(origin), tmp_path / "clone") / "run")
    assert (run.predictions_sha256() == run.record.predictions_sha256) if pinned else (b"\r" in run.content())


def test_a_new_package_has_the_same_bytes_in_every_clone(tmp_path):
    files = write_package("bright-ideas", "numpy", tmp_path)
    clone = windows_clone(committed(tmp_path / "bright-ideas"), tmp_path / "clone")
    for file in files:
        assert (clone / file).read_bytes() == (tmp_path / "bright-ideas" / file).read_bytes()


def test_every_text_file_here_is_pinned():
    if not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    for line in git(ROOT, "ls-files", "--eol").splitlines():
        about, _, name = line.partition("\t")
        index, _, attributes = about.split(maxsplit=2)
        assert "eol=lf" in attributes or "-text" in attributes, name
        assert index in ("i/lf", "i/none", "i/-text"), name
