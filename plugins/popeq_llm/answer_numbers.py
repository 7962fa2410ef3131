"""Answers whose numbers are written in other ways than a local model writes them, read where only one reading
is possible."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from typing import Any

from popeq.typing import Floats
from popeq_llm.answers import AnswerFormat, Bound, answer_text, parse_answer

#: Signs that are printed as a minus: hyphens, the figure dash, the en dash, the minus sign, and wide forms.
_MINUS = "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"
#: Blanks of fixed width, the wide forms of the signs of an answer, the comma of Chinese and Japanese text.
_PLAIN = dict.fromkeys(map(ord, _MINUS), "-") | dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f\u3000"), " ")
_PLAIN |= {0xFF3B: "[", 0xFF3D: "]", 0xFF0E: ".", 0xFF0B: "+", 0xFF0C: ", ", 0x3001: ", ", 0xFF1B: "; "}
_FENCE = re.compile(r"```[a-zA-Z]*[ \t]*\n(.*?)\n?```", re.DOTALL)
#: One or two decimals: "1.500" and "1,500" may be thousands.
_POINT = r"[-+]?(?:0|[1-9][0-9]?)(?:\.[0-9]{1,2})?"
_COMMA = r"[-+]?(?:0|[1-9][0-9]?),[0-9]{1,2}"
#: Two numbers with a decimal point; whole ones only with a blank behind the comma: 1,2 may be 1.2.
_BY_POINT = re.compile(rf"\[ *({_POINT})(?:(?:,| *;) +| *; *|(?<=\.[0-9]),|(?<=\.[0-9][0-9]),)({_POINT}) *\]")
#: Two numbers with a decimal comma, both of them, with a separator that is no decimal comma.
_BY_COMMA = re.compile(rf"\[ *({_COMMA})(?: *; *|, +)({_COMMA}) *\]")


def read_answer(text: str, form: Bound) -> Floats | None:
    """The settings (pairs, 2) in dB of an answer, or its mixture (K, 4); None if it is anything else.

    Besides what ``parse_answer`` reads: a fence of code around it; other minus signs (U+2212, dashes), plus
    signs and wide digits; settings with a decimal comma (``[-1,5; 2,0]``), whole numbers, two decimals, and
    other blanks; and JSON: ``{"x": -1.5, "y": 2}`` with its keys in any order, a list of these or of pairs,
    alone or as ``{"settings": [...]}``.
    """
    if (points := parse_answer(text, form)) is not None:
        return points
    plain = _plain(text)
    if plain is None:
        return None
    if not isinstance(form, AnswerFormat) or form.gains:
        answer = answer_of_json(plain, form) or plain
        return parse_answer(answer, form)
    pairs = _of_json(plain)
    if pairs is None:
        pairs = _pairs(plain, form.pairs)
    return None if pairs is None else _checked(pairs, form)


def answer_of_json(text: str, form: Bound) -> str | None:
    """The answer in a text of that schema, or None if it is anything else."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return None
    settings = held.get("settings") if isinstance(held, dict) and len(held) == 1 else None
    if not isinstance(settings, list) or not all(isinstance(s, str) for s in settings):
        return None
    answer = settings[0] if form.pairs == 1 and len(settings) == 1 else f"[{', '.join(settings)}]"
    return None if parse_answer(answer, form) is None else answer


def _checked(pairs: Sequence[tuple[float, float]], form: AnswerFormat) -> Floats | None:
    """The settings, if the form has them: as many as it asks for, in its range and as fine as its steps."""
    if len(pairs) != form.pairs:
        return None
    points = parse_answer(answer_text(pairs, form), form)
    return None if points is None or points.tolist() != [[x + 0.0, y + 0.0] for x, y in pairs] else points


def _plain(text: str) -> str | None:
    """The text without a fence, its digits and signs in ASCII; None if what is seen may not be what it says.

    Digits that Unicode has for another look of 0 to 9 are read; those of other scripts are not: some look
    like other digits. Invisible characters, which may turn the order of what is seen, are not read at all.
    """
    if any(unicodedata.category(c) in ("Cf", "Cc", "Co", "Cn") and c not in "\n\t\r" for c in text):
        return None
    text = text.strip()
    if fenced := _FENCE.fullmatch(text):
        text = fenced[1].strip()
    return "".join(map(_plain_character, text))


def _plain_character(character: str) -> str:
    if character.isascii():
        return character
    if unicodedata.category(character) == "Nd":
        digit = unicodedata.normalize("NFKC", character)
        return digit if digit.isascii() else character
    return character.translate(_PLAIN)


def _pairs(text: str, count: int) -> list[tuple[float, float]] | None:
    """The settings of ``[x, y]`` or, where several are asked for, ``[[x, y], ...]``."""
    if count > 1:
        if not re.fullmatch(r"\[ *\[.*\] *\]", text):
            return None
        parts = re.split(r"(?<=\]) *, *(?=\[)", text[1:-1].strip())
    else:
        parts = [text]
    found = [_BY_POINT.fullmatch(part) or _BY_COMMA.fullmatch(part) for part in parts]
    if not all(found) or len({match.re for match in found if match}) > 1:
        return None
    return [(_number(match[1]), _number(match[2])) for match in found if match]


def _number(text: str) -> float:
    return float(text.replace(",", "."))


def _of_json(text: str) -> list[tuple[float, float]] | None:
    """The settings in a JSON value; None if it is no JSON, or anything else."""
    try:
        # Numbers as they are written, so that 1e1 and 1.500 are refused as anywhere else.
        held = json.loads(text, parse_float=_Written, parse_int=_Written, object_pairs_hook=_object)
        if isinstance(held, dict) and len(held) == 1:
            (name, held), *_ = held.items()
            if name.lower() not in ("settings", "setting"):
                return None
            if isinstance(held, list) and len(held) == 2 and all(isinstance(v, _Written) for v in held):
                held = [held]
        elif isinstance(held, list) and not all(isinstance(each, dict) for each in held):
            return None  # as it is, a list is for the strict reading
        return [_json_pair(each) for each in (held if isinstance(held, list) else [held])]
    except (ValueError, TypeError, RecursionError):
        return None


class _Written(str):
    """A number as JSON has it."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; ValueError if a key is there twice."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice")
    return made


def _json_pair(held: Any) -> tuple[float, float]:
    """A setting from an object with x and y, a list of two numbers, or the text of a setting."""
    if isinstance(held, str) and not isinstance(held, _Written):
        pairs = _pairs(held.strip(), 1)
        if pairs is None:
            raise ValueError("no setting")
        return pairs[0]
    if isinstance(held, dict):
        by_name = {name.lower(): value for name, value in held.items()}
        if by_name.keys() != {"x", "y"} or len(held) != 2:
            raise ValueError("other keys")
        held = [by_name["x"], by_name["y"]]
    x, y = held
    return _json_number(x), _json_number(y)


def _json_number(held: Any) -> float:
    pattern = _POINT if isinstance(held, _Written) else f"{_POINT}|{_COMMA}"
    if not isinstance(held, str) or not re.fullmatch(pattern, held):
        raise ValueError("no number")
    return _number(held)
