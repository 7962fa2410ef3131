"""The predictors to beat: chance, the training prior and static settings. NumPy only."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from popeq.contract import Parameters, PredictorSpec
from popeq.hookspecs import hookimpl

PresetName = Literal[
    "Flat",
    "Bass boost",
    "Bass cut",
    "Treble boost",
    "Treble cut",
    "Loudness",
    "Late night",
    "Spoken word",
    "Warm",
    "Acoustic",
    "Classical",
    "Dance",
    "Electronic",
    "Hip-hop",
    "Jazz",
    "Piano",
    "Pop",
    "Rock",
    "Small speakers",
]


class PresetParameters(Parameters):
    fallback: PresetName = Field("Flat", description="preset for a sentence that no keyword matches")


class CloudParameters(Parameters):
    points: int = Field(110, ge=2, le=2200, description="points of the cloud")
    steps: int = Field(60, ge=1, le=10_000, description="steps of the descent")
    step_db: float = Field(0.3, gt=0, le=3, description="size of the first steps, dB; it falls to zero")


@hookimpl
def popeq_predictors() -> list[PredictorSpec]:
    return [
        PredictorSpec(
            "random",
            "uniform on the box, whatever the sentence",
            "popeq_baselines.simple:Random",
            kind="baseline",
        ),
        PredictorSpec(
            "prior",
            "draws from the pooled training responses",
            "popeq_baselines.simple:Prior",
            kind="baseline",
        ),
        PredictorSpec("static-flat", "always (0, 0) dB", "popeq_baselines.simple:Flat", kind="preset"),
        PredictorSpec(
            "static-best",
            "the one point that is best for the training prompts",
            "popeq_baselines.simple:Best",
            kind="preset",
        ),
        PredictorSpec(
            "static-cloud",
            "the set of points, the same for every sentence, that is best for the training prompts",
            "popeq_baselines.cloud:Cloud",
            parameters=CloudParameters,
            kind="baseline",
        ),
        PredictorSpec(
            "static-preset",
            "a named EQ preset chosen by keyword, as products ship",
            "popeq_baselines.simple:Preset",
            parameters=PresetParameters,
            kind="preset",
        ),
    ]
