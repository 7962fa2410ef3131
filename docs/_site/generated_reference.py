"""The parts of the reference that are made from the code: commands, predictors, names of Python.

A page holds a comment such as ``<!-- generated: commands -->``, which is replaced when Sphinx reads the page.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sphinx.pycode import ModuleAnalyzer

if TYPE_CHECKING:
    from sphinx.application import Sphinx

_MARK = re.compile(r"<!-- generated: (\w+)(?: ([\w.]+))? -->")
_ACTING = re.compile(r"([\\`*_<>\[\](){}#|$~!])")
#: Modules with a page of their own, whose names popeq has too.
ELSEWHERE = {
    "popeq.contract": "contract",
    "popeq.hookspecs": "contract",
    "popeq.testing": "contract",
    "popeq.errors": "contract",
    "popeq.metrics": "metrics",
    "popeq.statistics": "statistics",
    "popeq.eq": "eq",
}
_LITERAL = re.compile(r"``(.+?)``|`(.+?)`")


def plain(text: str) -> str:
    """A text that Markdown shows as it is; names between backticks stay code."""
    done, parts = 0, []
    for match in _LITERAL.finditer(text):
        parts += [_ACTING.sub(r"\\\1", text[done : match.start()]), f"`{match[1] or match[2]}`"]
        done = match.end()
    return " ".join("".join([*parts, _ACTING.sub(r"\\\1", text[done:])]).split())


def commands_of(group: click.Group, words: tuple[str, ...]) -> Iterator[tuple[str, click.Command]]:
    """Every command and subcommand with its words, such as ``popeq leaderboard show``."""
    context = click.Context(group, info_name=words[-1])
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield " ".join((*words, name)), command
        if isinstance(command, click.Group):
            yield from commands_of(command, (*words, name))


def commands() -> str:
    """A chapter for each command: how it is called, what it does, its options."""
    from popeq.cli import popeq as program

    return "\n".join(_command(words, command) for words, command in commands_of(program, ("popeq",)))


def _command(words: str, command: click.Command) -> str:
    context = click.Context(command, info_name=words, max_content_width=88, terminal_width=88)
    usage = command.get_usage(context).removeprefix("Usage: ")
    lines = [f"## {words}\n", f"```text\n{usage}\n```\n"]
    for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
        if paragraph.startswith("\b"):
            kept = paragraph.removeprefix("\b").strip("\n")
            lines.append(f"```text\n{kept}\n```\n")
        else:
            lines.append(plain(paragraph) + "\n")
    for parameter in command.params:
        record = parameter.get_help_record(context)
        if record is not None and record[1]:
            lines.append(f"- `{record[0]}`: {plain(record[1])}")
    return "\n".join([*lines, ""])


def predictors() -> str:
    """A chapter for each predictor of popeq's own packages: what it is, what it needs, its parameters."""
    from popeq.plugins import registry

    chapters = []
    for name, spec in sorted(registry().predictors.items()):
        if not spec.factory.startswith("popeq_"):
            continue  # of a package that is installed here and does not belong to popeq
        needs = f" Needs `popeq[{spec.extra}]`." if spec.extra else ""
        rows = [_field(key, field) for key, field in spec.parameters.model_fields.items()]
        about = f"{plain(spec.summary)}. Kind: {spec.kind}.{needs}"
        chapters.append("\n".join([f"## {name}\n", about + "\n", *rows, ""]))
    return "\n".join(chapters)


def _field(name: str, field: FieldInfo) -> str:
    default = (
        "required" if field.is_required() else f"default `{field.get_default(call_default_factory=True)!r}`"
    )
    return f"- `{name}` ({plain(_kind(field))}, {default}): {plain(field.description or '')}"


def _kind(field: FieldInfo) -> str:
    """The type of a field, as the source writes it, with its bounds."""
    kind = field.annotation
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    text = re.sub(r"\b(?:typing|pathlib|popeq(?:\.\w+)+|collections\.abc)\.", "", text)
    signs = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    bounds = [
        f"{sign} {getattr(each, key)}"
        for each in field.metadata
        for key, sign in signs.items()
        if getattr(each, key, None) is not None
    ]
    return ", ".join([text, *bounds])


def names(module_name: str) -> str:
    """A chapter for each public name of a module, or a line that leads to the page that describes it."""
    module = importlib.import_module(module_name)
    listed = getattr(module, "__all__", None) or [
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module_name
    ]
    level = "###" if "." in module_name else "##"
    chapters: list[str] = []
    elsewhere: dict[str, list[str]] = {}
    for name in sorted(listed, key=str.lower):
        value = getattr(module, name)
        home = value.__name__ if inspect.ismodule(value) else str(getattr(value, "__module__", ""))
        page = next((page for of, page in ELSEWHERE.items() if f"{home}.".startswith(f"{of}.")), None)
        if module_name == "popeq" and page is not None:
            elsewhere.setdefault(page, []).append(f"`{name}`")
        else:
            chapters.append(f"{level} {name}\n\n```{{eval-rst}}\n{_described(module_name, name, value)}```\n")
    lines = [f"- [](./{page}.md): {', '.join(found)}" for page, found in sorted(elsewhere.items())]
    if lines:
        lines = ["These names of `popeq` are described on other pages:\n", *lines]
    return "\n".join([*lines, "", *chapters])


def _described(module_name: str, name: str, value: object) -> str:
    """What makes Sphinx describe a name: its docstring, or the comment above a constant."""
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, BaseException) else "class"
        return f".. auto{kind}:: {module_name}.{name}\n   :members:\n"
    if inspect.isroutine(value):
        return f".. autofunction:: {module_name}.{name}\n"
    about = next(
        (
            comment
            for home in sorted(m for m in sys.modules if m.startswith(module_name.split(".")[0] + "."))
            if vars(sys.modules[home]).get(name) is value
            for (of, each), comment in ModuleAnalyzer.for_module(home).find_attr_docs().items()
            if (of, each) == ("", name)
        ),
        [repr(value)],
    )
    return "\n   ".join([f".. py:data:: {module_name}.{name}\n", *about]) + "\n"


def module(module_name: str) -> str:
    """What a module says of itself, and its names."""
    about = inspect.getdoc(importlib.import_module(module_name)) or ""
    return "\n\n".join([*map(plain, about.split("\n\n")), names(module_name).replace("### ", "## ")])


def fill(_: Sphinx, __: str, source: list[str]) -> None:
    """Put what is made in the places of the comments of a page."""
    makers: dict[str, Any] = {
        "commands": commands,
        "predictors": predictors,
        "names": names,
        "module": module,
    }
    source[0] = _MARK.sub(lambda m: makers[m[1]](*([m[2]] if m[2] else [])), source[0])


def describe_fields(_: Sphinx, what: str, __: str, value: object, ___: object, lines: list[str]) -> None:
    """Add the fields of a pydantic model to its docstring, and take out what pydantic's own methods say."""
    if what == "class" and inspect.isclass(value) and issubclass(value, BaseModel):
        for name, field in value.model_fields.items():
            default = (
                ""
                if field.is_required()
                else f" Default: ``{field.get_default(call_default_factory=True)!r}``."
            )
            lines += [f":param {name}: {field.description or ''}{default}", f":type {name}: {_kind(field)}"]
        lines.append("")


def skip(_: Sphinx, __: str, name: str, ___: object, ____: bool, _____: object) -> bool | None:
    """Leave out pydantic's machinery."""
    return True if name in ("model_config", "model_post_init") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", fill)
    app.connect("autodoc-process-docstring", describe_fields)
    app.connect("autodoc-skip-member", skip)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
