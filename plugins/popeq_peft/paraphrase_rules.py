"""Which lines of a language model's answer are paraphrases. Nothing is mended: a line is taken or refused."""

from __future__ import annotations

import re
from collections.abc import Container

#: Characters of the longest line that is taken.
LONGEST = 200
_WORD = re.compile(r"[^\W\d_]+")
_MARK = re.compile(r"[-*+\u2022\u2013\u2014#>|`\"\u201c\u201d\u00ab]|\(?\d+[.):]")
_BRACKETS = re.compile(r"[\[\]{}<>]")
_LETTERS = 0.75

#: The words of a sentence: two sentences of the same words are the same.
Words = tuple[str, ...]


def words(text: str) -> Words:
    """A sentence's words, capitals and punctuation aside."""
    return tuple(_WORD.findall(text.casefold()))


def refusal(line: str, sentence: str, taken: Container[Words]) -> str:
    """Why a line is no paraphrase of a sentence; empty if it is one.

    Parameters
    ----------
    line
        Without white space around it.
    taken
        The words of the data set's sentences, and of the paraphrases that were taken before.
    """
    own = words(line)
    if not own:
        return "no words"
    if len(line) > LONGEST:
        return f"over {LONGEST} characters"
    if not line.isprintable() or "\ufffd" in line:
        return "unprintable"
    if _BRACKETS.search(line):  # a setting, or a piece of a chat template
        return "brackets"
    if sum(c.isalpha() or c.isspace() for c in line) < _LETTERS * len(line):
        return "few letters"
    if _MARK.match(line) or line.endswith(":"):
        return "a list's mark, a quotation mark or a heading"
    if own == words(sentence):
        return "the sentence itself"
    return "there already" if own in taken else ""
