"""Ways to say what a setting of a space is, from templates/wordings.toml and the words of its curves."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from typing import Any, NamedTuple

import jinja2

from popeq.eq import Axis, CurvePair, curves
from popeq.errors import UsageError
from popeq.space import PLANE, Space
from popeq_llm.answers import AnswerFormat, answer_text

_COUNTS = ("no", "one", "two", "three", "four", "five", "six")
_ENVIRONMENT = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)


@dataclass(frozen=True)
class Wording:
    """A way to say what a setting is: who is asked, how a setting is written, what its numbers mean."""

    name: str
    role: str
    setting: str
    meaning: str

    @property
    def gains(self) -> bool:
        """Whether settings are written as bass and treble gains (``AnswerFormat.gains``)."""
        return self.setting == "[bass, treble]"


@cache
def _file() -> Mapping[str, Any]:
    text = importlib.resources.files("popeq_llm").joinpath("templates", "wordings.toml").read_text("utf-8")
    return tomllib.loads(text)


def wording_names() -> tuple[str, ...]:
    """The names of the bundled wordings."""
    return tuple(_file())


@cache
def wording_of(name: str, space: Space = PLANE) -> Wording:
    """The bundled wording of that name, about the settings of a space.

    Raises UsageError if it is about another pair of curves than the space has.
    """
    parts, pair = _file()[name], curves(space)
    if parts.get("only", pair.name) != pair.name:
        raise UsageError(
            f"-o wording={name}: describes the curves {parts['only']!r}, and this data set has "
            f"{pair.name!r}; use another wording"
        )
    base = _file()[parts["like"]] if "like" in parts else parts
    plane = _Plane(space, pair)
    meaning = plane.meaning(base)
    if "example" in parts:
        meaning += f" For example, {plane.example(parts)}."
    return Wording(name, base["role"], base["setting"], meaning)


class _Described(NamedTuple):
    """The words for an axis: its name, and what it does on the sides of 0 dB that the box has."""

    name: str
    sides: tuple[str, ...]


class _Plane:
    """A space and its pair of curves, in words. Ends and corners are named where the box has them: an end of
    an axis is the farthest setting on it, a corner the farthest one at which x and y are equally far from 0.
    """

    def __init__(self, space: Space, pair: CurvePair) -> None:
        self.space, self.pair = space, pair
        self.form = AnswerFormat(space=space)
        self.numbers = self.form.numbers
        self.x, self.y = self.numbers.x, self.numbers.y

    def meaning(self, parts: Mapping[str, Any]) -> str:
        """The meaning that a wording's template gives."""
        template = _ENVIRONMENT.from_string(parts["meaning"])
        ranges = (self.x, self.y)
        if parts["setting"] == "[bass, treble]":
            x, y = self.x, self.y
            ranges = (range(x[0] - y[-1], x[-1] - y[0] + 1), range(x[0] + y[0], x[-1] + y[-1] + 1))

        def limits(both: str, one: str = "x is", other: str = "y") -> str:
            return self._limits(ranges, both, one, other)

        own = parts.get("pairs", {}).get(self.pair.name, {})
        variables: dict[str, Any] = {"limits": limits, "ends": self._ends(), "corners": self._corners()}
        if "above" in parts:
            for letter, axis, steps in (("x", self.pair.x, self.x), ("y", self.pair.y, self.y)):
                variables[letter] = _described(axis, steps, {**parts, **own.get(letter, {})})
        origin = 0 in self.x and 0 in self.y
        variables |= {"zero": self.numbers.text(0), "origin": self._setting(0, 0) if origin else ""}
        return template.render(variables)

    def example(self, parts: Mapping[str, Any]) -> str:
        """The example of a wording: the pair's own where the box has its setting, else the highest y."""
        own = parts.get("pairs", {}).get(self.pair.name, {}).get("example")
        if own and self.space.contains(own["at"]):
            return str(own["text"].format(setting=answer_text([own["at"]], self.form)))
        highest = self._setting(min(self.x, key=abs), self.y[-1])
        return str(parts["example"].format(high_sound=self.pair.y.high_sound, setting=highest))

    def _setting(self, x: int, y: int) -> str:
        return f"[{self.numbers.text(x)}, {self.numbers.text(y)}]"

    def _limits(self, ranges: tuple[range, range], both: str, one: str, other: str) -> str:
        """The lowest and the highest value of both numbers, and which ones there are between."""
        decimals, text = self.numbers.decimals, self.numbers.text
        first, second = (f"between {text(steps[0])} and {text(steps[-1])}" for steps in ranges)
        between = f"in steps of {text(1)}"
        if text(1) == f"{10.0**-decimals:.{decimals}f}":
            plural = "s" if decimals > 1 else ""
            between = f"with {_COUNTS[decimals]} decimal{plural}" if decimals else "without decimals"
        if first == second:
            return f"{both} {first} {between}"
        return f"{one} {first}, {other} {second}, both {between}"

    def _ends(self) -> list[str]:
        """What the settings at the ends of the axes do; where neither end of one is there, its direction."""
        y = [self._setting(0, end) for end in (self.y[-1], self.y[0])] if 0 in self.x else []
        x = [self._setting(end, 0) for end in (self.x[-1], self.x[0])] if 0 in self.y else []
        return [*_ends_of("y", self.pair.y, self.y, y), *_ends_of("x", self.pair.x, self.x, x)]

    def _corners(self) -> list[str]:
        """What the settings on the diagonals do that are farthest from the middle."""
        found = []
        for right, top in ((1, 1), (1, 0), (0, 1), (0, 0)):
            far = min(self.x[-1] if right else -self.x[0], self.y[-1] if top else -self.y[0])
            x, y = (far if right else -far), (far if top else -far)
            if far > 0 and x in self.x and y in self.y:
                found.append(f"{self._setting(x, y)} is {self.pair.corners[right, top]}")
        return found


def _described(axis: Axis, steps: range, words: Mapping[str, Any]) -> _Described:
    """An axis in the words of a wording."""
    above, below = (str(words[side]).format_map(asdict(axis)) for side in ("above", "below"))
    sides = [above] * (steps[-1] > 0) + [below] * (steps[0] < 0)
    return _Described(str(words.get("name", axis.name)), tuple(sides or (above, below)))


def _ends_of(letter: str, axis: Axis, steps: range, settings: Sequence[str]) -> list[str]:
    """What the settings at the high and the low end of an axis do, if the box has any settings on it."""
    found = []
    if settings and steps[-1] > 0:
        found.append(f"{settings[0]} is {axis.high_sound}: {axis.high}")
    if settings and steps[0] < 0:
        found.append(f"{settings[1]} is {axis.low_sound}: {axis.low}")
    return found or [f"A higher {letter} is more {axis.high_sound}: {axis.high}"]
