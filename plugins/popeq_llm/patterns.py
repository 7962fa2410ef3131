"""Sets of numbers as regular expressions and as rules of llama.cpp's grammars (GBNF)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple


class Pattern(NamedTuple):
    """Alternatives that match the texts of a set and nothing else, in both languages."""

    regex: str
    grammar: str


def number_pattern(texts: Collection[str]) -> Pattern:
    """The pattern of numbers such as ``-1.5``; a sign is optional where both signs have the same numbers."""
    negative = {text[1:] for text in texts if text.startswith("-")}
    others = {text for text in texts if not text.startswith("-")}
    mirrored = negative == {text for text in others if float(text)}
    parts = _alternatives(others - negative if mirrored else others)
    if negative:
        below, sign = pattern_of(negative), "?" if mirrored else ""
        parts.append(Pattern(f"-{sign}({below.regex})", f'"-"{sign} ({below.grammar})'))
    return _joined(parts)


def pattern_of(texts: Collection[str]) -> Pattern:
    """The pattern of texts of digits and points, none of them empty; short where many end alike."""
    return _joined(_alternatives(texts))


def _joined(alternatives: Sequence[Pattern]) -> Pattern:
    return Pattern("|".join(p.regex for p in alternatives), " | ".join(p.grammar for p in alternatives))


def _alternatives(texts: Collection[str]) -> list[Pattern]:
    """Texts whose first characters are followed by the same ends are one alternative."""
    ends: dict[str, set[str]] = {}
    for text in texts:
        ends.setdefault(text[0], set()).add(text[1:])
    alike: dict[frozenset[str], list[str]] = {}
    for first in sorted(ends):
        alike.setdefault(frozenset(ends[first]), []).append(first)
    return [_followed(firsts, rest) for rest, firsts in alike.items()]


def _followed(firsts: list[str], rest: frozenset[str]) -> Pattern:
    """One of some characters, then one of some texts, which may be empty."""
    if len(firsts) == 1:
        regex, grammar = re.escape(firsts[0]), f'"{firsts[0]}"'
    else:
        regex = grammar = f"[{_range(firsts)}]"
    if alternatives := _alternatives(rest - {""}):
        below, mark = _joined(alternatives), "?" if "" in rest else ""
        grouped = mark or len(alternatives) > 1
        regex += f"({below.regex}){mark}" if grouped else below.regex
        grammar += f" ({below.grammar}){mark}" if grouped else f" {below.grammar}"
    return Pattern(regex, grammar.replace('" "', ""))  # a literal that follows another is part of it


def _range(characters: Sequence[str]) -> str:
    """Sorted characters as the inside of a class: ``1-5`` for more than two in a row, else each."""
    rows: list[str] = []
    for character in characters:
        if rows and ord(character) == ord(rows[-1][-1]) + 1:
            rows[-1] += character
        else:
            rows.append(character)
    return "".join(f"{row[0]}-{row[-1]}" if len(row) > 2 else row for row in rows)
