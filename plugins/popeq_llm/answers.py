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
_NUMBER = r"-?[0-6]\.[0-9]"
_PAIR = rf"\[({_NUMBER}), ({_NUMBER})\]"


@dataclass(frozen=True)
class AnswerFormat:
    """What a model is to answer: one setting (``pairs`` = 1), or a list of ``pairs`` settings."""

    pairs: int = 1

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


def answer_text(points: Sequence[Sequence[float]] | Floats, form: AnswerFormat) -> str:
    """Settings (pairs, 2) in dB, rounded to tenths, as an answer of that format."""
    tenths = np.rint(np.asarray(points, dtype=np.float64).reshape(-1, 2) * 10).astype(int)
    pairs = [f"[{number_text(int(x))}, {number_text(int(y))}]" for x, y in tenths]
    if len(pairs) != form.pairs:
        raise ValueError(f"needs {form.pairs} settings, not {len(pairs)}")
    return pairs[0] if form.pairs == 1 else f"[{', '.join(pairs)}]"


def parse_answer(text: str, form: AnswerFormat) -> Floats | None:
    """The settings (pairs, 2) in dB of an answer, or None if it is anything but one.

    Strict: only white space around it is allowed; a number outside [-6, 6], another count or another form
    gives None.
    """
    text = text.strip()
    pattern = _PAIR if form.pairs == 1 else rf"\[{_PAIR}(?:, {_PAIR}){{{form.pairs - 1}}}\]"
    if not re.fullmatch(pattern, text):
        return None
    numbers = np.array(re.findall(_NUMBER, text), dtype=np.float64).reshape(-1, 2)
    return numbers + 0.0 if (np.abs(numbers) <= 6.0).all() else None
