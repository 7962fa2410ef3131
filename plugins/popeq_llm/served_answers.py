"""Answers of servers: their JSON schema (``{"settings": ["[-1.5, 0.3]"]}``) and how they are read."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from popeq_llm.answers import AnswerFormat, Form, FreeText, answer_text, parse_answer, whole_lines
from popeq_llm.served_client import Choice

_NUMBER = r"(0\.0|-?(0\.[1-9]|[1-5]\.[0-9]|6\.0))"
#: A setting as regular expression: the very texts that ``answers.answer_text`` writes.
SETTING = rf"^\[{_NUMBER}, {_NUMBER}\]$"


def response_format(form: AnswerFormat) -> dict[str, Any]:
    """The field ``response_format`` of a request: a strict schema that only right answers fulfil."""
    settings = {
        "type": "array",
        "items": {"type": "string", "pattern": SETTING},
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


def answer_of_json(text: str, form: AnswerFormat) -> str | None:
    """The answer in a text of that schema, or None if it is anything else."""
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return None
    settings = held.get("settings") if isinstance(held, dict) and len(held) == 1 else None
    if not isinstance(settings, list) or not all(isinstance(s, str) for s in settings):
        return None
    answer = settings[0] if form.pairs == 1 and len(settings) == 1 else f"[{', '.join(settings)}]"
    return None if parse_answer(answer, form) is None else answer


def right_answer(choice: Choice, form: Form) -> str | None:
    """The answer in its canonical text, or None if it is not one (a free text: if nothing of it is whole)."""
    if isinstance(form, FreeText):
        return whole_lines(choice.text, ended=choice.finish != "length") or None
    text = choice.text if parse_answer(choice.text, form) is not None else answer_of_json(choice.text, form)
    points = None if text is None else parse_answer(text, form)
    return None if points is None else answer_text(points, form)


def is_entry(held: Any, count: int, form: Form) -> bool:
    """Whether something from the cache is the answers to a question."""
    if not isinstance(held, list) or len(held) != count:
        return False
    return all(a is None or (isinstance(a, str) and _is_right(a, form)) for a in held)


def _is_right(text: str, form: Form) -> bool:
    return bool(text) if isinstance(form, FreeText) else parse_answer(text, form) is not None


def form_text(form: Form) -> str:
    """A form, as an error shows it."""
    return "of a text" if isinstance(form, FreeText) else answer_text(np.zeros((form.pairs, 2)), form)
