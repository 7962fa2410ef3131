"""What a sentence has to be before anybody is asked about it; light to import."""

from __future__ import annotations

from popeq.errors import UsageError

MOST_CHARACTERS = 2000


def checked_sentence(text: str) -> str:
    """The sentence without blanks around it; UsageError if it is empty or very long."""
    text = " ".join(text.split())
    if not text:
        raise UsageError("the sentence is empty; say how it should sound, such as 'make it warmer'")
    if len(text) > MOST_CHARACTERS:
        raise UsageError(f"the sentence has {len(text)} characters; {MOST_CHARACTERS} at most")
    return text
