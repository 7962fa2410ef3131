"""Descriptors as people type them: one spelling for each, the sentence of its prompt, and the prompt's id."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable

#: Misspellings that were seen in the published files and can mean only one word.
TYPOS = {
    "agressive": "aggressive",
    "birght": "bright",
    "brght": "bright",
    "brite": "bright",
    "warn": "warm",
    "wawrm": "warm",
}

#: Words of the published files that are no adjectives, by the sentence that they fit.
_LIKE = {"love": "love", "radio": "a radio", "rock": "rock", "phone": "a phone", "telephone": "a telephone"}
_GIVE = frozenset(
    {"air", "bite", "body", "boost", "clarity", "fizz", "presence", "punch", "sparkle", "sub", "warmth"}
)
_SUIT = frozenset({"guitar", "keyboard", "keyboards", "kick", "snare", "vocal", "vocals"})


def normalise(descriptor: str) -> str:
    """Lower case, single spaces, no punctuation at the ends, known typos corrected word by word."""
    text = unicodedata.normalize("NFC", descriptor).casefold()
    tokens = " ".join(text.split()).strip(" ,.;:!?'\"").split()
    return " ".join(TYPOS.get(token, token) for token in tokens)


def sentence(word: str) -> str:
    """The sentence that asks for this descriptor."""
    if word in _LIKE:
        return f"make it sound like {_LIKE[word]}"
    if word in _GIVE:
        return f"give it more {word}"
    if word in _SUIT:
        return f"make it suit the {word}"
    return f"make it sound {word}"


def prompt_ids(words: Iterable[str], prefix: str) -> dict[str, str]:
    """An ASCII identifier for each word; words that differ only in accents get a hash too."""
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for word in sorted(set(words)):
        plain = unicodedata.normalize("NFKD", word).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^a-z0-9]+", "-", plain.casefold()).strip("-")[:60].strip("-")
        if not slug or slug in taken:
            digest = hashlib.sha256(word.encode()).hexdigest()[:8]
            slug = f"{slug}-{digest}" if slug else digest
        taken.add(slug)
        ids[word] = f"{prefix}{slug}"
    return ids
