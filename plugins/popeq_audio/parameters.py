"""Parameters of the predictors in this package; light to import."""

from __future__ import annotations

from pydantic import Field

from popeq_llm.parameters import KnnParameters


class NeighbourParameters(KnnParameters):
    """Of ``text-near`` and ``text-audio-near``, so that the two differ in the audio alone."""

    k: int = Field(24, ge=1, description="at most so many of the most similar prompts give their responses")
