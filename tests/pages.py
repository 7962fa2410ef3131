"""Pages of the documentation that are followed word for word: files, commands, and what these print.

In a page a block of ``sh`` is a list of commands, one a line; ``# exit code N`` behind one says that it ends
so. A line with a file's name in backticks and a colon, above a block, makes the block that file. A block of
``text`` below commands is what they print; a line ``...`` stands for lines that are left out.
``POPEQ_WRITE_PAGES=1`` writes what is printed into the page in place of comparing it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

#: Runs a command line in a folder.
Shell = Callable[[str, Path], "CompletedProcess[str]"]

_BLOCK = re.compile(
    r"(?:`(?P<file>[^`\n]+)`:\n\n)?^```(?P<kind>\w*)\n(?P<text>.*?)^```\n", re.DOTALL | re.MULTILINE
)
_EXIT = re.compile(r"#.*\bexit code (\d+)")
#: What differs from one run of a command to the next, or on another machine.
_VARIES = (
    (re.compile(r"\b\d+(\.\d+)? ?s\b"), "T s"),
    (re.compile(r"\b\d{8}T\d{6}Z\b"), "UTC"),
    (re.compile(r"(UTC-[\w-]+)-[0-9a-f]{8}\b"), r"\1-KEY"),
)


@dataclass(frozen=True)
class Block:
    """A fenced block: its kind, the file that it is or "", its text, and where the text is in the page."""

    kind: str
    file: str
    text: str
    start: int


def blocks(text: str) -> Iterator[Block]:
    """The fenced blocks of a page in their order."""
    for match in _BLOCK.finditer(text):
        yield Block(match["kind"], match["file"] or "", match["text"], match.start("text"))


def follow(page: Path, shell: Shell, where: Path) -> None:
    """Do what a page says, in the folder ``where``; AssertionError where something else happens."""
    text = page.read_text(encoding="utf-8")
    printed, written = "", []
    for block in blocks(text):
        if block.file:
            (where / block.file).parent.mkdir(parents=True, exist_ok=True)
            (where / block.file).write_text(block.text, encoding="utf-8")
        elif block.kind == "sh":
            printed = ""
            for command in block.text.splitlines():
                if command.startswith("cd "):
                    where = where / command.removeprefix("cd ")
                    continue
                expected = int(found[1]) if (found := _EXIT.search(command)) else 0
                result = shell(command, where)
                assert result.returncode == expected, (command, result.stdout, result.stderr)
                assert "Traceback" not in result.stderr, (command, result.stderr)
                printed += result.stdout
        elif block.kind == "text" and os.environ.get("POPEQ_WRITE_PAGES"):
            written.append((block, cut_like(block.text, printed)))
        elif block.kind == "text":
            compare(block.text, printed)
    for block, new in reversed(written):
        text = text[: block.start] + new + text[block.start + len(block.text) :]
    if written:
        page.write_text(text, encoding="utf-8")


def compare(shown: str, printed: str) -> None:
    """Is a text what was printed, but for times, keys of runs, and the last digit of numbers?"""
    wanted, got = shown.rstrip().splitlines(), cut_like(shown, printed).rstrip().splitlines()
    assert len(wanted) == len(got), (shown, printed)
    for one, other in zip(map(_steady, wanted), map(_steady, got), strict=True):
        words, others = one.split(), other.split()
        same = len(words) == len(others) and all(map(_equal, words, others))
        assert same, f"the page shows {one!r}, and {other!r} was printed"


def cut_like(shown: str, printed: str) -> str:
    """As many lines of what was printed as a text shows before and after its line ``...``, or all."""
    lines, given = [line.rstrip() for line in printed.splitlines()], shown.splitlines()
    if "..." in given:
        head, tail = given.index("..."), len(given) - given.index("...") - 1
        lines = [*lines[:head], "...", *(lines[-tail:] if tail else [])]
    return "\n".join(lines).rstrip() + "\n"


def _steady(line: str) -> str:
    for pattern, name in _VARIES:
        line = pattern.sub(name, line)
    return line


def _equal(one: str, other: str) -> bool:
    """Two words; of numbers the last digit may differ, as it does between processors."""
    digits = r"[+-]?\d+\.(\d+)"
    inner, outer = one.strip("[](),:;"), other.strip("[](),:;")
    if one == other or not (re.fullmatch(digits, inner) and re.fullmatch(digits, outer)):
        return one == other
    return abs(float(inner) - float(outer)) <= 1.01 * 10 ** -min(len(n.split(".")[1]) for n in (inner, outer))
