"""What a server can do, found out by asking it: several choices at once, JSON schemas, real sampling."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from popeq_llm.answers import AnswerFormat
from popeq_llm.models import Chat, Message
from popeq_llm.served_client import Choice, MiscountedError, RefusedError, ServerError
from popeq_llm.served_questions import answer_of_json

#: A question with so many right answers that two equal ones mean that the server does not sample.
PROBE: Chat = (
    Message(
        "system",
        "You set a two-band tone control. Answer with a list of 5 settings [[x, y], ...] in dB, as 5 "
        "different listeners would choose, and nothing else. Both are between -6.0 and 6.0 with one decimal.",
    ),
    Message("user", "Sentence: anything at all, chosen at random"),
)
PROBE_TOKENS = 100
PROBE_SEED = 20260
PROBE_DRAWS = 8


@dataclass(frozen=True)
class Abilities:
    """``choices`` a request, answers bound to a JSON schema or not, names of the request's fields."""

    choices: int = Field(ge=1)
    structured: bool = False
    limit: str = "max_tokens"
    left_out: tuple[str, ...] = ()


def kept_abilities(held: object) -> Abilities | None:
    """Abilities from the cache, or None if it has anything else."""
    try:
        return TypeAdapter(Abilities).validate_python(held)
    except ValidationError:
        return None


#: Asks the probe question once, in the way of these abilities, with this seed.
Ask = Callable[[Abilities, int], list[Choice]]


def find_out(ask: Ask, form: AnswerFormat, per_request: int) -> Abilities:
    """The abilities of a server.

    Raises ServerError if it cannot be used, in particular if it does not sample: then all of up to
    ``PROBE_DRAWS`` answers with different seeds are the same.
    """
    abilities, texts = _choices_at_once(ask, Abilities(per_request))
    if len(set(texts)) < 2:
        abilities = replace(abilities, choices=1)
        _must_sample(ask, abilities)
    try:
        (bound,) = ask(replace(abilities, structured=True, choices=1), PROBE_SEED)
    except RefusedError:
        return abilities
    return replace(abilities, structured=answer_of_json(bound.text, form) is not None)


def _choices_at_once(ask: Ask, abilities: Abilities) -> tuple[Abilities, list[str]]:
    """How many choices a request gives, and the names its fields must have; the probe's texts."""
    while True:
        try:
            return abilities, [choice.text for choice in ask(abilities, PROBE_SEED)]
        except MiscountedError:
            return replace(abilities, choices=1), []
        except RefusedError as refusal:
            reason = str(refusal)
            named = [f for f in ("seed", "top_p") if re.search(rf"\b{f}\b", reason)]
            new = [f for f in named if f not in abilities.left_out]
            if abilities.limit == "max_tokens" and "max_completion_tokens" in reason:
                abilities = replace(abilities, limit="max_completion_tokens")
            elif new:
                abilities = replace(abilities, left_out=(*abilities.left_out, *new))
            elif abilities.choices > 1:
                abilities = replace(abilities, choices=1)
            else:
                raise


def _must_sample(ask: Ask, abilities: Abilities) -> None:
    seen: list[Choice] = []
    for draw in range(PROBE_DRAWS):
        seen += ask(abilities, PROBE_SEED + draw)
        if len({choice.text for choice in seen}) > 1:
            return
    if not seen[0].text:
        raise ServerError(
            f"its answers are empty (finish reason {seen[0].finish!r}); if the model thinks before it "
            "answers, let the server turn that off"
        )
    raise ServerError(
        f"it does not sample: {PROBE_DRAWS} answers with different seeds are the same; let the server draw "
        "at temperature > 0 (transformers serve: do_sample in the model's generation_config.json)"
    )
