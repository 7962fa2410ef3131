"""The text of an answer: a setting as ``[x, y]`` in dB with one decimal, a list of several, or free text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from popeq.typing import Floats

#: Settings are whole tenths of a dB in [-6, 6] on either axis: 121 x 121 answers.
TENTHS = range(-60, 61)
#: A number of a setting, of the plane or as gains.
_NUMBERS = {False: r"-?[0-6]\.[0-9]", True: r"-?(?:1[0-2]|[0-9])\.[0-9]"}


@dataclass(frozen=True)
class AnswerFormat:
    """What a model is to answer: one setting (``pairs`` = 1), or a list of ``pairs`` settings.

    A setting is written as x and y or, with ``gains``, as the gains that it has at the lowest and the highest
    frequency: bass x - y and treble x + y.
    """

    pairs: int = 1
    gains: bool = False

    @property
    def tokens(self) -> int:
        """Tokens that are enough for it, whatever the tokenizer."""
        return 64 + 32 * self.pairs


@dataclass(frozen=True)
class FreeText:
    """What a model is to answer: anything, of at most ``tokens`` tokens (``whole_lines``)."""

    tokens: int = 512
    pairs: ClassVar[int] = 0


Form: TypeAlias = AnswerFormat | FreeText


def whole_lines(text: str, *, ended: bool) -> str:
    """A free text without white space around it and, if it did not come to its end, without its last line."""
    return (text if ended else text.rpartition("\n")[0]).strip()


def number_text(tenths: int) -> str:
    """A coordinate as it is written in an answer: ``number_text(-15)`` is ``-1.5``; zero has no sign."""
    return f"{'-' if tenths < 0 else ''}{abs(tenths) // 10}.{abs(tenths) % 10}"


def pair_text(x: int, y: int, gains: bool) -> str:
    """A setting in tenths of a dB as its two numbers in an answer."""
    first, second = (x - y, x + y) if gains else (x, y)
    return f"{number_text(first)}, {number_text(second)}"


def answer_text(points: Sequence[Sequence[float]] | Floats, form: AnswerFormat) -> str:
    """Settings (pairs, 2) in dB, rounded to tenths, as an answer of that format."""
    tenths = np.rint(np.asarray(points, dtype=np.float64).reshape(-1, 2) * 10).astype(int)
    pairs = [f"[{pair_text(int(x), int(y), form.gains)}]" for x, y in tenths]
    if len(pairs) != form.pairs:
        raise ValueError(f"needs {form.pairs} settings, not {len(pairs)}")
    return pairs[0] if form.pairs == 1 else f"[{', '.join(pairs)}]"


def parse_answer(text: str, form: AnswerFormat) -> Floats | None:
    """The settings (pairs, 2) in dB of an answer, or None if it is anything but one.

    Strict: only white space around it is allowed; a setting outside of [-6, 6] on either axis or between
    tenths, another count or another form gives None.
    """
    text, number = text.strip(), _NUMBERS[form.gains]
    pair = rf"\[{number}, {number}\]"
    pattern = pair if form.pairs == 1 else rf"\[{pair}(?:, {pair}){{{form.pairs - 1}}}\]"
    if not re.fullmatch(pattern, text):
        return None
    numbers = np.array(re.findall(number, text), dtype=np.float64).reshape(-1, 2)
    if not form.gains:
        return numbers + 0.0 if (np.abs(numbers) <= 6.0).all() else None
    bass, treble = np.rint(numbers.T * 10).astype(int)
    tenths = np.stack([bass + treble, treble - bass], axis=1)
    if (tenths % 2).any() or (np.abs(tenths) > 120).any():
        return None
    return tenths / 20 + 0.0
