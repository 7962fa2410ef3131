"""What the process that runs a predictor is told: prompts and training answers, never test answers."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from popeq.contract import Audio, LabelledPrompt, Prompt
from popeq.space import Space

#: Exit status of a worker that cannot even write its report.
WRITE_FAILED = 74


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AudioMessage(_Message):
    features: dict[str, float]
    file: Path | None


class PromptMessage(_Message):
    prompt_id: str
    text: str
    category: str
    split: str
    audio_id: str | None
    audio: AudioMessage | None = None

    @classmethod
    def of(cls, prompt: Prompt, wants_audio: bool = False) -> PromptMessage:
        given = prompt.audio if wants_audio else None
        audio = None
        if given is not None:
            file = None if given.file is None else given.file.absolute()
            audio = AudioMessage(features=dict(given.features), file=file)
        return cls(
            prompt_id=prompt.prompt_id,
            text=prompt.text,
            category=prompt.category,
            split=prompt.split,
            audio_id=prompt.audio_id,
            audio=audio,
        )

    def prompt(self) -> Prompt:
        audio = None if self.audio is None else Audio(self.audio.features, self.audio.file)
        return Prompt(self.prompt_id, self.text, self.category, self.split, self.audio_id, audio)


class LabelledMessage(_Message):
    prompt: PromptMessage
    responses: list[tuple[float, float]]
    listeners: tuple[str, ...]

    @classmethod
    def of(cls, labelled: LabelledPrompt, wants_audio: bool = False) -> LabelledMessage:
        points = [(float(x), float(y)) for x, y in labelled.responses]
        prompt = PromptMessage.of(labelled.prompt, wants_audio)
        return cls(prompt=prompt, responses=points, listeners=labelled.listeners)

    def labelled(self) -> LabelledPrompt:
        points = np.array(self.responses, dtype=np.float64).reshape(-1, 2)
        points.setflags(write=False)
        return LabelledPrompt(self.prompt.prompt(), points, self.listeners)


class SpaceMessage(_Message):
    x_low_db: float
    x_high_db: float
    y_low_db: float
    y_high_db: float

    @classmethod
    def of(cls, space: Space) -> SpaceMessage:
        return cls(**dataclasses.asdict(space))

    def space(self) -> Space:
        return Space(**self.model_dump())


class Job(_Message):
    """One fit and the prompts to draw with it; sent to the worker as one line of JSON."""

    predictor: str = Field(description="name, part of every generator's seed")
    factory: str = Field(description="'module:Class' of the predictor")
    parameters_model: str = Field(description="'module:Class' of its parameters")
    parameters: dict[str, Any]
    extra: str | None = Field(description="extra that brings what the predictor imports")
    space: SpaceMessage
    seed: int
    n_samples: int
    decimals: int | None = Field(description="decimals to which settings in dB are kept; all if None")
    batch_size: int
    stage: str
    withheld: tuple[str, ...] = Field((), description="revisions of data sets that it may not load")
    train: list[LabelledMessage]
    validation: list[LabelledMessage]
    prompts: list[PromptMessage] = Field(description="those still to be drawn")
    state: Path = Field(description="folder of the stage's own, for a predictor that has use_folder()")
    partial: Path = Field(description="folder that gets one file a prompt")
    report: Path = Field(description="file that gets the worker's report")
    traceback: Path = Field(description="file that gets a traceback, if there is one")


class Report(_Message):
    """How far the worker came: written after fit, and again at the end if it could still say so."""

    kind: Literal["fitted", "done", "error", "contract"]
    message: str = ""
    fit_s: float = 0.0
    sample_s: float = 0.0
    peak_memory_mb: float = 0.0
    failed: dict[str, str] = Field(default_factory=dict, description="a line for each prompt that failed")
    described: dict[str, Any] = Field(default_factory=dict)
