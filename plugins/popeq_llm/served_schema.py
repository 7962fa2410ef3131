"""Answers as JSON, for servers that bind a model to a schema: ``{"settings": ["[-1.5, 0.3]"]}``."""

from __future__ import annotations

import json
from typing import Any

from popeq_llm.answers import AnswerFormat, parse_answer

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
