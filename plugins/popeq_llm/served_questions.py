"""Prompts on their way to a server: the questions asked for them and the answers they have."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from popeq_llm.models import Chat

FIRST_DRAWS = 16  # if none of so many answers is right, a prompt is given up
_DRAWS_PER_SAMPLE = 4  # a prompt may cost so many draws for each sample (and 16 more)


@dataclass(frozen=True)
class Question:
    """One request for ``count`` answers; ``start`` is the place of the first among its chat's draws."""

    body: dict[str, Any]
    base_url: str
    seed: int
    start: int
    pairs: int
    count: int

    @property
    def key(self) -> dict[str, Any]:
        """What the cache knows it by; the seed counts even where the server takes none."""
        held = {"body": self.body, "seed": self.seed, "sample": self.start, "pairs": self.pairs}
        return {"kind": "answers", "base_url": self.base_url, **held}

    def singles(self) -> list[Question]:
        """The same draws asked one by one."""
        one = {key: value for key, value in self.body.items() if key != "n"}
        return [
            replace(
                self,
                body={**one, "seed": (self.seed + j) % 2**31} if "seed" in one else one,
                seed=(self.seed + j) % 2**31,
                start=self.start + j,
                count=1,
            )
            for j in range(self.count)
        ]


@dataclass
class Drawn:
    """Answers to a question (None: wrong), and what the last wrong one looked like."""

    answers: list[str | None]
    wrong: str = ""


@dataclass
class Prompt:
    """A chat with the samples that it has so far."""

    place: int
    chat: Chat
    n: int
    rng: np.random.Generator
    drawn: int = 0
    accepted: list[str] = field(default_factory=list)
    half_right: list[Question] = field(default_factory=list)
    wrong: str = ""
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

    def take(self, question: Question, drawn: Drawn) -> None:
        """Count in the answers to a question."""
        right = [answer for answer in drawn.answers if answer is not None]
        self.accepted += right
        self.wrong = drawn.wrong or self.wrong
        if len(right) < len(drawn.answers):
            self.half_right += [question]

    def is_unanswerable(self) -> bool:
        """Whether samples are lacking and there is no use in asking for them."""
        right = len(self.accepted)
        spent = self.drawn >= _DRAWS_PER_SAMPLE * self.n + FIRST_DRAWS
        return right < self.n and (spent or (right == 0 and self.drawn >= FIRST_DRAWS))
