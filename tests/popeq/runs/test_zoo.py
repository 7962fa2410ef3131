"""Bad predictors, all in one command beside innocent ones: each is contained, named and reported."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from tests.conftest import ROOT, environment, write_small_dataset

from popeq.runs.containment import LOG_HEAD, LOG_TAIL
from popeq.runs.packed import PACKED

ZOO = ROOT / "tests" / "zoo_plugin"

sys.path.insert(0, str(ZOO))
from popeq_zoo import ANIMALS  # noqa: E402
from popeq_zoo.animals import masked  # noqa: E402

sys.path.remove(str(ZOO))  # no other test's process shall find the zoo

#: How each animal's run ends, and what the report says.
FATE = {
    "import-raises": ("error", "RuntimeError: not today"),
    "fit-raises": ("error", "KeyError: 'no\\nsuch thing'"),
    "sample-raises": ("error", "ZeroDivisionError: by zero"),
    "wrong-shape": ("contract", "must give shape (4, 660, 2), not (4, 660)"),
    "not-a-number": ("contract", "not finite for prompt 'p08'"),
    "out-of-the-box": ("contract", "(6.5, 6.5) dB for prompt 'p08', outside the box"),
    "too-few": ("contract", "must give shape (4, 660, 2), not (4, 330, 2)"),
    "lazy": ("contract", "must give an array of numbers, not generator"),
    "hangs": ("timeout", "stopped at the time limit of 10 s"),
    "forks": ("timeout", "stopped at the time limit of 10 s"),
    "glutton": ("memory", "stopped at the memory limit of 0.75 GiB"),
    "litter": ("memory", "stopped at the memory limit of 0.75 GiB"),
    "quits": ("crash", "ended with status 0 and no report"),
    "exits": ("error", "SystemExit: I have had enough"),
    "segfaults": ("crash", "died of SIGSEGV"),
    "caller": ("error", "no connection to 192.0.2.1: runs are offline unless asked for with --online"),
}
HARMLESS = ("deserter", "chatter", "messy", "spy", "thief", "meddler", "reader", "overwriter", "hasher")
SECRETS = {
    "AWS_SECRET_ACCESS_KEY": "s1",
    "HF_TOKEN": "s2",
    "GITHUB_TOKEN": "s3",
    "OPENAI_API_KEY": "s4",
    "DATABASE_URL": "postgres://me:s5@db",
    "SSH_AUTH_SOCK": "s6",
    "POPEQ_PASSWORD": "s7",
}


@dataclass
class Visit:
    """What is left after the whole zoo ran once."""

    folder: Path
    notes: Path
    stdout: str
    stderr: str
    status: int
    wall_s: float
    largest_log: int
    most_memory: int

    def run(self, name: str) -> Path:
        (found,) = self.folder.glob(f"runs/*-{name}-????????")
        return found

    def record(self, name: str) -> dict:
        return json.loads((self.run(name) / "run.json").read_text())


def watch(visit: Visit, process: psutil.Popen, over: threading.Event) -> None:
    """The largest log and the most memory of the visitors, while they are there."""
    while not over.wait(0.05):
        for log in visit.folder.glob("runs/2*/log-*.txt"):
            with contextlib.suppress(FileNotFoundError):  # a run that ended just now drops an empty one
                visit.largest_log = max(visit.largest_log, log.stat().st_size)
        try:
            resident = sum(p.memory_info().rss for p in process.children(recursive=True))
        except psutil.Error:
            continue
        visit.most_memory = max(visit.most_memory, resident)


@pytest.fixture(scope="module")
def visit(tmp_path_factory) -> Visit:
    folder = tmp_path_factory.mktemp("zoo")
    notes = folder / "notes"
    notes.mkdir()
    data = write_small_dataset(folder / "data")
    lines = (data / "responses.csv").read_text().splitlines()
    numbers = [f"{1 + k / 1e6 + 1.2345e-8:.12f}" for k in range(len(lines))]  # each is nowhere else
    rows = [line.split(",")[:2] for line in lines[1:]]
    marked = [f"{p},{who},{x},0.5" for (p, who), x in zip(rows, numbers, strict=False)]
    (data / "responses.csv").write_text("\n".join([lines[0], *marked]) + "\n")
    kinds = {"p00": "train", "p07": "validation", "p08": "test", "p11": "test"}
    wanted = [
        " ".join([kinds[prompt_id], *(form.hex() for form in masked(float(number)))])
        for (prompt_id, who), number in zip(rows, numbers, strict=False)
        if prompt_id in kinds and who in ("l0", "l4")
    ]
    (notes / "wanted.txt").write_text("\n".join(wanted))
    names = ["prior", "zoo-import-raises", *(f"zoo-{name}" for name in ANIMALS), "random"]
    command = [sys.executable, "-c", "from popeq.cli import main; main()", "run", *names]
    command += ["--dataset", str(data), "--jobs", "2", "--timeout", "10", "--memory", "0.75", "--quiet"]
    visit = Visit(folder, notes, "", "", -1, 0.0, 0, 0)
    over, started = threading.Event(), time.monotonic()
    process = psutil.Popen(
        command,
        cwd=folder,
        env=environment({"PYTHONPATH": str(ZOO), "POPEQ_ZOO": str(notes), **SECRETS}),
        stdout=-1,
        stderr=-1,
        text=True,
    )
    watcher = threading.Thread(target=watch, args=(visit, process, over))
    watcher.start()
    try:
        visit.stdout, visit.stderr = process.communicate(timeout=240)
    finally:
        over.set()
        watcher.join()
    visit.wall_s, visit.status = time.monotonic() - started, process.returncode
    return visit


def test_every_animal_has_a_fate():
    assert set(FATE) | set(HARMLESS) == {*ANIMALS, "import-raises"}


def test_the_whole_zoo_ends_and_popeq_goes_on(visit):
    assert visit.status == 1
    assert "Traceback" not in visit.stderr
    assert "'zoo_broken' of popeq-zoo 1.0" in visit.stderr
    assert "RuntimeError: not today" in visit.stderr


@pytest.mark.parametrize("name", FATE)
def test_a_bad_predictor_is_named_and_reported(visit, name):
    kind, says = FATE[name]
    record = visit.record(f"zoo-{name}")
    (failure,) = record["failures"]
    assert failure["kind"] == kind
    assert says in failure["message"]
    assert record["status"] == "failed"
    assert f"{kind}: {failure['message']}" in visit.stdout
    assert not (visit.run(f"zoo-{name}") / PACKED).exists()
    if failure["detail"]:
        assert (visit.run(f"zoo-{name}") / failure["detail"]).stat().st_size > 0


@pytest.mark.parametrize("name", HARMLESS)
def test_what_cannot_hurt_others_is_complete(visit, name):
    assert visit.record(f"zoo-{name}")["status"] == "complete"


def test_the_innocent_are_not_disturbed(visit, popeq, tmp_path):
    assert popeq("run", "prior", "random", "--dataset", visit.folder / "data").returncode == 0
    for name in ("prior", "random"):
        (alone,) = tmp_path.glob(f"runs/*-{name}-*/{PACKED}")
        assert alone.read_bytes() == (visit.run(name) / PACKED).read_bytes()


def test_nobody_lives_on(visit):
    for note in ("hangs.pid", "forks-child.pid", "forks-daemon.pid", "deserter.pid"):
        assert not psutil.pid_exists(int((visit.notes / note).read_text())), note


def test_memory_is_taken_back_before_it_is_missed(visit):
    """Two side by side with 0.75 GiB each; the rest is what grows between two looks."""
    assert visit.most_memory < 3.0 * 2**30


def test_a_log_is_bounded_while_it_grows(visit):
    log = visit.run("zoo-chatter") / "log-split.txt"
    assert visit.largest_log <= LOG_HEAD + LOG_TAIL + (1 << 17)
    text = log.read_text()
    assert text.startswith("all work and no play\n")
    assert text.endswith("the end of the story\n")
    assert "bytes of output left out here]" in text


def test_a_segmentation_fault_says_where(visit):
    assert "in sample" in (visit.run("zoo-segfaults") / "log-split.txt").read_text()


def test_stray_files_are_reported_and_gone(visit):
    assert "discarded: junk.txt" in (visit.run("zoo-messy") / "log-split.txt").read_text()
    for place in (visit.notes / "messy.cwd").read_text().splitlines():
        assert not Path(place).exists()
    assert {p.name for p in visit.folder.iterdir()} == {"data", "notes", "runs"}


def test_test_responses_are_not_in_the_process(visit):
    """Its whole memory was searched; training responses, which it was given, were found there."""
    assert (visit.notes / "spy.found").read_text().split() == ["train", "validation"]


def test_secrets_are_not_in_the_process_unless_handed_over(visit, popeq, tmp_path):
    seen = set((visit.notes / "thief.found").read_text().splitlines())
    assert not seen & set(SECRETS)
    assert {"PATH", "PYTHONPATH", "HF_HUB_OFFLINE", "POPEQ_ZOO", "OMP_NUM_THREADS"} <= seen
    env = {"PYTHONPATH": str(ZOO), "POPEQ_ZOO": str(tmp_path), **SECRETS}
    command = ("run", "zoo-thief", "--dataset", visit.folder / "data")
    result = popeq(*command, "--pass-env", "HF_TOKEN", "--online", env=env)
    assert result.returncode == 0, result.stderr
    seen = set((tmp_path / "thief.found").read_text().splitlines())
    assert seen & set(SECRETS) == {"HF_TOKEN"}
    assert "HF_HUB_OFFLINE" not in seen - set(os.environ)
    refused = popeq(*command, "--fresh", "--pass-env", "NO_SUCH_THING", env=env)
    assert refused.returncode == 2
    assert "--pass-env NO_SUCH_THING: there is no such environment variable" in refused.stderr


def test_the_input_belongs_to_popeq(visit):
    assert (visit.notes / "reader.found").read_text() == ""
