"""Language models behind one protocol: chats in, answers or log-probabilities out, many at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from popeq_llm.answers import Form


@dataclass(frozen=True)
class Message:
    """One turn of a chat."""

    role: Literal["system", "user", "assistant"]
    content: str


#: What a model is asked: the turns before its answer.
Chat = tuple[Message, ...]


@dataclass(frozen=True)
class ModelInfo:
    """What a run records of its model. ``quantisation``: how a GGUF file holds its weights (``Q4_1``);
    ``parameters``: how many it has; ``notes``: what the user should know, a line each; ``answered_by``: who a
    server said it is."""

    name: str
    revision: str = ""
    quantisation: str = ""
    parameters: int | None = None
    device: str = ""
    dtype: str = ""
    notes: tuple[str, ...] = ()
    answered_by: str = ""


@dataclass(frozen=True)
class Generated:
    """Answers (chats x n), all of the asked format, and what each chat cost: how many answers were thrown
    away for it (``rejected``), how many of all were cut off at the limit of tokens (``shortened``), and how
    many attempts to ask failed and were repeated (``retried``)."""

    answers: list[list[str]]
    rejected: tuple[int, ...]
    shortened: tuple[int, ...] = ()
    retried: tuple[int, ...] = ()

    def counts(self, chat: int) -> dict[str, float]:
        """The counts of one chat by name, with ``drawn``, all answers that there were for it, and the share
        of them that was rejected."""
        rejected = self.rejected[chat]
        drawn = rejected + len(self.answers[chat])
        return {
            "drawn": drawn,
            "rejected": rejected,
            "rejected_share": rejected / drawn,
            "shortened": self.shortened[chat] if self.shortened else 0,
            "retried": self.retried[chat] if self.retried else 0,
        }


class LanguageModel(Protocol):
    """What predictors need of a model, local or served."""

    @property
    def info(self) -> ModelInfo:
        """Name, revision and what it runs on."""

    def render(self, chat: Chat) -> str:
        """The exact text that the model continues (for a served model: its messages as JSON)."""

    def share(self, chats: Sequence[Chat]) -> None:
        """Make ready what these chats begin with, because all that will be asked begins with it, too."""

    def generate(
        self, chats: Sequence[Chat], n: int, form: Form, rngs: Sequence[np.random.Generator]
    ) -> Generated:
        """``n`` independent answers to each chat, settings or free text.

        Answers to ``chats[i]`` depend on ``chats[i]`` and ``rngs[i]`` alone, never on the other chats. Raises
        ``popeq.errors.PromptsError`` for chats that get none.
        """
