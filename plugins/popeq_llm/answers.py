"""The text of an answer: a setting as ``[x, y]`` in dB with one decimal, a list of several, a mixture, or
free text."""

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
#: Weights (per cent) and spreads (tenths of a dB) of a mixture's components.
WEIGHTS, SPREADS = range(5, 101, 5), range(1, 61)
_COMPONENT = rf"(5|[1-9][05]|100)% at \[({_NUMBERS[False]}), ({_NUMBERS[False]})\] spread ([0-6]\.[0-9])"


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
class MixtureForm:
    """What a model is to answer: a mixture of up to ``components`` Gaussians, in words (``mixture_text``)."""

    components: int = 4
    pairs: ClassVar[int] = 1

    @property
    def tokens(self) -> int:
        """Tokens that are enough for it, whatever the tokenizer."""
        return 64 + 64 * self.components


@dataclass(frozen=True)
class FreeText:
    """What a model is to answer: anything, of at most ``tokens`` tokens (``whole_lines``)."""

    tokens: int = 512
    pairs: ClassVar[int] = 0


#: Forms that a grammar describes.
Bound: TypeAlias = AnswerFormat | MixtureForm
Form: TypeAlias = Bound | FreeText


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


def answer_text(points: Sequence[Sequence[float]] | Floats, form: Bound) -> str:
    """Settings (pairs, 2) in dB, rounded to tenths, or a mixture (K, 4), as an answer of that format."""
    if isinstance(form, MixtureForm):
        return mixture_text(points)
    tenths = np.rint(np.asarray(points, dtype=np.float64).reshape(-1, 2) * 10).astype(int)
    pairs = [f"[{pair_text(int(x), int(y), form.gains)}]" for x, y in tenths]
    if len(pairs) != form.pairs:
        raise ValueError(f"needs {form.pairs} settings, not {len(pairs)}")
    return pairs[0] if form.pairs == 1 else f"[{', '.join(pairs)}]"


def parse_answer(text: str, form: Bound) -> Floats | None:
    """The settings (pairs, 2) in dB of an answer, or its mixture (K, 4), or None if it is anything but one.

    Strict: only white space around it is allowed; a setting outside of [-6, 6] on either axis or between
    tenths, another count or another form gives None.
    """
    text = text.strip()
    if isinstance(form, MixtureForm):
        return parse_mixture(text, form)
    number = _NUMBERS[form.gains]
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


def mixture_text(components: Sequence[Sequence[float]] | Floats) -> str:
    """A mixture as it is written: ``60% at [1.5, -2.0] spread 1.2; 40% at [-3.0, 0.5] spread 0.8.``

    ``components`` (K, 4) are weight in per cent, x, y and spread in dB. Weights are rounded to 5 %, all else
    to tenths of a dB.
    """
    texts = []
    for weight, x, y, spread in np.asarray(components, dtype=np.float64):
        percent = int(np.clip(5 * np.rint(weight / 5), WEIGHTS[0], WEIGHTS[-1]))
        tenths = int(np.clip(np.rint(10 * spread), SPREADS[0], SPREADS[-1]))
        texts.append(f"{percent}% at {answer_text([[x, y]], AnswerFormat())} spread {number_text(tenths)}")
    return f"{'; '.join(texts)}."


def parse_mixture(text: str, form: MixtureForm) -> Floats | None:
    """The components (K, 4) of a mixture, as ``mixture_text`` takes them, or None if it is anything else.

    Weights are relative: they need not sum to 100.
    """
    if not re.fullmatch(rf"{_COMPONENT}(?:; {_COMPONENT}){{0,{form.components - 1}}}\.", text):
        return None
    found = np.array(re.findall(_COMPONENT, text), dtype=np.float64) + 0.0
    inside = (np.abs(found[:, 1:3]) <= 6.0).all() and np.isin(np.rint(10 * found[:, 3]), SPREADS).all()
    return found if inside else None
