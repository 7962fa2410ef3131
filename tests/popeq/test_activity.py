"""The line that says what a command is at: on a terminal alone, and never beside a bar."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
import threading

import pytest

CODE = """
import sys, time
from popeq import activity
from popeq.output import say
from popeq.terminal import Bar

activity._AFTER_S = 0.05
def slow():
    for i in range(3):
        time.sleep(0.4)
        yield i
with activity.shown("popeq x\\x1b"):
    for _ in activity.counted(slow(), "scoring runs", 3):
        with activity.doing("what is inside"):
            pass
    say("a result")
    with Bar("prompts", 3) as bar:
        time.sleep(0.4)
        assert activity._state.line is None
    assert activity._state.held == 0
assert activity._state.line is None
"""


def on_a_terminal() -> str:
    """What the code writes to a terminal that is its error stream."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                shown.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(
        [sys.executable, "-c", CODE],
        check=True,
        stdout=subprocess.PIPE,
        stderr=theirs,
        timeout=60,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    return shown.decode()


def test_the_line_counts_on_a_terminal_and_makes_way_for_a_bar():
    text = on_a_terminal()
    assert "popeq x\\x1b: scoring runs 1/3" in text
    assert "popeq x\\x1b: scoring runs 2/3" in text
    assert "what is inside" not in text
    assert text.index("scoring runs 2/3") < text.index("prompts")


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nothing_is_shown_in_a_pipe(stream):
    found = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, timeout=60
    )
    assert getattr(found, stream) == ("a result\n" if stream == "stdout" else "")
