"""Make strings from other people's files safe to show as text: in a terminal, Markdown, CSV and JSON."""

from __future__ import annotations

import json
import re
import unicodedata

#: Characters that Markdown, or HTML inside it, could take for markup.
_MARKUP = re.compile(r"([\\`*\[\]|~$]|(?<!\w)_|_(?!\w))")
#: What may act on a terminal: controls, format and direction marks, surrogates, private and unassigned
#: characters, line and paragraph separators.
_ACTS = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|-?inf")


def folder_name(name: str, limit: int = 200) -> str:
    """The name itself, if a folder can safely have it.

    Raises ValueError if it has a separator or characters that cannot be printed, begins with a dot, is empty
    or is longer than ``limit`` characters.
    """
    if not 0 < len(name) <= limit or name[0] == "." or not name.isprintable() or set(name) & set("/\\"):
        raise ValueError(
            f"must be a name for a folder: 1 to {limit} printable characters, no / or \\, no dot in front"
        )
    return name


def size_text(weights: int) -> str:
    """The number of a model's weights in three digits: ``135M``, ``1.54B``."""
    for unit, name in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if weights >= unit:
            return f"{weights / unit:.3g}{name}"
    return str(weights)


def visible(text: str, limit: int | None = None) -> str:
    """One line in which every control, direction or invisible character is written as its code.

    So ANSI escapes have no effect on a terminal and right-to-left marks do not reverse a line. Newlines and
    tabs become spaces. A text longer than ``limit`` is cut and its length is added.
    """
    shown = text[:limit]
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(map(_visible, shown))
    return shown if limit is None or len(text) <= limit else f"{shown}… ({len(text)} characters)"


def _visible(character: str) -> str:
    if character in "\n\t":
        return " "
    if unicodedata.category(character) in _ACTS:
        code = ord(character)
        return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}" if code < 65536 else f"\\U{code:08x}"
    return character


def markdown_text(text: str) -> str:
    """Text for Markdown that shows as itself: no markup, HTML or link, and no new table cell."""
    escaped = _MARKUP.sub(r"\\\1", visible(text))
    escaped = re.sub(r"&(?=#|\w+;)", "&amp;", escaped)
    escaped = re.sub(r"<(?=[A-Za-z/!?])", "&lt;", escaped)
    return re.sub(r"(?i)\b(https?|ftp|mailto|www)([:.])", r"\1&#8203;\2", escaped).replace("@", "&#64;")


def markdown_line(text: str) -> str:
    """``markdown_text`` that is also safe at the beginning of a line: no heading, quotation or list."""
    return re.sub(r"^(\d*)([>#+=.)-])", r"\1\\\2", markdown_text(text))


def csv_text(text: str) -> str:
    """Text that a spreadsheet does not run: an apostrophe is put before what could be a formula.

    The convention is OWASP's (CSV injection). Numbers are not changed.
    """
    clean = visible(text)
    return f"'{clean}" if text.startswith(_FORMULA) and not _NUMBER.fullmatch(text) else clean


def json_text(value: object, indent: int | None = None) -> str:
    """A value as JSON in ASCII: safe to print, and the same in every encoding of a terminal.

    Raises ValueError for numbers that JSON does not have.
    """
    return json.dumps(value, indent=indent, allow_nan=False).replace("\x7f", "\\u007f")


def same_sentence(text: str) -> str:
    """What two sentences have in common that are one, whatever their case and white space."""
    return " ".join(text.split()).casefold()
