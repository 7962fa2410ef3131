"""What the explanations of prompts say of a model's answers: how many were thrown away, and who gave them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from popeq.runs.record import AnswerRecord


def answer_record(explanations: Iterable[Mapping[str, Any]]) -> AnswerRecord | None:
    """The sums of the counts ``drawn``, ``rejected``, ``shortened`` and ``retried`` over explanations; None
    if none has any."""
    sums = dict.fromkeys(AnswerRecord.model_fields, 0)
    counted = False
    for explained in explanations:
        own = {name: explained.get(name, 0) for name in sums}
        try:
            one = AnswerRecord.model_validate(own, strict=True) if "drawn" in explained else None
        except ValidationError:  # a plugin's own meaning of these names
            continue
        if one is not None:
            counted = True
            sums = {name: total + getattr(one, name) for name, total in sums.items()}
    return AnswerRecord(**sums) if counted else None


def answerers(explanations: Iterable[Mapping[str, Any]]) -> list[str]:
    """Who gave the answers, as servers said it of themselves; each once."""
    names = (explained.get("answered_by") for explained in explanations)
    return sorted({name for name in names if isinstance(name, str) and name})


def mixed(first: str, second: str) -> str:
    """Why answers of two are not put into one run or search, in a line."""
    return (
        f"answers of two models are not mixed: {first} answered before, {second} answers now; --fresh begins "
        "again"
    )
