"""Every parser of files and answers from elsewhere is fuzzed: some hundred inputs here, 120,000 by
``make fuzz``.

An input that broke a target, or was taken where it must not be, stays in ``regressions/TARGET/`` under a name
that says what it is; it has to be refused.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from tests.conftest import ROOT
from tests.fuzz import apart
from tests.fuzz.apart import Apart
from tests.fuzz.strategies import edited, strategies
from tests.fuzz.targets import MEMORY, Ground, Target, ground

pytestmark = pytest.mark.filterwarnings("error")

NAMES = (
    "predictions.csv",
    "predictions.parquet",
    "predictions.csv.gz",
    "stored predictions.csv",
    "stored predictions.csv.bz2",
    "run.json",
    "card.json",
    "data set folder",
    "responses.parquet",
    "sealed answers.csv",
    "answers of servers",
    "results folder",
)
REGRESSIONS = sorted((Path(__file__).parent / "regressions").glob("*/*"))
INPUTS = int(os.environ.get("POPEQ_FUZZ_INPUTS", "100000"))
#: Per cent of the inputs that each target gets from each fuzzer; answers of servers come on top.
GUIDED = dict(zip(NAMES, (12, 5, 3, 4, 2, 10, 6, 5, 3, 2, 5, 1), strict=True))
STRUCTURED = dict(zip(NAMES, (4, 2, 2, 2, 1, 6, 4, 3, 2, 1, 15, 20), strict=True))
#: The most memory, MiB, that popeq takes for folders of results of a tiny data set; 240 are what is imported.
MOST_MIB = 300


@pytest.fixture(scope="module")
def place() -> Iterator[Ground]:
    with ground() as made:
        yield made


@pytest.fixture
def target(place: Ground, request: pytest.FixtureRequest) -> Target:
    (found,) = [t for t in place.targets() if t.name == request.param]
    return found


every_target = pytest.mark.parametrize("target", NAMES, indirect=True)


def feed(target: Target, inputs: SearchStrategy[bytes], count: int, *, repeat: bool) -> Counter[bool]:
    """How many of ``count`` inputs were taken and refused; raises at one that breaks the target."""
    seen: Counter[bool] = Counter()

    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        derandomize=repeat,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs)
    def check(content: bytes) -> None:
        seen[target.check(content)] += 1

    check()
    return seen


@every_target
def test_good_inputs_are_taken_and_broken_ones_are_not(target):
    for seed in target.seeds():
        assert target.check(seed) is True
        assert target.check(seed[: len(seed) // 2]) is False


def test_every_target_is_fuzzed(place):
    assert tuple(t.name for t in place.targets()) == NAMES == tuple(strategies(place))
    assert sum(GUIDED.values()) + sum(STRUCTURED.values()) == 120
    assert {path.parent.name for path in REGRESSIONS} <= set(NAMES)


@pytest.mark.parametrize("path", REGRESSIONS, ids=lambda path: f"{path.parent.name}: {path.name}")
def test_what_once_broke_a_target_is_refused(path, place):
    (target,) = [t for t in place.targets() if t.name == path.parent.name]
    assert target.check(path.read_bytes()) is False


@every_target
def test_no_input_of_a_few_breaks_a_target(target, place):
    seen = feed(target, strategies(place)[target.name] | edited(target.seeds()), 50, repeat=True)
    assert seen[True]
    assert seen[False]


def test_a_process_that_hangs_or_ends_is_a_failure_and_the_next_input_is_answered(place, monkeypatch):
    (good,) = next(t for t in place.targets() if t.name == "results folder").seeds()
    with contextlib.closing(Apart("results folder")) as judge:
        assert judge.check(good) is True
        assert not judge.peak_mib() < 100, "some is taken by the imports alone"
        for number, says in ((signal.SIGSTOP, "no answer in time"), (signal.SIGKILL, "the process ended")):
            os.kill(judge.pid, number)
            with monkeypatch.context() as patch:
                patch.setattr("tests.fuzz.apart.LIMIT_S", 0.2)
                with pytest.raises(AssertionError, match=says):
                    judge.check(good)
        assert judge.check(good[: len(good) // 2]) is False


def test_what_a_target_raises_in_its_process_is_answered(monkeypatch):
    def check(_: bytes) -> bool:
        raise RecursionError("too deep \udc80")

    place = SimpleNamespace(targets=lambda: [Target("bad", check, list)])
    monkeypatch.setattr("tests.fuzz.apart.ground", lambda: contextlib.nullcontext(place))
    ours, theirs = Pipe()
    process = threading.Thread(target=apart.main, args=("bad", os.dup(theirs.fileno())))
    process.start()
    with ours:
        ours.send_bytes(b"anything")
        assert ours.recv_bytes().endswith(b"RecursionError: too deep \\udc80\n")
    process.join()


@pytest.mark.fuzz
@every_target
def test_no_input_that_knows_the_format_breaks_a_target(target, place, counts, peaks):
    """Folders of results are judged in a process of their own, whose memory is measured."""
    wanted = max(1, INPUTS * STRUCTURED[target.name] // 100)
    inputs = strategies(place)[target.name]
    if target.name != "results folder":
        seen = feed(target, inputs, wanted, repeat=False)
    else:
        with contextlib.closing(Apart(target.name)) as judge:
            seen = feed(dataclasses.replace(target, check=judge.check), inputs, wanted, repeat=False)
            peaks[target.name] = judge.peak_mib()
        assert not peaks[target.name] >= MOST_MIB
    counts[target.name, "hypothesis, structured"] = seen
    assert seen.total() >= wanted


@pytest.mark.fuzz
@every_target
def test_no_input_that_is_found_by_coverage_breaks_a_target(target, counts):
    wanted = max(1, INPUTS * GUIDED[target.name] // 100)
    if importlib.util.find_spec("atheris") is None:  # there are no wheels for this Python or system
        seen = counts[target.name, "hypothesis, bytes"] = feed(
            target, edited(target.seeds()), wanted, repeat=False
        )
        assert seen.total() >= wanted
        return
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz.coverage_guided", target.name, str(wanted), folder],
            cwd=ROOT,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        broke = {path.name: path.read_bytes() for path in sorted(Path(folder, "found").glob("*"))}
    output = "\n".join(line for line in done.stderr.splitlines() if not line.startswith("INFO:"))
    assert not broke, f"{broke}\n{output}"
    assert done.returncode == 0, output
    ran = re.search(r"^taken: (\d+), refused: (\d+)$", done.stdout, re.MULTILINE)
    assert ran, done.stdout
    seen = counts[target.name, "atheris, coverage"] = Counter({True: int(ran[1]), False: int(ran[2])})
    assert seen.total() >= wanted
