"""Prompts on their way to a server: the questions asked for them, and how answers are bound and read.

Where a server binds answers to a JSON schema alone, they look like ``{"settings": ["[-1.5, 0.3]"]}``.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from typing import Any, Literal

import numpy as np
from pydantic import TypeAdapter, ValidationError

from popeq.space import PLANE, Space
from popeq_llm.answer_numbers import read_answer
from popeq_llm.answers import Bound, Form, FreeText, MixtureForm, answer_text, parse_answer, whole_lines
from popeq_llm.models import Chat
from popeq_llm.numbers import numbers_of
from popeq_llm.patterns import Pattern, number_pattern, pattern_of
from popeq_llm.served_reply import Choice, Reply, Source

#: How a server can be asked to bind an answer: ``no`` is not at all.
Binding = Literal["grammar", "regex", "schema", "no"]

FIRST_DRAWS = 16  # if none of so many answers is right, a prompt is given up
_DRAWS_PER_SAMPLE = 4  # a prompt may cost so many draws for each sample (and 16 more)


def binding_fields(binding: Binding, form: Bound) -> dict[str, Any]:
    """The fields of a request that bind the answer to right ones.

    ``grammar`` is llama.cpp's (GBNF) and ``regex`` vLLM's ``structured_outputs``: both bind the very text
    that local models are bound to. ``schema`` is OpenAI's ``response_format``, which most servers take.
    """
    if binding == "grammar":
        return {"grammar": _grammar(form)}
    if binding == "regex":
        return {"structured_outputs": {"regex": _regex(form)}}
    return {"response_format": _response_format(form)} if binding == "schema" else {}


@cache
def _axes(space: Space) -> tuple[Pattern, Pattern]:
    """The numbers of x and of y: the very texts that ``answers.answer_text`` writes."""
    numbers = numbers_of(space)
    x, y = (number_pattern(list(map(numbers.text, steps))) for steps in (numbers.x, numbers.y))
    return x, y


@cache
def _spreads(space: Space) -> Pattern:
    numbers = numbers_of(space)
    return pattern_of(list(map(numbers.text, numbers.spreads)))


def _pair(form: Bound) -> str:
    """A setting as regular expression."""
    x, y = _axes(form.space)
    return rf"\[({x.regex}), ({y.regex})\]"


def _regex(form: Bound) -> str:
    """The whole of an answer as regular expression."""
    pair = _pair(form)
    if isinstance(form, MixtureForm):
        component = rf"(5|[1-9][05]|100)% at {pair} spread ({_spreads(form.space).regex})"
        return rf"{component}(; {component}){{0,{form.components - 1}}}\."
    return pair if form.pairs == 1 else rf"\[{pair}(, {pair}){{{form.pairs - 1}}}\]"


def _grammar(form: Bound) -> str:
    x, y = _axes(form.space)
    if x == y:
        rules = ['pair ::= "[" number ", " number "]"', f"number ::= {x.grammar}"]
    else:
        rules = ['pair ::= "[" x ", " y "]"', f"x ::= {x.grammar}", f"y ::= {y.grammar}"]
    if isinstance(form, MixtureForm):
        optional = ""
        for _ in range(form.components - 1):
            optional = f' ("; " part{optional})?'
        rules += [
            'part ::= ("5" | [1-9] [05] | "100") "% at " pair " spread " spread',
            f"spread ::= {_spreads(form.space).grammar}",
        ]
        return "\n".join([f'root ::= part{optional} "."', *rules])
    more = '", " pair ' * (form.pairs - 1)
    return "\n".join(["root ::= pair" if form.pairs == 1 else f'root ::= "[" pair {more}"]"', *rules])


def _response_format(form: Bound) -> dict[str, Any]:
    """A strict schema that only right answers fulfil."""
    pattern = f"^{_regex(form) if isinstance(form, MixtureForm) else _pair(form)}$"
    settings = {
        "type": "array",
        "items": {"type": "string", "pattern": pattern},
        "minItems": form.pairs,
        "maxItems": form.pairs,
    }
    schema = {
        "type": "object",
        "properties": {"settings": settings},
        "required": ["settings"],
        "additionalProperties": False,
    }
    return {"type": "json_schema", "json_schema": {"name": "settings", "strict": True, "schema": schema}}


def right_answer(choice: Choice, form: Form) -> str | None:
    """The answer in its canonical text, or None if it is not one (a free text: if nothing of it is whole)."""
    if isinstance(form, FreeText):
        return whole_lines(choice.text, ended=not choice.shortened) or None
    points = read_answer(choice.text, form)
    return None if points is None else answer_text(points, form)


@dataclass(frozen=True)
class Answered:
    """What a question gave: its answers (None is a wrong one), which of them were cut off at the limit of
    tokens, and how many attempts failed before they came."""

    answers: tuple[str | None, ...]
    shortened: tuple[bool, ...]
    retried: int = 0

    @classmethod
    def of(cls, reply: Reply, form: Form) -> Answered:
        """The answers in a server's reply."""
        answers = tuple(right_answer(choice, form) for choice in reply.choices)
        return cls(answers, tuple(choice.shortened for choice in reply.choices), reply.retried)

    @classmethod
    def joined(cls, parts: Sequence[Answered], retried: int = 0) -> Answered:
        """The answers of several questions as those of one, before which ``retried`` more attempts failed."""
        answers = tuple(answer for part in parts for answer in part.answers)
        shortened = tuple(cut for part in parts for cut in part.shortened)
        return cls(answers, shortened, retried + sum(part.retried for part in parts))


def kept_answers(held: Any, count: int, form: Form) -> Answered | None:
    """The answers to a question from the cache, or None if it has anything else."""

    def is_right(answer: str | None) -> bool:
        if answer is None:
            return True
        return bool(answer) if isinstance(form, FreeText) else parse_answer(answer, form) is not None

    try:
        kept = TypeAdapter(Answered).validate_python(held)
    except ValidationError:
        return None
    whole = len(kept.answers) == len(kept.shortened) == count
    return kept if whole and all(map(is_right, kept.answers)) else None


def form_text(form: Form) -> str:
    """A form, as an error shows it."""
    if isinstance(form, FreeText):
        return "of a text"
    shown = [[100, 0, 0, 1]] if isinstance(form, MixtureForm) else np.zeros((form.pairs, 2))
    return answer_text(shown, form)


@dataclass(frozen=True)
class Question:
    """One request for ``count`` answers; ``start`` is the place of the first among its chat's draws."""

    body: dict[str, Any]
    base_url: str
    source: Source
    seed: int
    start: int
    form: Form
    count: int

    @property
    def key(self) -> dict[str, Any]:
        """What the cache knows it by; the seed counts even where the server takes none, and the space even
        where the text does not say it."""
        held = {"body": self.body, "seed": self.seed, "sample": self.start, "pairs": self.form.pairs}
        if not isinstance(self.form, FreeText) and self.form.space != PLANE:
            held["space"] = asdict(self.form.space)
        return {"kind": "answers", "base_url": self.base_url, "source": asdict(self.source), **held}

    def singles(self) -> list[Question]:
        """The same draws asked one by one."""
        return [self._single(j, (self.seed + j) % 2**31) for j in range(self.count)]

    def _single(self, j: int, seed: int) -> Question:
        body = {name: value for name, value in self.body.items() if name != "n"}
        if "seed" in body:
            body["seed"] = seed
        return replace(self, body=body, seed=seed, start=self.start + j, count=1)


@dataclass
class Prompt:
    """A chat with the samples that it has so far."""

    place: int
    chat: Chat
    n: int
    rng: np.random.Generator
    drawn: int = 0
    accepted: list[str] = field(default_factory=list)
    shortened: int = 0
    retried: int = 0
    half_right: list[Question] = field(default_factory=list)
    #: The last wrong answer as an error shows it, without the key; what to do about it, if it was empty.
    wrong: str = ""
    advice: str = ""
    #: Why it is given up, if it is; ``stop`` ends what is still asked for it.
    failure: str = ""
    stop: threading.Event = field(default_factory=threading.Event)

    @property
    def is_open(self) -> bool:
        """Whether it lacks samples and is not given up."""
        return not self.failure and len(self.accepted) < self.n

    def give_up(self, why: str) -> None:
        """Ask no more for it; the first reason is kept."""
        self.failure = self.failure or why
        self.stop.set()

    def take(self, question: Question, answered: Answered) -> None:
        """Count in the answers to a question."""
        right = [answer for answer in answered.answers if answer is not None]
        self.accepted += right
        self.shortened += sum(answered.shortened)
        self.retried += answered.retried
        if len(right) < len(answered.answers):
            self.half_right.append(question)

    def is_unanswerable(self) -> bool:
        """Whether samples are lacking and there is no use in asking for them."""
        right = len(self.accepted)
        spent = self.drawn >= _DRAWS_PER_SAMPLE * self.n + FIRST_DRAWS
        return right < self.n and (spent or (right == 0 and self.drawn >= FIRST_DRAWS))
