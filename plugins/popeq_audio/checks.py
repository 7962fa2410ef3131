"""Checks before anything slow: a module that an extra brings, and the sentence. Light to import."""

from __future__ import annotations

import importlib
from typing import Any

from popeq.errors import UsageError


def need(module: str, extra: str) -> Any:
    """The module; UsageError that names the extra if it is missing."""
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:  # soundfile raises OSError where libsndfile is missing
        raise UsageError(f"{module} cannot be loaded ({error}); pip install 'popeq[{extra}]'") from None


MOST_CHARACTERS = 2000


def checked_sentence(text: str) -> str:
    """The sentence without blanks around it; UsageError if it is empty, very long or no whole characters."""
    text = " ".join(text.split())
    if not text:
        raise UsageError("the sentence is empty; say how it should sound, such as 'make it warmer'")
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"the sentence has {len(text)} characters; {MOST_CHARACTERS} at most")
    if any("\ud800" <= character <= "\udfff" for character in text):
        raise UsageError("the sentence holds half a character (a lone surrogate); write it again in UTF-8")
    return text
