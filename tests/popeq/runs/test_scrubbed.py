"""What the process of a predictor finds in its environment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from popeq.runs.scrubbed import environment_for
from popeq.runs.settings import RunSettings

LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@pytest.fixture
def clean(monkeypatch):
    for name in (*LIBRARIES, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_every_library_gets_the_threads_of_the_run_and_waits_asleep(clean):
    env = environment_for(RunSettings(), threads=3)
    assert [env[name] for name in LIBRARIES] == ["3"] * 4
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"


def test_one_number_of_the_user_goes_for_all(clean):
    """PyTorch takes the larger of OpenMP's and MKL's, so that one of them alone would not hold."""
    clean.setenv("OMP_NUM_THREADS", "1")
    clean.setenv("NUMEXPR_NUM_THREADS", "5")
    clean.setenv("OMP_WAIT_POLICY", "ACTIVE")
    env = environment_for(RunSettings(), threads=3)
    assert [env[name] for name in LIBRARIES] == ["1", "1", "1", "5"]
    assert env["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_predictor_can_print_every_character_whatever_the_terminal_is(clean):
    clean.setenv("LC_ALL", "C")
    clean.setenv("PYTHONIOENCODING", "ascii")
    env = environment_for(RunSettings(), threads=1)
    words = [sys.executable, "-c", "print('日 \\udcff')"]
    assert subprocess.run(words, env=env, capture_output=True, check=True).stdout.decode() == "日 \\udcff\n"
