"""Prompt templates: files a person can read and replace, checked once and filled in to a chat."""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from popeq.errors import UsageError
from popeq_llm.answers import AnswerFormat, answer_text
from popeq_llm.models import Chat, Message

Kind = Literal["zero", "few", "qa", "paraphrase"]
#: A sentence and the settings (m, 2) in dB that listeners chose for it.
Example = tuple[str, NDArray[np.float64]]

_SECTIONS = ("system", "example", "user")
_HEADER = re.compile(r"^---[ \t]+(\S+)[ \t]*$", re.MULTILINE)
_PLACEHOLDER = re.compile(r"\{([A-Za-z_]+)\}")
_WITH_EXAMPLES: dict[str, tuple[str, ...]] = {
    "system": (),
    "example": ("sentence", "settings"),
    "user": ("examples", "sentence"),
}
#: The sections of each kind, and what each has to have a place for.
_ALLOWED: dict[Kind, dict[str, tuple[str, ...]]] = {
    "zero": {"system": (), "user": ("sentence",)},
    "few": _WITH_EXAMPLES,
    "qa": _WITH_EXAMPLES,
    "paraphrase": {"system": (), "user": ("count", "sentence")},
}


@dataclass(frozen=True)
class Template:
    """A checked template. ``system`` may be empty: then the chat has no system message.

    ``system`` and ``user`` stand without white space around; ``example`` as in the file, up to the next
    section, so that the lines that part two examples are its own.
    """

    name: str
    system: str
    example: str
    user: str
    sha256: str

    def chat(self, sentence: str, examples: Sequence[Example] = (), count: int = 1) -> Chat:
        """The turns before the answer. Sentences are inserted as they are; braces in them mean nothing.

        ``count``: how many paraphrases are asked for, in a template of that kind.
        """
        shown = "".join(
            _fill(self.example, {"sentence": text, "settings": settings_text(points)})
            for text, points in examples
        )
        values = {"sentence": sentence, "examples": shown, "count": str(count)}
        user = Message("user", _fill(self.user, values))
        return (Message("system", self.system), user) if self.system else (user,)


def settings_text(points: NDArray[np.float64]) -> str:
    """Settings (m, 2) in dB as an example shows them: ``[x, y], [x, y]``, rounded to tenths."""
    return ", ".join(answer_text([point], AnswerFormat()) for point in points)


def load_template(kind: Kind, file: str | Path | None = None) -> Template:
    """The bundled template of a kind, or a person's own ``file`` in its place.

    ``zero`` asks about a sentence alone; ``few`` and ``qa`` show examples, ``qa`` asks for a list;
    ``paraphrase`` asks for other wordings of a sentence, one a line.

    Raises
    ------
    UsageError
        In one line: the file cannot be read, or which sections and placeholders are missing or unknown.
    """
    if not file:
        bundled = importlib.resources.files("popeq_llm").joinpath("templates", f"{kind}.txt")
        return parse_template(bundled.read_text(encoding="utf-8"), kind, f"{kind}.txt")
    try:
        text = Path(file).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"template {file}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise UsageError(f"template {file}: is not UTF-8 text") from None
    return parse_template(text, kind, str(file))


def parse_template(text: str, kind: Kind, name: str) -> Template:
    """A template from its text; ``name`` is what errors call it. Raises UsageError."""
    allowed = _ALLOWED[kind]
    preface, *parts = _HEADER.split(text)
    names, bodies = parts[::2], parts[1::2]
    sections = dict(zip(names, (body.removeprefix("\n") for body in bodies), strict=True))
    problems = []
    if preface.strip():
        problems.append("text stands before the first section (begin with a line '--- system')")
    problems += [f"unknown section '--- {s}'" for s in sections if s not in _SECTIONS]
    problems += [f"section '--- {s}' stands twice" for s in sections if names.count(s) > 1]
    problems += [f"no section '--- {s}'" for s in allowed if s != "system" and s not in sections]
    for section in allowed:
        if section in sections:
            problems += _placeholder_problems(section, sections[section], allowed[section], kind)
    if problems:
        raise UsageError(f"template {name}: {'; '.join(problems)}")
    return Template(
        name,
        sections.get("system", "").strip(),
        sections.get("example", "") if "example" in allowed else "",
        sections["user"].strip(),
        hashlib.sha256(text.encode()).hexdigest(),
    )


def _placeholder_problems(section: str, body: str, needed: tuple[str, ...], kind: Kind) -> list[str]:
    found = set(_PLACEHOLDER.findall(body))
    problems = [f"section '--- {section}' has no {{{p}}}" for p in needed if p not in found]
    for other in sorted(found - set(needed)):
        if other == "examples" and "example" not in _ALLOWED[kind]:
            problems.append("{examples} in a template that is asked without examples")
        else:
            known = " and ".join(f"{{{p}}}" for p in needed) or "none"
            problems.append(f"section '--- {section}' has the unknown {{{other}}} (known there: {known})")
    return problems


def _fill(text: str, values: Mapping[str, str]) -> str:
    """Insert all values in one pass over the template, so that nothing inserted is read again."""
    return _PLACEHOLDER.sub(lambda match: values[match[1]], text)
