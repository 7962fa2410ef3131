"""popeq run on the command line: resumed, killed, timed out, misbehaving, reproducible."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from tests.conftest import environment, stored_text, write_small_dataset

from popeq.installing import pip_install
from popeq.runs.packed import PACKED


@pytest.fixture
def with_plugin(popeq, example_plugin):
    """The command line with the example plugin installed."""

    def call(*arguments, env=None):
        return popeq(*arguments, env={"PYTHONPATH": str(example_plugin), **(env or {})})

    return call


def only_run(runs: Path) -> Path:
    (folder,) = [p for p in runs.iterdir() if (p / "run.json").exists()]
    return folder


def record(folder: Path) -> dict:
    return json.loads((folder / "run.json").read_text())


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"
    except FileNotFoundError:
        return False


def test_a_run_folder_says_everything_about_the_run(popeq, small, tmp_path):
    result = popeq("run", "prior", "--dataset", small, "--seed", 7)
    assert result.returncode == 0, result.stderr
    folder = only_run(tmp_path / "runs")
    found = record(folder)
    assert folder.name == found["run_id"]
    assert folder.name.endswith(f"-prior-{found['key'][:8]}")
    assert found["status"] == "complete"
    assert (found["origin"], found["predictor"]["kind"]) == ("drawn", "baseline")
    assert found["dataset"]["simulated"] is True
    assert found["seed"] == 7
    assert found["environment"]["packages"]["popeq"]
    assert found["stages"][0]["peak_memory_mb"] > 1
    lines = stored_text(folder).splitlines()
    assert lines[0] == "prompt_id,sample,x_db,y_db"
    assert len(lines) == 1 + 4 * 660
    assert not (folder / "partial").exists()
    assert "small (simulated)" in result.stdout
    again = popeq(*found["command"].split()[1:], "--runs", "elsewhere")
    assert again.returncode == 0, again.stderr
    other = only_run(tmp_path / "elsewhere")
    assert (other / PACKED).read_bytes() == (folder / PACKED).read_bytes()


def test_a_complete_run_is_not_drawn_again_unless_asked(with_plugin, small, tmp_path):
    drawn = tmp_path / "drawn"
    command = ("run", "example-slow", "-o", "pause_s=0", "--dataset", small)
    env = {"POPEQ_EXAMPLE_DRAWN": str(drawn)}
    with_plugin(*command, env=env)
    second = with_plugin(*command, env=env)
    assert "complete already" in second.stdout
    assert len(drawn.read_text().split()) == 4
    with_plugin(*command, "--fresh", env=env)
    assert len(drawn.read_text().split()) == 8


def start_slow_run(tmp_path, small, example_plugin, drawn, pause_s=0.4, **env):
    return subprocess.Popen(
        [sys.executable, "-c", "from popeq.cli import main; main()", "run", "example-slow"]
        + ["-o", f"pause_s={pause_s}", "--batch-size", "1", "--dataset", str(small)],
        cwd=tmp_path,
        env=environment({"PYTHONPATH": str(example_plugin), "POPEQ_EXAMPLE_DRAWN": str(drawn), **env}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_prompts(tmp_path, n, limit_s=60):
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if len(list(tmp_path.glob("runs/*/partial/*.csv"))) >= n:
            return
        time.sleep(0.02)
    raise AssertionError("the run did not get going")


def test_after_kill_9_the_same_command_goes_on_and_ends_byte_identical(
    with_plugin, example_plugin, small, tmp_path
):
    drawn, temporary = tmp_path / "drawn", tmp_path / "temporary"
    temporary.mkdir()
    process = start_slow_run(tmp_path, small, example_plugin, drawn, TMPDIR=str(temporary))
    wait_for_prompts(tmp_path, 2)
    children = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.communicate()
    assert not psutil.wait_procs(children, 20)[1]  # a child sees its input close and dies with its group
    assert list(temporary.iterdir()) == []
    folder = only_run(tmp_path / "runs")
    kept = {p.name: p.read_bytes() for p in (folder / "partial").glob("*.csv")}
    assert 2 <= len(kept) < 4
    assert record(folder)["status"] == "unfinished"
    command = ("run", "example-slow", "-o", "pause_s=0.4", "--dataset", small)
    resumed = with_plugin(*command, env={"POPEQ_EXAMPLE_DRAWN": str(drawn)})
    assert resumed.returncode == 0, resumed.stderr
    assert only_run(tmp_path / "runs") == folder
    unbroken = with_plugin("run", "example-slow", "-o", "pause_s=0", "--dataset", small, "--runs", "unbroken")
    assert unbroken.returncode == 0
    whole = (only_run(tmp_path / "unbroken") / PACKED).read_bytes()
    assert (folder / PACKED).read_bytes() == whole
    for name in kept:  # a prompt may be drawn twice only if the kill came before its file was whole
        assert drawn.read_text().split().count(name.removesuffix(".csv")) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_ctrl_c_ends_the_children_and_keeps_what_was_drawn(
    example_plugin, small, tmp_path, with_plugin, number
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    process = start_slow_run(tmp_path, small, example_plugin, tmp_path / "drawn", TMPDIR=str(temporary))
    wait_for_prompts(tmp_path, 1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert children
    assert not psutil.wait_procs(children, 5)[1]
    assert list(temporary.iterdir()) == []
    assert "interrupted" in errors
    assert "Traceback" not in errors
    folder = only_run(tmp_path / "runs")
    assert record(folder)["status"] == "unfinished"
    assert record(folder)["prompts_done"] == len(list((folder / "partial").glob("*.csv"))) >= 1
    shown = with_plugin("leaderboard", "show")
    assert shown.returncode == 2
    assert "unfinished" in shown.stderr


def test_a_timeout_kills_the_whole_process_group(with_plugin, small, tmp_path):
    started, children = time.monotonic(), tmp_path / "children"
    result = with_plugin(
        "run", "example-hangs", "--dataset", small, "--timeout", 3, env={"POPEQ_EXAMPLE_CHILD": str(children)}
    )
    assert time.monotonic() - started < 30
    assert result.returncode == 1
    assert "timeout: stopped at the time limit of 3 s" in result.stdout
    time.sleep(0.2)
    assert not any(alive(int(pid)) for pid in children.read_text().split())


def test_the_time_limit_is_for_the_run_not_for_each_fold(with_plugin, tmp_path):
    data = write_small_dataset(tmp_path / "data", folds=True)
    result = with_plugin("run", "example-hangs", "--dataset", data, "--timeout", 3)
    assert result.returncode == 1
    found = record(only_run(tmp_path / "runs"))
    assert found["wall_s"] < 8  # three folds, one limit of 3 s
    assert len(found["failures"]) == 3


def test_a_kill_after_the_last_prompt_loses_nothing(with_plugin, example_plugin, small, tmp_path):
    """All samples are on disk, the report is not: what the predictor said of itself is kept all the same."""
    folder = tmp_path / "runs"
    assert with_plugin("run", "example-slow", "-o", "pause_s=0", "--dataset", small).returncode == 0
    whole = only_run(folder)
    kept = record(whole)
    # the state of the disk just before the end: prompts and the worker's first report, nothing else
    rows = stored_text(whole).splitlines(keepends=True)[1:]
    (whole / "partial").mkdir()
    for prompt_id in ("p08", "p09", "p10", "p11"):
        own = "".join(r for r in rows if r.startswith(f"{prompt_id},"))
        (whole / "partial" / f"{prompt_id}.csv").write_text(own)
    unfinished = {**kept, "status": "unfinished", "stages": [], "predictions_sha256": None}
    unfinished["predictor"] = {**kept["predictor"], "described": {}}
    (whole / "run.json").write_text(json.dumps(unfinished))
    said = {"kind": "fitted", "fit_s": 0.1, "described": kept["predictor"]["described"]}
    (whole / "report-split.json").write_text(json.dumps(said))
    drawn = tmp_path / "drawn"
    command = ("run", "example-slow", "-o", "pause_s=0", "--dataset", small)
    assert with_plugin(*command, env={"POPEQ_EXAMPLE_DRAWN": str(drawn)}).returncode == 0
    assert not drawn.exists()
    found = record(whole)
    assert found["status"] == "complete"
    assert found["predictions_sha256"] == kept["predictions_sha256"]
    assert found["predictor"]["described"] == kept["predictor"]["described"] != {}
    assert found["stages"][0]["fit_s"] == 0.1


def test_the_worker_reports_as_soon_as_it_has_fitted(example_plugin, small, tmp_path):
    process = start_slow_run(tmp_path, small, example_plugin, tmp_path / "drawn", pause_s=5)
    try:
        end = time.monotonic() + 60
        while not (reports := list(tmp_path.glob("runs/*/report-*.json"))) and time.monotonic() < end:
            time.sleep(0.02)
        assert json.loads(reports[0].read_text())["described"]["model"] == "blob-1"
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_a_module_in_the_current_folder_does_not_break_the_worker(popeq, small, tmp_path):
    for name in ("random.py", "statistics.py", "token.py"):
        (tmp_path / name).write_text("raise SystemExit('imported from the current folder')")
    program = tmp_path / "elsewhere.py"
    program.write_text("from popeq.cli import main; main()")
    result = subprocess.run(
        [sys.executable, "-P", str(program), "run", "prior", "--dataset", str(small)],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_results_depend_on_the_revision_not_on_the_order_of_rows(popeq, tmp_path):
    import pandas as pd

    found = set()
    for name, state in (("a", None), ("b", 3)):
        data = write_small_dataset(tmp_path / name)
        if state:
            for file in ("prompts.csv", "responses.csv"):
                pd.read_csv(data / file, dtype=str).sample(frac=1, random_state=state).to_csv(
                    data / file, index=False
                )
        assert (
            popeq("run", "prior", "static-best", "--dataset", data, "--runs", f"runs-{name}").returncode == 0
        )
        found.add(tuple(p.read_bytes() for p in sorted((tmp_path / f"runs-{name}").glob(f"*/{PACKED}"))))
    assert len(found) == 1


def test_a_copy_of_an_installed_data_set_is_not_taken_for_it(popeq, tmp_path):
    import shutil

    import popeq_data

    copy = tmp_path / "mine"
    shutil.copytree(Path(popeq_data.__file__).parent / "simulated_120" / "panel_b", copy)
    assert popeq("run", "prior", "--dataset", copy).returncode == 0
    found = record(only_run(tmp_path / "runs"))
    assert found["dataset"]["given"] == str(copy)
    assert str(copy) in found["command"]
    assert popeq("leaderboard", "show").returncode == 0


BROKEN = {
    "crashes": ("error", "RuntimeError: no luck today"),
    "dies": ("crash", "SIGKILL"),
    "wrong-shape": ("contract", "shape (4, 660, 2), not (4, 659, 2)"),
    "leaves-the-box": ("contract", "(7, 7) dB for prompt 'p08', outside the box"),
    "not-finite": ("contract", "not finite for prompt 'p08'"),
    "not-json": ("contract", "plain JSON"),
    "needs-more": ("contract", pip_install("llm")),
}


def test_a_failure_costs_its_own_run_and_is_shown_with_its_traceback(with_plugin, small, tmp_path):
    names = [f"example-{name}" for name in BROKEN]
    result = with_plugin("run", *names, "example-blob", "--dataset", small, "--jobs", 2)
    assert result.returncode == 1
    assert "Traceback" not in result.stderr
    runs = {record(f)["predictor"]["name"]: f for f in (tmp_path / "runs").glob("*-example-*")}
    assert record(runs["example-blob"])["status"] == "complete"
    for name, (kind, says) in BROKEN.items():
        folder = runs[f"example-{name}"]
        (failure,) = record(folder)["failures"]
        assert failure["kind"] == kind, name
        assert says in failure["message"], name
        assert f"{kind}: {failure['message']}" in result.stdout
        if kind != "crash":
            assert "Traceback" in (folder / failure["detail"]).read_text()
        assert not (folder / PACKED).exists()
    board = with_plugin("leaderboard", "show", "--format", "csv")
    assert board.returncode == 0, board.stderr
    assert board.stderr.count("left out: ") == len(BROKEN)


def test_a_failure_is_never_cached(with_plugin, small, tmp_path):
    for _ in range(2):
        assert with_plugin("run", "example-crashes", "--dataset", small).returncode == 1
    only_run(tmp_path / "runs")


@pytest.mark.parametrize("folds", [False, True])
def test_predictions_do_not_depend_on_jobs_batches_or_company(popeq, tmp_path, folds):
    data = write_small_dataset(tmp_path / "data", folds=folds)
    names = ["random", "static-best"] if folds else ["random", "prior", "static-best"]
    popeq("run", *names, "--dataset", data, "--runs", "one", "--jobs", 1, "--batch-size", 1)
    popeq("run", *reversed(names), "--dataset", data, "--runs", "four", "--jobs", 4, "--batch-size", 5)
    for name in names:
        (one,), (four,) = (list(tmp_path.glob(f"{runs}/*-{name}-*/{PACKED}")) for runs in ("one", "four"))
        assert one.read_bytes() == four.read_bytes()


def test_seeds_and_options_make_runs_of_their_own(with_plugin, small, tmp_path):
    command = ("run", "example-blob", "--dataset", small, "--seed", 0, "--seed", 1)
    assert (
        with_plugin(*command, "-o", "spread_db=0.5", "-o", "centre=[1, -1]", "-o", "label=3").returncode == 0
    )
    records = [record(f) for f in sorted((tmp_path / "runs").glob("*-example-blob-*"))]
    assert sorted(r["seed"] for r in records) == [0, 1]
    for r in records:
        assert r["predictor"]["parameters"] == {"spread_db": 0.5, "label": "3", "centre": [1.0, -1.0]}
        assert r["predictor"]["described"] == {"model": "blob-1", "parameters": 1, "trained_on": 6}
        assert r["predictor"]["source"] == "popeq-example 0.3.0"
        assert "'centre=[1.0, -1.0]'" in r["command"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pryor"], "no predictor is called 'pryor'; did you mean 'prior'"),
        (
            ["prior", "--dataset", "simulated-12"],
            "no data set is called 'simulated-12'; did you mean 'simulated-120'",
        ),
        (["prior", "--dataset", "nowhere/at/all"], "nowhere/at/all: is not a folder"),
        (["prior", "-o", "spread=1"], "no parameter of prior is called 'spread'"),
        (["prior", "-o", "spread"], "must have the form name=value"),
        (["static-preset", "-o", "fallbck=Rock"], "did you mean 'fallback'"),
        (["static-preset", "-o", "fallback=Rok"], "-o fallback=Rok: Input should be 'Flat'"),
        (["prior", "--seed", "-1"], "not in the range"),
        (["example-blob", "-o", "spread_db=wide"], "-o spread_db=wide: Input should be a valid number"),
        (["example-blob", "-o", "spread_db=9"], "less than or equal to 6"),
        ([], "Missing argument"),
    ],
)
def test_wrong_use_is_one_clear_line_and_exit_code_2(with_plugin, tmp_path, arguments, says):
    result = with_plugin("run", *arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert not (tmp_path / "runs").exists()


def test_what_a_predictor_says_of_each_prompt_is_kept_and_shown(with_plugin, small, tmp_path):
    assert with_plugin("run", "example-telling", "--dataset", small).returncode == 0
    folder = only_run(tmp_path / "runs")
    explained = [json.loads(line) for line in (folder / "explanations.jsonl").read_text().splitlines()]
    assert [e["prompt_id"] for e in explained] == ["p08", "p09", "p10", "p11"]
    assert explained[0]["text"] == "asked: make it sound like number 8"
    shown = with_plugin("show", folder, "--format", "json")
    assert shown.returncode == 0, shown.stderr
    parsed = json.loads(shown.stdout)
    assert parsed["rows"][0]["nearest"] == "p00"
    assert -1 <= parsed["rows"][0]["rank_correlation"] <= 1
    assert any("mean rank correlation" in note for note in parsed["notes"])
    assert with_plugin("show", tmp_path / "nowhere").returncode == 1


def test_two_processes_do_not_draw_the_same_run(example_plugin, small, tmp_path, with_plugin):
    process = start_slow_run(tmp_path, small, example_plugin, tmp_path / "drawn", pause_s=10)
    try:
        end = time.monotonic() + 60
        while not list(tmp_path.glob("runs/*/run.json")) and time.monotonic() < end:
            time.sleep(0.02)
        second = with_plugin("run", "random", "example-slow", "prior", "-o", "pause_s=10", "--dataset", small)
        assert process.poll() is None
        assert second.returncode == 1
        assert "another popeq process is drawing this run in runs: example-slow, seed 0" in second.stderr
        assert "random: 4 prompts" in second.stdout
        assert "prior: 4 prompts" in second.stdout
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_observers_see_every_event_and_cannot_break_a_run(with_plugin, small, tmp_path):
    events = tmp_path / "events"
    result = with_plugin("run", "example-blob", "--dataset", small, env={"POPEQ_EXAMPLE_EVENTS": str(events)})
    assert result.returncode == 0
    seen = events.read_text().splitlines()
    assert seen[0] == "started example-blob"
    assert sorted(seen[1:-1]) == [f"done p{i:02d}" for i in range(8, 12)]
    assert seen[-1] == "finished complete"
    broken = with_plugin(
        "run", "example-blob", "--dataset", small, "--fresh", env={"POPEQ_EXAMPLE_EVENTS": str(tmp_path)}
    )
    assert broken.returncode == 0
    assert "popeq_run_started failed" in broken.stderr
