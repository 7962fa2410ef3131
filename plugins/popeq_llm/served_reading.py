"""What a server answered, read strictly: the answer in the asked form, or nothing."""

from __future__ import annotations

from typing import Any

import numpy as np

from popeq_llm.answers import Form, FreeText, answer_text, parse_answer, whole_lines
from popeq_llm.served_client import Choice
from popeq_llm.served_schema import answer_of_json


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
