"""docs/tutorials/my-model.md followed word for word in an empty folder, and what ``popeq new`` writes."""

from __future__ import annotations

import json
import re
import sys
import tomllib

import pytest

from tests.conftest import ROOT
from tests.overlay import Overlay, make_overlay
from tests.pages import blocks


@pytest.fixture(scope="module")
def overlay(tmp_path_factory) -> Overlay:
    return make_overlay(tmp_path_factory.mktemp("overlay") / "env")


def tutorial() -> list[tuple[str, str, str]]:
    """The blocks of the page: (kind, file or '', text)."""
    text = (ROOT / "docs" / "tutorials" / "my-model.md").read_text(encoding="utf-8")
    return [(block.kind, block.file, block.text) for block in blocks(text)]


def test_the_tutorial_is_short():
    blocks = tutorial()
    commands = [line for kind, _, text in blocks if kind == "sh" for line in text.splitlines()]
    (code,) = [text for kind, _, text in blocks if kind == "python"]
    assert len(commands) + 2 <= 15  # make install and activate come before it
    assert len(code.splitlines()) <= 60
    assert all(file for kind, file, _ in blocks if kind != "sh")


def test_the_tutorial_works_word_for_word(overlay, tmp_path):
    where = tmp_path
    for kind, file, text in tutorial():
        if kind != "sh":
            (where / file).write_text(text, encoding="utf-8")
            continue
        for command in text.splitlines():
            if command.startswith("cd "):
                where = where / command.removeprefix("cd ")
                continue
            result = overlay.run(command, where)
            assert result.returncode == 0, (command, result.stdout, result.stderr)
            assert "Traceback" not in result.stderr
            if command.startswith("popeq check"):
                assert "15 of 15 checks passed" in result.stdout
            if command == "popeq leaderboard show":
                assert re.search(r"^1-\d+ +word-neighbours  +2\.5[67] ± ", result.stdout, re.MULTILINE)
    assert overlay.run("ruff check . && ruff format --check .", where).returncode == 0
    (published,) = (where / "results" / "simulated-1200").iterdir()
    assert {p.name for p in published.iterdir()} == {"card.json", "predictions.csv.bz2", "run.json"}


def test_a_new_package_is_clean_runs_at_once_and_passes_its_own_tests(overlay, tmp_path):
    made = overlay.run("popeq new first-try", tmp_path)
    assert made.returncode == 0, made.stderr
    package = tmp_path / "first-try"
    assert overlay.run("pip install -q -e . && popeq run first-try --quiet", package).returncode == 0
    tested = overlay.run("ruff check . && ruff format --check . && pytest -q", package)
    assert tested.returncode == 0, tested.stdout + tested.stderr
    assert "15 passed" in tested.stdout
    again = overlay.run("popeq new first-try", tmp_path)
    assert again.returncode == 2
    assert "'first-try' is a predictor of first-try 0.1.0" in again.stderr


def test_an_edited_package_is_drawn_again_and_an_unseeded_one_is_not_reproduced(overlay, tmp_path):
    """What 'popeq new' writes, installed editable: edited between two runs, then without its generator."""
    made = overlay.run("popeq new second-try && cd second-try && pip install -q -e .", tmp_path)
    assert made.returncode == 0, made.stderr
    package = tmp_path / "second-try"
    run, redraw = "popeq run second-try --quiet", "popeq verify --redraw --format json"
    assert "drawn in" in overlay.run(run, package).stdout
    assert "complete already" in overlay.run(run, package).stdout
    verified = overlay.run(redraw, package)
    assert verified.returncode == 0, verified.stdout + verified.stderr
    (row,) = json.loads(verified.stdout)["rows"]
    assert (row["verified"], row["reproduced"], row["trust"]) == ("yes", "yes", "reproduced")
    assert '"trust": "reproduced"' in overlay.run("popeq leaderboard show --format json", package).stdout

    source = package / "src" / "second_try" / "__init__.py"
    text = source.read_text()
    source.write_text(text + "\n# a comment more\n")
    (first,) = [p for p in (package / "runs").iterdir() if p.name.endswith(row["run"][-8:])]
    again = overlay.run(run, package).stdout.splitlines()
    assert again[0] == (
        f"second-try, seed 0: drawn again, because the code changed since {first.name} "
        "(second_try/__init__.py)"
    )
    other = overlay.run(f"{redraw} {first}", package)
    assert other.returncode == 0
    (note,) = json.loads(other.stdout)["notes"]
    assert "reproduced, although the code changed since" in note

    assert "rng.normal(" in text
    source.write_text(text.replace("rng.normal(", "np.random.default_rng().normal("))
    assert "drawn again" in overlay.run(run, package).stdout
    newest = max((package / "runs").glob("*-second-try-*"), key=lambda p: p.stat().st_mtime)
    unseeded = overlay.run(f"{redraw} {newest}", package)
    assert unseeded.returncode == 1
    report = json.loads(unseeded.stdout)
    assert (report["rows"][0]["verified"], report["rows"][0]["reproduced"]) == ("yes", "no")
    assert "not reproduced: " in report["notes"][0]
    assert "samples differ, by up to" in report["notes"][0]


def test_a_new_package_for_a_language_model_is_clean_and_asks_one(overlay, tmp_path):
    """Written and linted; what it writes is held to the contract in tests/popeq_llm/test_scaffold.py."""
    assert overlay.run("popeq new kind-words --kind llm", tmp_path).returncode == 0
    package = tmp_path / "kind-words"
    assert overlay.run("ruff check . && ruff format --check .", package).returncode == 0
    project = tomllib.loads((package / "pyproject.toml").read_text())["project"]
    assert project["dependencies"] == ["popeq[llm]"]
    light = "import sys; sys.path.insert(0, 'src'); import kind_words; sys.exit('torch' in sys.modules)"
    assert overlay.run(f'python -c "{light}"', package).returncode == 0


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("Word", "use lower-case words joined by '-'"),
        ("../x", "use lower-case words joined by '-'"),
        ("prior", "'prior' is a predictor of popeq"),
        ("json", "Python has a module json already"),
        ("class", "Python has a module class already"),
        ("taken", "is there already; nothing was changed"),
    ],
)
def test_names_that_cannot_be_are_refused(popeq, tmp_path, name, says):
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine").write_text("mine")
    result = popeq("new", name)
    assert result.returncode == 2
    assert says in result.stderr
    assert [p.name for p in tmp_path.rglob("*")] == ["taken", "mine"]


def test_ci_of_a_new_package_runs_what_its_readme_says(tmp_path):
    import yaml

    from popeq.scaffold import write_package

    write_package("sure-thing", "numpy", tmp_path)
    workflow = yaml.safe_load((tmp_path / "sure-thing" / ".github" / "workflows" / "test.yml").read_text())
    steps = [step["run"] for step in workflow["jobs"]["test"]["steps"] if "run" in step]
    assert "pytest" in steps
    assert "popeq run sure-thing prior" in steps
    assert workflow["permissions"] == {"contents": "read"}
    assert sys.version_info >= tuple(
        int(n) for n in workflow["jobs"]["test"]["steps"][1]["with"]["python-version"].split(".")
    )
