"""The line that says what a command is at: on a terminal alone, and never beside a bar."""

from __future__ import annotations

import contextlib
import os
import pty
import re
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
    if sys.argv[1:]:
        time.sleep(0.6)
        say("a result below the line")
with activity.shown("popeq x\\x1b"):
    for _ in activity.counted(slow(), "scoring runs", 3):
        with activity.doing("what is inside"):
            pass
    say("a result")
    with Bar("prompts", 3) as bar:
        time.sleep(0.4)
        assert activity._state.line is None
        say("a result beside the bar")
        time.sleep(0.4)
    assert activity._state.held == 0
assert activity._state.line is None
"""


BARS = """
import sys
from types import SimpleNamespace as Object
from popeq.runs.reporting import ProgressBar

prompts, *names = sys.argv[1:]
bar = ProgressBar()
bar.planned([Object(predictor=Object(name=name)) for name in names])
bar.started(int(prompts), 0)
bar.close()
"""


def on_a_terminal(*words: str, code: str = CODE, whole: bool = False) -> str:
    """What the code writes to a terminal that is its error stream, or both of its streams."""
    ours, theirs = pty.openpty()
    shown = bytearray()

    def read() -> None:
        with contextlib.suppress(OSError):
            while part := os.read(ours, 4096):
                shown.extend(part)

    reader = threading.Thread(target=read)
    reader.start()
    subprocess.run(
        [sys.executable, "-c", code, *words],
        check=True,
        stdout=theirs if whole else subprocess.PIPE,
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


def screen(written: str) -> list[str]:
    """The lines that text, carriage returns, erased lines and steps up leave on a terminal."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[\??[\d;]*[A-Za-z]|[\r\n]|[^\x1b\r\n]+", written):
        if part == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            column = 0
        elif part.startswith("\x1b"):
            if part.endswith("A"):
                row -= int(part[2:-1] or 1)
            elif part.endswith("K"):
                lines[row] = "" if part == "\x1b[2K" else lines[row][:column]
        else:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line.rstrip() for line in lines]


def test_what_is_printed_begins_a_line_of_its_own():
    """A table that began behind the line or the bar would have a header that does not fit its columns."""
    found = screen(on_a_terminal("say", whole=True))
    kept = [line for line in found if "result" in line]
    assert kept == ["a result below the line", "a result", "a result beside the bar"]
    assert not [line for line in found if "popeq x" in line]
    assert sum("prompts" in line for line in found) == 1
    assert "prompts" in found[found.index("a result beside the bar") + 1]


def test_the_time_left_is_shown_for_one_predictor_alone_and_no_bar_where_nothing_is_drawn():
    unknown = "-:--:--"  # what stands there before the first prompt
    one, two = ("".join(screen(on_a_terminal("3", *n, code=BARS))) for n in (("a", "a"), ("a", "b")))
    assert ("0/3 prompts" in one, unknown in one) == (True, True)
    assert ("0/3 prompts" in two, unknown in two) == (True, False)
    assert "prompts" not in on_a_terminal("0", "a", code=BARS)


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_nothing_is_shown_in_a_pipe(stream):
    found = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True, timeout=60
    )
    assert getattr(found, stream) == ("a result\na result beside the bar\n" if stream == "stdout" else "")
