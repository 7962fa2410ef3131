"""Parameters of the predictors in this package; light to import."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field

from popeq.contract import Parameters


class NeighbourParameters(Parameters):
    """Of ``text-near`` and ``text-audio-near``, so that the two differ in the audio alone."""

    k: int = Field(24, ge=1, description="how many of the most similar prompts lend their responses, at most")
    similarity_temperature: float = Field(
        0.05, gt=0, description="weights are a softmax of the sentences' similarity over this"
    )
    encoder: str = Field(
        "all-MiniLM-L6-v2", min_length=1, description="sentence-transformers model by name or folder"
    )

    def identity(self) -> Mapping[str, str]:
        """The encoder's content."""
        from popeq_llm.weights import model_identity, named

        return named(encoder=model_identity(self.encoder))
