"""How similar sentences are: by the meaning of their embeddings, and by the words that both have."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from popeq.typing import Floats
from popeq_llm.encoder import Encoder
from popeq_llm.retrieval import DECIMALS


class Similarity:
    """How similar sentences are to those of the training prompts, from 0 or a little less to 1.

    By meaning: the cosine of their embeddings. By words: the cosine of their TF-IDF vectors of words and of
    parts of words, which finds the other forms of a word too.
    """

    def __init__(self, texts: Sequence[str], encoder: Encoder) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.encoder = encoder
        self._parts = TfidfVectorizer(analyzer=_word_parts, sublinear_tf=True).fit(texts)
        # scikit-learn adds 1, with which what all sentences have would count too.
        self._parts.idf_ = self._parts.idf_ - 1.0
        self._vectors = encoder.encode(texts).astype(np.float64)
        self._terms = self._parts.transform(texts)

    def to(self, texts: Sequence[str]) -> tuple[Floats, Floats]:
        """By embeddings and by words, each (len(texts), training prompts), rounded."""
        meaning = self.encoder.encode(texts).astype(np.float64) @ self._vectors.T
        words = (self._parts.transform(texts) @ self._terms.T).toarray()
        return meaning.round(DECIMALS), np.asarray(words).round(DECIMALS)


def mixed(similarities: tuple[Floats, Floats], lexical: float) -> Floats:
    """Similarities by embeddings and by words in one, with the share ``lexical`` of words."""
    meaning, words = similarities
    return (1.0 - lexical) * meaning + lexical * words


def _word_parts(text: str) -> list[str]:
    """The words of a sentence with their ends marked, and their parts of 3 to 5 characters."""
    words = [f"<{word}>" for word in re.findall(r"[^\W_]+", text.casefold())]
    parts = [w[i : i + n] for w in words for n in (3, 4, 5) for i in range(len(w) - n + 1)]
    return words + parts
