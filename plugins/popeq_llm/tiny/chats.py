"""Dialogues of the corpus as chats, through the predictors' own prompt templates."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from popeq_llm.answers import AnswerFormat, answer_text
from popeq_llm.models import Chat
from popeq_llm.templates import Kind, Template, load_template
from popeq_llm.tiny.corpus import Dialogue, Shown

_template = cache(load_template)


def chat_of(kind: Kind, examples: Sequence[Shown], sentence: str) -> Chat:
    """What the model is asked."""
    template: Template = _template(kind)
    return template.chat(sentence, [(shown.sentence, shown.points_db) for shown in examples])


def answer_of(dialogue: Dialogue) -> str:
    """What the model is to answer."""
    points = dialogue.asked.points_db
    return answer_text(points, AnswerFormat(len(points)))
