"""The body of a request to a server: everything that its answer depends on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from popeq_llm.answers import Form, FreeText
from popeq_llm.models import Chat, Message
from popeq_llm.served_abilities import SAMPLING, Abilities
from popeq_llm.served_questions import binding_fields


@dataclass(frozen=True)
class Sampling:
    """How a served model is asked: its name, the temperature, how many tokens an answer may have (None: what
    its form needs), and fields that are added to each request as they are."""

    name: str
    temperature: float = 1.0
    max_tokens: int | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def body(
        self, chat: Chat, abilities: Abilities, form: Form, seed: int, count: int, tokens: int | None = None
    ) -> dict[str, Any]:
        """A request for ``count`` answers, of ``tokens`` at most if nothing else is set."""
        body: dict[str, Any] = {
            "model": self.name,
            "messages": [asdict(m) for m in (chat if abilities.system else without_system(chat))],
            "temperature": self.temperature,
            **SAMPLING,
            "top_k": abilities.top_k,
            "seed": seed,
            abilities.limit: self.max_tokens or tokens or form.tokens,
        }
        if count > 1:
            body["n"] = count
        if not isinstance(form, FreeText):
            body |= binding_fields(abilities.binding, form)
        return {k: v for k, v in body.items() if k not in abilities.left_out} | dict(self.extra_body)


def without_system(chat: Chat) -> Chat:
    """The chat for a template that has no system role: what the system says is put before the user's turn."""
    if len(chat) < 2 or chat[0].role != "system":
        return chat
    return Message("user", f"{chat[0].content}\n\n{chat[1].content}"), *chat[2:]
