"""What several test packages need: the shared listening data, small data sets, the command line."""

from __future__ import annotations

import bz2
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from popeq.board import split_half
from popeq.runs.packed import PACKED, pack
from popeq.tag_key import tag
from tests import preloaded, pseudo_panels

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "data"

#: What tests keep is not what a user keeps.
os.environ["POPEQ_CACHE"] = str(ROOT / ".pytest_cache" / "popeq")

settings.register_profile("popeq", deadline=None, derandomize=True)
settings.load_profile("popeq")


#: Files whose tests take longest: begun first, so that no worker is left with one of them at the end.
SLOW = (
    *("test_tutorial.py", "test_pages.py", "test_zoo.py", "test_clusters.py", "test_llm_main_job.py"),
    "test_run_command.py",
    *("test_submission_workflow.py", "test_combinations.py", "test_submissions.py", "test_data_commands.py"),
    *(
        "test_site.py",
        "test_browser.py",
        "test_committed_board.py",
        "test_launcher.py",
        "test_leaderboard.py",
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if importlib.util.find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("models"):
                item.add_marker(pytest.mark.skip(reason="language models are not installed"))
    places = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path.name, len(SLOW)))


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """``model_folders("phi3")`` is the folder of a random Phi-3-shaped model, made once a session."""
    from tests.popeq_llm.shapes import save_model

    made: dict[str, Path] = {}

    def folder(shape: str) -> Path:
        if shape not in made:
            made[shape] = save_model(shape, tmp_path_factory.mktemp("models") / shape)
        return made[shape]

    return folder


def shared_file(*parts: str) -> Path:
    """A file of the shared listening data; the test is skipped where it is absent."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"the shared listening data is absent ({path.name} is not beside the checkout)")
    return path


@pytest.fixture(scope="session", autouse=True)
def known_key() -> None:
    """The key of kept scores is known from the beginning: other tests' predictors take it out of its file."""
    tag("", b"")


@pytest.fixture(scope="session", autouse=True)
def few_pseudo_panels() -> None:
    """Boards of tests take a few pseudo-panels for their reference lines."""
    pseudo_panels.use_few()


@pytest.fixture
def readable_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every picture that the test writes in this process has texts that can be read."""
    from matplotlib.figure import Figure

    from tests.pictures import problems

    write = Figure.savefig

    def checked(figure: Figure, *arguments: object, **options: object) -> None:
        write(figure, *arguments, **options)
        assert problems(figure) == []

    monkeypatch.setattr(Figure, "savefig", checked)


@pytest.fixture
def whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reference lines as boards have them."""
    for name, value in pseudo_panels.WHOLE.items():
        monkeypatch.setattr(split_half, name, value)


CARD = """\
name = "{name}"
version = "1"
title = "a small set for tests"
licence = "MIT"
citation = "nobody"
simulated = true
"""


def write_small_dataset(
    folder: Path, *, folds: bool = False, seed: int = 1, name: str = "small", prompts: int = 12
) -> Path:
    """A valid data set folder: 12 prompts, 5 listeners; 6 train, 2 validation, 4 test, or 3 folds.

    More ``prompts`` are more test prompts.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "dataset.toml").write_text(CARD.format(name=name))
    splits = ["train"] * 6 + ["validation"] * 2 + ["test"] * (prompts - 8)
    rows = [f"prompt_id,text,category,{'fold' if folds else 'split'}"]
    responses = ["prompt_id,listener_id,x_db,y_db"]
    for i in range(prompts):
        rows.append(f"p{i:02d},make it sound like number {i},colour,{i % 3 if folds else splits[i]}")
        centre = rng.normal(0, 2, 2)
        for j in range(5):
            x, y = np.clip(centre + rng.normal(0, 1.5, 2), -6, 6).round(2)
            responses.append(f"p{i:02d},l{j},{x},{y}")
    (folder / "prompts.csv").write_text("\n".join(rows) + "\n")
    (folder / "responses.csv").write_text("\n".join(responses) + "\n")
    return folder


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Folder of a small data set with a split."""
    return write_small_dataset(tmp_path / "small")


def environment(more: dict[str, str] | None = None) -> dict[str, str]:
    """The tests' own environment with some variables set; a PYTHONPATH is put before the present one."""
    env = {**os.environ, "COLUMNS": "200", **(more or {})}
    if more and "PYTHONPATH" in more and "PYTHONPATH" in os.environ:
        env["PYTHONPATH"] = os.pathsep.join([more["PYTHONPATH"], os.environ["PYTHONPATH"]])
    return env


@pytest.fixture(scope="session")
def example_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The third-party example package, really installed (without its dependencies) into a folder.

    Put the folder on PYTHONPATH and its entry point is found, as if it stood in site-packages.
    """
    target = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
        + ["--disable-pip-version-check", "--target", str(target), str(ROOT / "tests" / "example_plugin")],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return target


Popeq = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def popeq(tmp_path: Path) -> Popeq:
    """Run the command line in a folder of the test's own: ``popeq("list")``."""

    def call(
        *arguments: object, env: dict[str, str] | None = None, check: bool = False
    ) -> subprocess.CompletedProcess[str]:
        result = preloaded.run([str(a) for a in arguments], tmp_path, environment(env))
        if check:
            result.check_returncode()
        return result

    return call


@pytest.fixture
def popeq_started(tmp_path: Path) -> Popeq:
    """``popeq`` in a process that has imported nothing before: for what is about imports."""

    def call(*arguments: object, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", "from popeq.cli import main; main()", *map(str, arguments)],
            cwd=tmp_path,
            env=environment(env),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return call


@pytest.fixture
def popeq_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Popeq:
    """``popeq`` in this process, without the second that a new one takes to import everything."""

    def call(*arguments: object) -> subprocess.CompletedProcess[str]:
        from popeq.cli import main

        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(arguments, int(ended.value.code or 0), out, err)

    return call


CHROMIUM = os.environ.get("POPEQ_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
CHROMIUM_FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update"),
    "--autoplay-policy=no-user-gesture-required",
)


@pytest.fixture(scope="session")
def browser():
    """A headless chromium; Playwright allows one in a process, so all tests share it."""
    if CHROMIUM is None:
        pytest.skip("no chromium on the path (Debian: apt-get install chromium); CI has it")
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing; 'make install' brings it")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_FLAGS))
        yield started
        started.close()


def stored_text(folder: Path) -> str:
    """The text of a run's predictions, unpacked."""
    return bz2.decompress((folder / PACKED).read_bytes()).decode()


def store_text(folder: Path, text: str) -> None:
    """Other predictions in the place of a run's, whatever its record says of them."""
    (folder / PACKED).write_bytes(pack(text, PACKED))
