"""popeq score and popeq submit: what becomes of predictions, alone, at once, and on a full disk."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import environment, store_text, stored_text, write_small_dataset

import popeq as package
from popeq.board.verify import examine
from popeq.protocol import PROTOCOL_2
from popeq.runs.folder import Run, find_runs
from popeq.runs.packed import PACKED

CARD = {
    "authors": ["Ana Núñez"],
    "contact": "ana@example.org",
    "kind": "retrieval",
    "model": "bag-of-words",
    "training_data": "nothing but the training prompts",
    "links": ["https://example.org/a"],
}


def predictions(path: Path, seed: int = 0, *, n: int = PROTOCOL_2.n_samples) -> Path:
    rng = np.random.default_rng(seed)
    lines = ["prompt_id,sample,x_db,y_db"]
    for prompt_id in ("p11", "p08", "p10", "p09"):
        points = rng.uniform(-6, 6, (n, 2)).round(2).tolist()
        lines += [f"{prompt_id},{i},{x!r},{y!r}" for i, (x, y) in enumerate(points)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def card(tmp_path) -> Path:
    path = tmp_path / "card.json"
    path.write_text(json.dumps(CARD))
    return path


def score(popeq, small, file, name="mine", *more):
    return popeq("score", file, "--dataset", small, "--name", name, *more)


def test_a_file_becomes_a_run_that_verifies_and_stands_on_the_board(popeq_inside, small, tmp_path, card):
    file = predictions(tmp_path / "file.csv")
    result = score(popeq_inside, small, file, "mine", "--meta", card)
    assert result.returncode == 0, result.stderr
    (run,) = find_runs(tmp_path / "runs")[0]
    assert run.record.origin == "submitted"
    assert (run.record.predictor.kind, run.record.model) == ("retrieval", "bag-of-words")
    assert examine(run, package.load_dataset(small)).problems == ()
    assert (
        f"reflective_kantorovich_median {package.score(run)['reflective_kantorovich'].median():.2f}"
        in result.stdout
    )
    given = {
        (p, int(s)): (float(x), float(y))
        for p, s, x, y in (line.split(",") for line in file.read_text().splitlines()[1:])
    }
    kept = run.samples(("p08", "p09", "p10", "p11"))
    for i, prompt_id in enumerate(("p08", "p09", "p10", "p11")):
        assert [tuple(point) for point in kept[i].tolist()] == [
            given[prompt_id, s] for s in range(PROTOCOL_2.n_samples)
        ]
    again = score(popeq_inside, small, file, "mine", "--meta", card)
    assert "was there already" in again.stdout
    assert len(find_runs(tmp_path / "runs")[0]) == 1
    board = popeq_inside("leaderboard", "show", "--format", "csv")
    assert "mine" in board.stdout


def test_scoring_again_with_a_card_keeps_the_card(popeq_inside, small, tmp_path, card):
    """Without a card, with one, with another, and again without."""
    file = predictions(tmp_path / "file.csv")
    assert score(popeq_inside, small, file).returncode == 0
    (run,) = find_runs(tmp_path / "runs")[0]
    assert not (run.folder / "card.json").exists()
    again = score(popeq_inside, small, file, "mine", "--card", card)
    assert "was there already; its card is now this one" in again.stdout
    kept = Run.open(run.folder)
    assert json.loads((run.folder / "card.json").read_text())["authors"] == CARD["authors"]
    assert (kept.record.predictor.kind, kept.record.model) == ("retrieval", "bag-of-words")
    other = {**CARD, "authors": ["Bo"], "kind": "in-context", "model": ""}
    card.write_text(json.dumps(other))
    assert score(popeq_inside, small, file, "mine", "--card", card).returncode == 0
    kept = Run.open(run.folder)
    assert json.loads((run.folder / "card.json").read_text())["authors"] == ["Bo"]
    assert (kept.record.predictor.kind, kept.record.model) == ("in-context", "")
    before = {p.name: p.read_bytes() for p in run.folder.iterdir()}
    assert score(popeq_inside, small, file).returncode == 0
    assert {p.name: p.read_bytes() for p in run.folder.iterdir()} == before
    assert examine(kept, package.load_dataset(small)).problems == ()


def test_other_predictions_under_the_same_name_need_another_name_or_seed(popeq_inside, small, tmp_path):
    assert score(popeq_inside, small, predictions(tmp_path / "a.csv", 1)).returncode == 0
    other = predictions(tmp_path / "b.csv", 2)
    refused = score(popeq_inside, small, other)
    assert refused.returncode == 2
    assert "has other predictions under that name and seed" in refused.stderr
    assert score(popeq_inside, small, other, "mine", "--seed", "1").returncode == 0
    assert len(find_runs(tmp_path / "runs")[0]) == 2


@pytest.mark.parametrize(
    ("name", "says"),
    [("prior", "is the name of a predictor"), ("../x", "letters"), ("é", "letters"), ("", "letters")],
)
def test_names_that_mislead_are_refused(popeq_inside, small, tmp_path, name, says):
    result = score(popeq_inside, small, predictions(tmp_path / "a.csv"), name)
    assert result.returncode == 2
    assert says in result.stderr
    assert not (tmp_path / "runs").exists()


def test_the_wrong_number_of_samples_is_refused_with_what_is_asked(popeq_inside, small, tmp_path):
    result = score(popeq_inside, small, predictions(tmp_path / "a.csv", n=11))
    assert result.returncode == 2
    assert "4 prompts with 660 samples each are asked for" in result.stderr
    assert "prompt 'p08' lacks samples 11, 12, 13, 14, 15 and 644 more" in result.stderr
    assert not (tmp_path / "runs").exists()


def test_a_published_run_holds_three_files_and_no_folder_of_this_machine(popeq_inside, small, tmp_path, card):
    assert popeq_inside("run", "prior", "--dataset", small, "--quiet").returncode == 0
    (run,) = find_runs(tmp_path / "runs")[0]
    (run.folder / "log-split.txt").write_text("noise")
    (run.folder / "explanations.jsonl").write_text('{"prompt_id": "p08", "text": "the training answers"}\n')
    assert str(small) in (run.folder / "run.json").read_text()
    missing = popeq_inside("submit", run.folder, "--dataset", small)
    assert missing.returncode == 2
    assert '"training_data"' in missing.stderr, "shows a card to fill in"
    result = popeq_inside("submit", run.folder, "--dataset", small, "--card", card, "--to", "board")
    assert result.returncode == 0, result.stderr
    published = tmp_path / "board" / "small" / run.record.run_id
    assert {p.name for p in published.iterdir()} == {"run.json", PACKED, "card.json"}
    assert str(tmp_path) not in (published / "run.json").read_text()
    copied = Run.open(published)
    assert examine(copied, package.load_dataset(small)).problems == ()
    assert copied.record.dataset.given == "small"
    before = {p.name: p.read_bytes() for p in published.iterdir()}
    again = popeq_inside("submit", run.folder, "--dataset", small, "--card", card, "--to", "board")
    assert again.returncode == 2
    assert "is there already; nothing was changed" in again.stderr
    assert {p.name: p.read_bytes() for p in published.iterdir()} == before


def test_what_does_not_verify_is_refused_and_leaves_nothing(popeq_inside, small, tmp_path, card):
    assert score(popeq_inside, small, predictions(tmp_path / "a.csv")).returncode == 0
    (run,) = find_runs(tmp_path / "runs")[0]
    store_text(run.folder, stored_text(run.folder).replace("p08,0,", "p08,0,-"))
    result = popeq_inside("submit", run.folder, "--dataset", small, "--card", card, "--to", "board")
    assert result.returncode == 2
    assert "does not verify" in result.stderr
    assert "SHA-256" in result.stderr
    assert [p for p in (tmp_path / "board").rglob("*") if p.is_file()] == []
    claimed = tmp_path / "claim.json"
    claimed.write_text(json.dumps({**CARD, "trust": "reproduced"}))
    result = popeq_inside("submit", run.folder, "--dataset", small, "--card", claimed, "--to", "board")
    assert "no card can say 'reproduced'" in result.stderr


PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import popeq.api as api
from popeq.atomic import FolderTakenError
from popeq.board.publishing import publish
from popeq.plugins import registry
from popeq.runs.folder import Run
from popeq.runs.submission import run_from_predictions
data = api.load_dataset("small")
for k in range(int(sys.argv[1]), int(sys.argv[2])):
    run, new = run_from_predictions(
        Path(f"{k % 3}.csv"), data, f"method-{k % 3}", runs_dir=Path("runs")
    )
    try:
        publish(Run.open(run.folder), data, Path("card.json"), Path("board"))
        print("published", k % 3)
    except popeq.errors.UsageError as error:
        assert "is there already" in str(error), error
""".replace("import sys\n", "import sys, popeq.errors\n", 1)


def test_two_processes_at_once_lose_nothing(tmp_path, card):
    """Both score and submit the same three files, one from the front and one from the middle on."""
    write_small_dataset(tmp_path / "small")
    for k in range(3):
        predictions(tmp_path / f"{k}.csv", k)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(start), str(start + 3)],
            cwd=tmp_path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for start in (0, 2)
    ]
    outputs = [process.communicate(timeout=120) for process in both]
    assert [p.returncode for p in both] == [0, 0], outputs
    published = sorted(int(line.split()[1]) for out, _ in outputs for line in out.splitlines())
    assert published == list(range(3)), "each was published by exactly one of them"
    data = package.load_dataset(tmp_path / "small")
    for folder in (tmp_path / "runs", tmp_path / "board" / "small"):
        found, broken = find_runs(folder)
        assert broken == []
        assert sorted(r.record.predictor.name for r in found) == [f"method-{k}" for k in range(3)]
        assert not list(folder.glob("*.tmp"))
    for run in find_runs(tmp_path / "board" / "small")[0]:
        assert examine(run, data).problems == ()


@pytest.fixture
def full_disk(tmp_path):
    """``full_disk(kib)``: a small file system of its own; skipped where one may not be mounted."""
    mounted = []

    def mount(kib: int) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        result = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(place)],
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            pytest.skip(f"a small file system cannot be mounted here: {result.stderr.strip()}")
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("kib", [12, 24, 40])
def test_a_full_disk_ends_in_one_line_and_damages_nothing(popeq, small, tmp_path, full_disk, kib):
    """From too small for run.json to too small for the predictions; with room, the same command goes on."""
    disk = full_disk(kib)
    command = ("run", "random", "--dataset", small, "--runs", disk / "runs", "--quiet")
    result = popeq(*command)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    output = result.stdout + result.stderr
    assert "No space left on device" in output or "is the disk full?" in output
    for run in find_runs(disk / "runs")[0]:
        assert run.record.status != "complete"
    assert find_runs(disk / "runs")[1] == []
    subprocess.run(["mount", "-o", "remount,size=8m", str(disk)], check=True)
    assert popeq(*command).returncode == 0
    (run,) = find_runs(disk / "runs")[0]
    assert examine(run, package.load_dataset(small)).problems == ()
    assert not list((disk / "runs").rglob("*.tmp"))


def test_scoring_and_submitting_on_a_full_disk(popeq, small, tmp_path, full_disk, card):
    disk = full_disk(16)
    file = predictions(tmp_path / "a.csv")
    result = popeq("score", file, "--dataset", small, "--name", "mine", "--runs", disk / "runs")
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert "Traceback" not in result.stderr
    assert [p for p in (disk / "runs").iterdir() if p.name != ".locks"] == []
    assert popeq("score", file, "--dataset", small, "--name", "mine").returncode == 0
    (run,) = find_runs(tmp_path / "runs")[0]
    result = popeq("submit", run.folder, "--dataset", small, "--card", card, "--to", disk / "board")
    assert result.returncode == 1
    assert "No space left on device" in result.stderr
    assert [p for p in (disk / "board").rglob("*") if p.is_file()] == []


def test_a_run_being_made_is_never_seen_half_made(small, tmp_path):
    """Somebody lists runs while another writes them."""
    from popeq.runs.submission import run_from_predictions

    data = package.load_dataset(small)
    seen, over = [], threading.Event()

    def look():
        while not over.is_set():
            seen.append(find_runs(tmp_path / "runs"))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for k in range(12):
            file = predictions(tmp_path / "a.csv", k)
            run_from_predictions(file, data, f"m{k}", runs_dir=tmp_path / "runs")
    finally:
        over.set()
        looker.join()
    assert len(seen) > 12
    assert all(broken == [] and all(r.record.status == "complete" for r in runs) for runs, broken in seen)
