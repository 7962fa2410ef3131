"""The text of an answer: a setting as ``[x, y]`` in dB, a list of several, a mixture, or free text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, TypeAlias

import numpy as np

from popeq.errors import UsageError
from popeq.space import PLANE, Space
from popeq.typing import Floats
from popeq_llm.numbers import Numbers, numbers_of

#: Weights of a mixture's components, per cent.
WEIGHTS = range(5, 101, 5)
_WEIGHT = "5|[1-9][05]|100"
#: Of a plane with more settings than this, local models choose x and y one after the other.
MOST_AT_ONCE = 20_000
#: Most texts that a model chooses between at once; the tries of so many are built in some seconds.
MOST_TEXTS = 60_000


@dataclass(frozen=True)
class AnswerFormat:
    """What a model is to answer: one setting (``pairs`` = 1), or a list of ``pairs`` settings.

    Settings are those that the control of ``space`` offers, written with the decimals of its step. A setting
    is written as x and y or, with ``gains``, as the gains that it has at the lowest and the highest
    frequency: bass x - y and treble x + y.
    """

    pairs: int = 1
    gains: bool = False
    space: Space = PLANE

    @property
    def tokens(self) -> int:
        """Tokens that are enough for it, whatever the tokenizer."""
        return 64 + 32 * self.pairs

    @property
    def numbers(self) -> Numbers:
        """How its settings are written."""
        return numbers_of(self.space)


@dataclass(frozen=True)
class MixtureForm:
    """What a model is to answer: a mixture of up to ``components`` Gaussians, in words (``mixture_text``),
    whose centres are settings that the control of ``space`` offers."""

    components: int = 4
    space: Space = PLANE
    pairs: ClassVar[int] = 1
    gains: ClassVar[bool] = False

    @property
    def tokens(self) -> int:
        """Tokens that are enough for it, whatever the tokenizer."""
        return 64 + 64 * self.components

    @property
    def numbers(self) -> Numbers:
        """How its numbers are written."""
        return numbers_of(self.space)


@dataclass(frozen=True)
class FreeText:
    """What a model is to answer: anything, of at most ``tokens`` tokens (``whole_lines``)."""

    tokens: int = 512
    pairs: ClassVar[int] = 0


#: Forms that a grammar describes.
Bound: TypeAlias = AnswerFormat | MixtureForm
Form: TypeAlias = Bound | FreeText


def check_settings(form: Bound) -> None:
    """Raise UsageError if there are too many settings to bind answers to."""
    numbers = form.numbers
    most = numbers.count if form.gains else max(len(numbers.x), len(numbers.y))
    if most > MOST_TEXTS:
        what = "bass and treble are chosen together" if form.gains else "x and y are chosen one by one"
        raise UsageError(
            f"step_db {form.space.step_db:g} of [space] in dataset.toml is too fine for language models: it "
            f"offers {numbers.count:,} settings, and where {what} a model is bound to {MOST_TEXTS:,} "
            "answers at most; use a coarser step_db" + (", or another wording" if form.gains else "")
        )


def whole_lines(text: str, *, ended: bool) -> str:
    """A free text without white space around it and, if it did not come to its end, without its last line."""
    return (text if ended else text.rpartition("\n")[0]).strip()


def pair_text(x: int, y: int, form: Bound) -> str:
    """A setting in steps as its two numbers in an answer."""
    first, second = (x - y, x + y) if form.gains else (x, y)
    return f"{form.numbers.text(first)}, {form.numbers.text(second)}"


def answer_text(points: Sequence[Sequence[float]] | Floats, form: Bound) -> str:
    """Settings (pairs, 2) in dB, or a mixture (K, 4), as an answer of that format.

    Settings are moved to the nearest that the control offers.
    """
    if isinstance(form, MixtureForm):
        return mixture_text(points, form)
    steps = form.numbers.nearest(np.asarray(points, dtype=np.float64).reshape(-1, 2))
    pairs = [f"[{pair_text(x, y, form)}]" for x, y in steps.tolist()]
    if len(pairs) != form.pairs:
        raise ValueError(f"needs {form.pairs} settings, not {len(pairs)}")
    return pairs[0] if form.pairs == 1 else f"[{', '.join(pairs)}]"


def parse_answer(text: str, form: Bound) -> Floats | None:
    """The settings (pairs, 2) in dB of an answer, or its mixture (K, 4), or None if it is anything but one.

    Strict: only white space around it is allowed; a setting that the control does not offer, another count or
    another form gives None.
    """
    text = text.strip()
    if isinstance(form, MixtureForm):
        return parse_mixture(text, form)
    number = form.numbers.pattern
    pair = rf"\[{number}, {number}\]"
    pattern = pair if form.pairs == 1 else rf"\[{pair}(?:, {pair}){{{form.pairs - 1}}}\]"
    if not re.fullmatch(pattern, text):
        return None
    steps = _steps(re.findall(number, text), form)
    return None if steps is None else form.numbers.db(steps)


def _steps(texts: Sequence[str], form: Bound) -> np.ndarray[tuple[int, int], np.dtype[np.int64]] | None:
    """The settings, as numbers of steps (n, 2), of 2 n numbers; None if one is not offered."""
    read = [form.numbers.read(text) for text in texts]
    if None in read:
        return None
    steps = np.array(read, dtype=np.int64).reshape(-1, 2)
    if form.gains:
        bass, treble = steps.T
        doubled = np.stack([bass + treble, treble - bass], axis=1)
        if (doubled % 2).any():
            return None
        steps = doubled // 2
    return steps if form.numbers.offers(steps) else None


def mixture_text(components: Sequence[Sequence[float]] | Floats, form: MixtureForm = MixtureForm()) -> str:
    """A mixture as it is written: ``60% at [1.5, -2.0] spread 1.2; 40% at [-3.0, 0.5] spread 0.8.``

    ``components`` (K, 4) are weight in per cent, x, y and spread in dB. Weights are rounded to 5 %, all else
    to steps of the control.
    """
    texts, one = [], AnswerFormat(space=form.space)
    for weight, x, y, spread in np.asarray(components, dtype=np.float64):
        percent = int(np.clip(5 * np.rint(weight / 5), WEIGHTS[0], WEIGHTS[-1]))
        spread_text = form.numbers.text(form.numbers.nearest_spread(spread))
        texts.append(f"{percent}% at {answer_text([[x, y]], one)} spread {spread_text}")
    return f"{'; '.join(texts)}."


def parse_mixture(text: str, form: MixtureForm) -> Floats | None:
    """The components (K, 4) of a mixture, as ``mixture_text`` takes them, or None if it is anything else.

    Weights are relative: they need not sum to 100.
    """
    numbers = form.numbers
    number = numbers.pattern
    component = rf"({_WEIGHT})% at \[({number}), ({number})\] spread ({number})"
    if not re.fullmatch(rf"{component}(?:; {component}){{0,{form.components - 1}}}\.", text):
        return None
    parts = re.findall(component, text)
    centres = _steps([text for _, *pair, _ in parts for text in pair], form)
    spreads = [numbers.read(spread) for *_, spread in parts]
    if centres is None or any(steps not in numbers.spreads for steps in spreads):
        return None
    weights = [[float(weight)] for weight, *_ in parts]
    return np.hstack([weights, numbers.db(centres), [[float(spread)] for *_, spread in parts]])
