"""What a server can do, found out by asking it: several choices at once, bound answers, real sampling."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import get_args

from pydantic import Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from popeq_llm.answer_numbers import answer_of_json
from popeq_llm.answers import AnswerFormat, parse_answer
from popeq_llm.models import Chat, Message
from popeq_llm.served_errors import MiscountedError, RefusedError, ServerError
from popeq_llm.served_questions import Binding
from popeq_llm.served_reply import Choice, Source

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

#: Fields that turn off what narrows or bends a server's distribution by its own defaults: in llama.cpp top_k
#: 40, top_p 0.95 and min_p 0.05, in vLLM what the model's generation_config.json says (a repetition_penalty).
SAMPLING = {
    "top_p": 1.0,
    "top_k": 0,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "repetition_penalty": 1.0,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
}
_NOT_IN_OPENAI = ("top_k", "min_p", "repeat_penalty", "repetition_penalty")
#: What servers say of a chat whose template has no system role.
_NO_SYSTEM = re.compile(r"\bsystem\b.{0,40}\b(role|messages?|prompts?)\b|\brole\b.{0,40}\bsystem\b", re.I)


@dataclass(frozen=True)
class Abilities:
    """``choices`` a request, how answers are bound, names of the request's fields, and whether it takes
    messages of the system; ``top_k`` is the value that turns that field off."""

    choices: int = Field(ge=1)
    binding: Binding = "no"
    limit: str = "max_tokens"
    left_out: tuple[str, ...] = ()
    system: bool = True
    top_k: int = 0


@dataclass(frozen=True)
class Known:
    """What is kept of a server: its abilities, and who answered when they were found out."""

    abilities: Abilities
    source: Source


def kept_abilities(held: object) -> Known | None:
    """What the cache has of a server, or None if it has anything else."""
    try:
        return TypeAdapter(Known).validate_python(held)
    except ValidationError:
        return None


#: Asks the probe question once, in the way of these abilities, with this seed.
Ask = Callable[[Abilities, int], list[Choice]]


def find_out(ask: Ask, form: AnswerFormat, per_request: int, temperature: float = 1.0) -> Abilities:
    """The abilities of a server.

    Raises ServerError if it cannot be used, in particular if it does not sample: then all of up to
    ``PROBE_DRAWS`` answers with different seeds are the same.
    """
    abilities, texts = _choices_at_once(ask, Abilities(per_request), temperature)
    if len(set(texts)) < 2:
        abilities = replace(abilities, choices=1)
        _must_sample(ask, abilities)
    for binding in get_args(Binding):
        if binding == "no" or _binds(ask, replace(abilities, binding=binding, choices=1), form):
            break
    return replace(abilities, binding=binding)


def _binds(ask: Ask, abilities: Abilities, form: AnswerFormat) -> bool:
    """Whether the answer is of that form, which is another than the probe asks for.

    A server may refuse a way of binding with any status. If it answers the same question without, that was a
    refusal; if not, ServerError is raised.
    """
    try:
        (choice,) = ask(abilities, PROBE_SEED)
    except RefusedError:
        return False
    except ServerError:
        ask(replace(abilities, binding="no"), PROBE_SEED)
        return False
    if abilities.binding == "schema":
        return answer_of_json(choice.text, form) is not None
    return parse_answer(choice.text, form) is not None


def _choices_at_once(ask: Ask, abilities: Abilities, temperature: float) -> tuple[Abilities, list[str]]:
    """How many choices a request gives, and the names its fields must have; the probe's texts.

    A refusal that names no field is taken for one of the fields that OpenAI's interface does not have, then
    for one of ``n``, then of both.
    """
    many, left_out = abilities.choices, abilities.left_out
    ways = iter([(many, _NOT_IN_OPENAI), (1, ()), (1, _NOT_IN_OPENAI)])
    while True:
        try:
            return abilities, [choice.text for choice in ask(abilities, PROBE_SEED)]
        except MiscountedError:
            return replace(abilities, choices=1), []
        except ServerError as refusal:
            reason = str(refusal)
            if abilities.system and _NO_SYSTEM.search(reason):  # whatever the status
                abilities = replace(abilities, system=False)
                continue
            if not isinstance(refusal, RefusedError):
                raise
            new = _named(reason, abilities)
            if abilities.limit == "max_tokens" and "max_completion_tokens" in reason:
                abilities = replace(abilities, limit="max_completion_tokens")
            elif new == ("top_k",) and abilities.top_k == 0 and "-1" in reason:
                abilities = replace(abilities, top_k=-1)
            elif new == ("temperature",) and temperature != 1.0:
                raise ServerError(f"{reason}; leave -o temperature= out") from None
            elif new:
                left_out += new
                abilities = replace(abilities, left_out=(*abilities.left_out, *new))
            elif abilities.choices > 1 and re.search(r"\bn\b", reason):
                abilities = replace(abilities, choices=abilities.choices // 2)
            elif (way := next(ways, None)) is not None:
                choices, more = way
                more = tuple(f for f in more if f not in left_out)
                abilities = replace(abilities, choices=choices, left_out=(*left_out, *more))
            else:
                raise


def _named(reason: str, abilities: Abilities) -> tuple[str, ...]:
    """Fields that a refusal names and that can be left out; the temperature only if it names no other."""
    named = [f for f in ("seed", *SAMPLING, "temperature") if re.search(rf"\b{f}\b", reason)]
    new = [f for f in named if f not in abilities.left_out]
    return tuple(f for f in new if f != "temperature" or len(new) == 1)


def advice_for_empty(choice: Choice) -> str:
    """What to do about an answer without text."""
    if choice.shortened or "thoughts" in choice.why_empty:
        return (
            "if the model thinks before it answers, give it more tokens with -o max_tokens=2000, or turn "
            """that off (vLLM: -o 'extra_body={"chat_template_kwargs": {"enable_thinking": false}}')"""
        )
    return "ask another model, or in other words with --template"


def _must_sample(ask: Ask, abilities: Abilities) -> None:
    seen: list[Choice] = []
    for draw in range(PROBE_DRAWS):
        seen += ask(abilities, PROBE_SEED + draw)
        if len({choice.text for choice in seen}) > 1:
            return
    if not seen[0].text.strip():
        raise ServerError(f"its answers are empty: {seen[0].shown}; {advice_for_empty(seen[0])}")
    raise ServerError(
        f"it does not sample: {PROBE_DRAWS} answers with different seeds are the same; let the server draw "
        "at temperature > 0 (transformers serve: do_sample in the model's generation_config.json)"
    )
