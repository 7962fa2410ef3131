"""popeq list, data list, show, validate and import, as a person meets them."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from tests.conftest import shared_file, write_small_dataset

from popeq.plugins import registry


def test_list_names_everything_without_heavy_imports():
    code = """
import sys
from popeq.cli import main
try:
    main(["list"])
except SystemExit as end:
    assert end.code == 0, end.code
heavy = {"torch", "transformers", "pandas", "scipy", "ot", "matplotlib"} & set(sys.modules)
assert not heavy, heavy
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    for name in ("prior", "static-best", "simulated-120"):
        assert name in result.stdout


def test_import_popeq_imports_nothing_heavy():
    code = "import sys, popeq; assert not {'torch', 'numpy', 'pandas', 'pydantic', 'ot'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_a_run_imports_no_torch_where_torch_is_installed(tmp_path, small):
    """A false torch on the path notes that it was imported: neither popeq nor POT behind it may do so."""
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("raise SystemExit('torch was imported')")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import popeq
(run,) = popeq.run("prior", {str(small)!r}, runs_dir={str(tmp_path / "runs")!r})
popeq.leaderboard([run])
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_a_broken_third_party_entry_point_is_one_warning(popeq, tmp_path):
    info = tmp_path / "site" / "broken-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[popeq]\nbroken = broken_plugin\n")
    (tmp_path / "site" / "broken_plugin.py").write_text("import a_package_that_is_absent\n")
    result = popeq("list", env={"PYTHONPATH": str(tmp_path / "site")})
    assert result.returncode == 0
    assert "prior" in result.stdout
    (warning,) = result.stderr.splitlines()
    assert warning.startswith("popeq: warning: plugin 'broken' of broken 1.0 (broken_plugin): not loaded")
    assert "a_package_that_is_absent" in warning


def test_the_third_party_example_is_listed_with_its_parameters(popeq, example_plugin):
    result = popeq("list", env={"PYTHONPATH": str(example_plugin)})
    assert "example-blob" in result.stdout
    assert result.stderr == ""
    one = popeq("list", "example-blob", env={"PYTHONPATH": str(example_plugin)}).stdout
    assert "  spread_db: number > 0 and <= 6, default 2.0\n      SD of the draws, dB\n" in one


def test_the_list_has_a_line_for_each_and_names_are_shown_in_full(popeq_inside):
    found = registry()
    lines = popeq_inside("list").stdout.splitlines()
    for name in (*found.predictors, *found.datasets):
        assert len([line for line in lines if line.split()[:1] == [name]]) == 1
    assert len(lines) <= len(found.predictors) + len(found.datasets) + len(found.curves) + 5
    assert max(map(len, lines)) <= 100
    for name, spec in found.predictors.items():
        one = popeq_inside("list", name).stdout
        told = " ".join(one.split())
        assert max(map(len, one.splitlines())) <= 100
        assert " ".join(spec.summary.split()) in told
        for parameter, field in spec.parameters.model_fields.items():
            assert f"\n  {parameter}: " in one
            assert " ".join((field.description or "").split()) in told
    assert "13200 responses of 400 listeners" in popeq_inside("list", "simulated-1200").stdout
    assert "LOW: low corner in Hz" in popeq_inside("list", "shelves").stdout
    wrong = popeq_inside("list", "priro")
    assert wrong.returncode == 2
    assert "did you mean 'prior'" in wrong.stderr


def test_data_list_says_what_is_simulated(popeq):
    result = popeq("data", "list")
    assert result.returncode == 0, result.stderr
    assert "simulated-120 (simulated)" in result.stdout
    assert "120 prompts (60/30/30 train/validation/test), 1320 responses of 11 listeners" in result.stdout


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_show_draws_a_picture_and_a_terminal_plot(popeq, small, tmp_path, ending):
    picture = tmp_path / f"p08.{ending}"
    result = popeq("data", "show", small, "p08", "-o", picture)
    assert result.returncode == 0, result.stderr
    assert "make it sound like number 8" in result.stdout
    assert "simulated listeners of small" in result.stdout
    plot = [line.split("│")[1] for line in result.stdout.splitlines() if line.count("│") == 2]
    assert sum(1 if c == "o" else int(c) for line in plot for c in line if c == "o" or c.isdigit()) == 5
    if ending == "png":
        assert picture.read_bytes().startswith(b"\x89PNG")
        assert picture.stat().st_size > 10_000
    else:
        assert ElementTree.parse(picture).getroot().tag.endswith("svg")


def test_show_lists_prompts_and_offers_near_names(popeq, small, tmp_path):
    listed = popeq("data", "show", small)
    assert listed.stdout.count("5 listeners]") == 12
    wrong = popeq("data", "show", small, "p8")
    assert wrong.returncode == 2
    assert "did you mean 'p08'" in wrong.stderr
    ending = popeq("data", "show", small, "p08", "-o", tmp_path / "p.gif")
    assert ending.returncode == 2
    assert "pictures are .png or .svg" in ending.stderr


def test_a_sentence_is_drawn_as_it_stands(popeq, small, tmp_path):
    text = (small / "prompts.csv").read_text()
    (small / "prompts.csv").write_text(
        text.replace("make it sound like number 8", r"make $\\frac{$ it warm 🎧")
    )
    result = popeq("data", "show", small, "p08", "-o", tmp_path / "p.png")
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def test_an_output_that_cannot_be_made_is_one_line(popeq, small, tmp_path):
    (tmp_path / "file").write_text("")
    source = small / "prompts.csv", small / "responses.csv"
    result = popeq("data", "import", "csv", *source, "-o", "file/x")
    assert result.returncode == 2
    assert result.stderr.startswith("popeq: file/x: cannot be created")


def test_validate_reports_all_problems_and_exits_with_2(popeq, small, tmp_path):
    good = write_small_dataset(tmp_path / "good", name="good")
    text = (small / "responses.csv").read_text().replace(",l0,", ",l0,nan,", 2)
    (small / "responses.csv").write_text(text)
    result = popeq("data", "validate", good, small, tmp_path)
    assert result.returncode == 2
    assert result.stdout.startswith("valid: good (simulated) 1")
    assert "responses.csv, row 2" in result.stderr
    assert "responses.csv, row 7" in result.stderr
    assert "is not a data set folder" in result.stderr
    assert "Traceback" not in result.stderr


def test_import_of_real_listeners_and_a_board_of_them(popeq, tmp_path):
    """The main job on real listening data: prior is ahead of random and the static presets."""
    import csv
    import io

    every = ["random", "prior", "static-best", "static-flat", "static-preset"]
    sources = {
        "safe": (shared_file("safe", "SAFEEqualiserUserData.csv"), every[:3]),
        "socialeq": (shared_file("socialeq", "eq_contributions.csv"), every),
    }
    for importer, (path, names) in sources.items():
        imported = popeq("data", "import", importer, path, "-o", importer)
        assert imported.returncode == 0, imported.stderr
        assert "published file: no" in imported.stdout or importer == "socialeq"
        card = (tmp_path / importer / "README.md").read_text()
        assert "Settings made by real listeners" in card
        ran = popeq("run", *names, "--dataset", importer, "--runs", f"runs-{importer}", "--jobs", 2)
        assert ran.returncode == 0, ran.stderr
        board = popeq("leaderboard", "show", "--runs", f"runs-{importer}", "--format", "csv")
        assert board.returncode == 0, board.stderr
        rows = {r["predictor"]: r for r in csv.DictReader(io.StringIO(board.stdout))}
        mean = {n: float(r["reflective_kantorovich_mean"]) for n, r in rows.items()}
        lines = [n for n in rows if n.startswith("[")]
        assert len(lines) == 3
        others = [n for n in names if n != "prior"]
        assert all(mean["[training responses]"] < mean[n] + 0.1 for n in others), (importer, mean)
        assert all(mean[line] < mean[n] for line in lines[1:] for n in names)
        assert "simulated" not in board.stdout.lower()


def test_import_leaves_nothing_behind_when_the_file_is_wrong(popeq, tmp_path):
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    result = popeq("data", "import", "safe", "wrong.csv", "-o", "out")
    assert result.returncode == 2
    assert "wrong.csv" in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "out").exists()
    unknown = popeq("data", "import", "sofe", "wrong.csv", "-o", "out")
    assert unknown.returncode == 2
    assert "did you mean 'safe'" in unknown.stderr


def test_import_csv_makes_a_data_set_that_runs(popeq, small, tmp_path):
    result = popeq(
        "data",
        "import",
        "csv",
        small / "prompts.csv",
        small / "responses.csv",
        "-o",
        "mine",
        "--name",
        "mine",
    )
    assert result.returncode == 0, result.stderr
    assert popeq("run", "prior", "--dataset", "mine").returncode == 0


def test_version_help_and_unknown_commands(popeq):
    assert popeq("--version").stdout.startswith("popeq 0.")
    for command in ([], ["data"], ["run"], ["leaderboard", "show"], ["compare"], ["data", "import", "safe"]):
        shown = popeq(*command, "--help")
        assert shown.returncode == 0
        assert "Usage: popeq" in shown.stdout
    wrong = popeq("leaderbord")
    assert wrong.returncode == 2
    assert "Traceback" not in wrong.stderr
