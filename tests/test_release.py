"""What is published: source distribution and wheel, what is in them, and the main job from them alone."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_string
from pathlib import Path

import pytest
import yaml
from packaging.metadata import Metadata

import popeq
from tests.conftest import ROOT
from tests.test_repository import PACKAGES

MOST_WHEEL_BYTES = 12_000_000
#: What a plain install took before matplotlib became an extra.
MOST_INSTALLED_BYTES = 630_000_000
#: No torch, nothing that draws pictures, no language models.
NOT_INSTALLED = {"torch", "transformers", "matplotlib", "pyarrow", "numba", "optuna", "sklearn"}


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the source distribution and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        check=True,
        capture_output=True,
        timeout=180,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_the_source_holds_what_a_wheel_is_built_from_and_no_runs(built):
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    assert {"benchmark", "plugins", "datasets", "pyproject.toml", "README.md", "LICENSE"} <= tops
    assert not tops & {"leaderboard", "tests", "build"}
    assert source.stat().st_size < MOST_WHEEL_BYTES


def test_the_wheel_holds_the_packages_with_their_data(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {n.split("/")[0] for n in names if ".dist-info" not in n} == set(PACKAGES)
    assert wheel.stat().st_size < MOST_WHEEL_BYTES
    for data in (
        "popeq_baselines/presets.csv",
        "popeq_data/simulated_120/data/responses.csv",
        "popeq_data/simulated_120/panel_b/responses.csv",
        "popeq/py.typed",
        "popeq_audio/demo/page/app.js",
        "popeq_audio/simulated_tracks/data/features.csv",
        "popeq_dsp/templates/dsp.txt",
        "popeq_llm/templates/few.txt",
        "popeq_llm/templates/wordings.toml",
        "popeq_peft/rewriting.toml",
    ):
        assert data in names, data


def test_the_metadata_is_valid_and_says_the_version_everywhere(wheel):
    archive = zipfile.ZipFile(wheel)
    (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
    text = archive.read(name).decode()
    metadata = Metadata.from_email(text, validate=True)
    assert str(metadata.version) == popeq.__version__
    assert message_from_string(text)["Description-Content-Type"] == "text/markdown"
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == popeq.__version__
    newest = re.search(
        r"^## (\S+) \((.+)\)$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert newest is not None
    assert newest[1] == popeq.__version__
    assert newest[2] == str(citation["date-released"])


def test_the_main_job_runs_from_the_wheel_in_an_empty_environment(wheel, tmp_path):
    """Only what the wheel itself asks for is installed, from the package index, at the pinned versions."""
    venv.create(tmp_path / "env", with_pip=True)
    pip = [tmp_path / "env" / "bin" / "python", "-m", "pip", "--disable-pip-version-check"]
    pins = ROOT / "constraints.txt"
    offered = subprocess.run(
        [*pip, "download", "--no-deps", "--quiet", "-d", tmp_path, "tabulate"], check=False
    )
    if offered.returncode != 0:
        pytest.skip("no package index can be reached")
    subprocess.run([*pip, "install", "--quiet", "--no-compile", "-c", pins, wheel], check=True, timeout=300)
    (packages,) = (tmp_path / "env").glob("lib/python*/site-packages")
    assert not NOT_INSTALLED & {path.name for path in packages.iterdir()}
    installed = sum(p.stat().st_size for p in packages.rglob("*") if p.is_file() and not p.is_symlink())
    assert installed < MOST_INSTALLED_BYTES

    def popeq_says(*arguments: str) -> subprocess.CompletedProcess[str]:
        program = tmp_path / "env" / "bin" / "popeq"
        clean = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
        return subprocess.run(
            [program, *arguments], cwd=tmp_path, env=clean, capture_output=True, text=True, timeout=120
        )

    ran = popeq_says("run", "prior", "--dataset", "simulated-120")
    assert ran.returncode == 0, ran.stderr
    shown = popeq_says("leaderboard", "show", "--dataset", "simulated-120")
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^1 .*\bprior\b", shown.stdout, re.MULTILINE)
    picture = popeq_says("data", "show", "simulated-120", "extreme-bass-01", "-o", "p.png")
    assert picture.returncode == 2
    assert re.fullmatch(r"popeq: .*matplotlib.* pip install 'popeq\[pictures\] @ file:.*'\n", picture.stderr)
