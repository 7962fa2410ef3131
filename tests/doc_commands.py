"""Every command in a fenced block of the pages, and a reading of one that runs nothing."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from popeq.cli import popeq as program
from tests.conftest import ROOT
from tests.pages import blocks

#: Blocks that hold commands; one without a kind may.
KINDS = ("sh", "bash", "console", "yaml", "")
_SEPARATORS = ("&&", "||", "|", ";", ">", ">>", "&")


@dataclass(frozen=True)
class Command:
    """The words of a command, and the page that has it."""

    page: Path
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}: {shlex.join(self.words)}"


def pages() -> list[Path]:
    """The Markdown files of the site."""
    own = [p for p in sorted((ROOT / "docs").rglob("*.md")) if "_site" not in p.parts]
    names = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "leaderboard/README.md")
    return [*(ROOT / name for name in names), *own]


def commands(page: Path) -> Iterator[Command]:
    """The commands of popeq, make and the benchmarks in the fenced blocks of a page."""
    text = re.sub(r"^ {3}(?=\S)", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE)  # in lists
    for block in blocks(text):
        if block.kind not in KINDS or block.file:
            continue
        for line in block.text.replace("\\\n", " ").splitlines():
            if re.search(r"\bpopeq (?=[a-z-])|^\s*(?:- run: )?make |python -m tests\.", line):
                yield from _commands_of(page, line)


def _commands_of(page: Path, line: str) -> Iterator[Command]:
    lexer = shlex.shlex(line.strip(), posix=True, punctuation_chars="&|;>")
    lexer.whitespace_split = True
    part: list[str] = []
    for word in [*lexer, "&&"]:
        if word not in _SEPARATORS:
            part.append(word)
            continue
        for first in ("popeq", "make"):
            if first in part:
                yield Command(page, tuple(part[part.index(first) :]))
                break
        else:
            if "-m" in part and part[part.index("-m") + 1].startswith("tests."):
                yield Command(page, tuple(part[part.index("-m") - 1 :]))
        part = []


def fault_of(command: Command) -> str | None:
    """What is wrong with a command, found without running it: a name, an option or an argument."""
    if command.words[0] == "popeq":
        return _fault_of_popeq(list(command.words[1:]))
    if command.words[0] == "make":
        targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        wanted = [word for word in command.words[1:] if "=" not in word]
        return next((f"the Makefile has no target {word}" for word in wanted if word not in targets), None)
    return _fault_of_benchmark(list(command.words[2:]))


def _fault_of_popeq(words: list[str]) -> str | None:
    """Click reads the words as if the command were called; files need not be there."""
    command: click.Command = program
    context = click.Context(program, info_name="popeq")
    taken, click.Path.convert = click.Path.convert, lambda _, value, *__: value  # type: ignore[assignment,misc,method-assign]
    try:
        while isinstance(command, click.Group):
            if not words:
                return "a group of commands, without the command"
            if words[0].startswith("-"):
                break
            found = command.get_command(context, words[0])
            if found is None:
                return f"there is no command {words[0]}"
            command, context = found, click.Context(found, info_name=words.pop(0), parent=context)
        if words not in (["--help"], ["--version"]):
            command.parse_args(context, words)
    except click.ClickException as error:
        return error.format_message()
    except Exception as error:
        return str(error)
    finally:
        click.Path.convert = taken  # type: ignore[method-assign]
    return None


def _fault_of_benchmark(words: list[str]) -> str | None:
    """The module is there, and its source has the options."""
    module, *arguments = words
    found = importlib.util.find_spec(module)
    if found is None:
        return f"there is no module {module}"
    path = (
        Path(found.submodule_search_locations[0], "__main__.py") if found.submodule_search_locations else None
    )
    source = (path or Path(str(found.origin))).read_text(encoding="utf-8")
    options = [word.partition("=")[0] for word in arguments if word.startswith("--")]
    return next((f"{module} has no option {o}" for o in options if f'"{o}"' not in source), None)
