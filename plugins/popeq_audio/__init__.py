"""From a sentence to a sound: ask, export, render, a page to try it, a listening test, predictors that hear.

Declares only; what it declares is imported when it is used.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from popeq.commands import CommandSpec
from popeq.contract import DatasetSpec, PredictorSpec
from popeq.hookspecs import hookimpl
from popeq_llm.parameters import SimilarParameters


class NeighbourParameters(SimilarParameters):
    """Of ``text-near`` and ``text-audio-near``, so that the two differ in the audio alone."""

    k: int = Field(24, ge=1, description="at most so many of the most similar prompts give their responses")


@hookimpl
def popeq_commands() -> list[CommandSpec]:
    return [
        CommandSpec(
            "ask", "The predicted settings for a sentence of yours, and an export.", "popeq_audio.cli.ask:ask"
        ),
        CommandSpec(
            "render", "Filter an audio file with a setting.", "popeq_audio.cli.render:render", extra="audio"
        ),
        CommandSpec("demo", "A local page to ask and listen.", "popeq_audio.cli.demo:demo", extra="demo"),
        CommandSpec(
            "listening-test",
            "Make a listening test from runs, and analyse its results.",
            "popeq_audio.cli.listening:listening_test",
            extra="audio",
        ),
        CommandSpec(
            "features",
            "Describe the tracks of a data set: write its features.csv.",
            "popeq_audio.cli.features:features",
            extra="audio",
        ),
    ]


@hookimpl
def popeq_predictors() -> list[PredictorSpec]:
    return [
        PredictorSpec(
            "text-near",
            "the responses to prompts with similar sentences (text-audio-near without the tracks)",
            "popeq_llm.knn:SimilarPrompts",
            parameters=NeighbourParameters,
            extra="llm",
            kind="retrieval",
        ),
        PredictorSpec(
            "text-audio-near",
            "the responses to prompts with similar sentences about similar tracks",
            "popeq_audio.neighbours:TextAudioNear",
            parameters=NeighbourParameters,
            extra="llm",
            kind="retrieval",
            wants_audio=True,
        ),
    ]


@hookimpl
def popeq_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            "simulated-tracks",
            "8 sentences about 16 synthetic tracks, 11 simulated listeners each",
            Path(__file__).parent / "simulated_tracks" / "data",
        )
    ]
