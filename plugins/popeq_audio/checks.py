"""The sentence is checked before anything slow. Light to import."""

from __future__ import annotations

from popeq.errors import UsageError

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
