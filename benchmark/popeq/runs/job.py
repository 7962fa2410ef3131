"""What the process that runs a predictor is given: prompts and training answers, never test answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, TypeAdapter, WrapValidator

from popeq.atomic import write_text
from popeq.contract import LabelledPrompt, PredictorSpec, Prompt
from popeq.others_files import read_model
from popeq.runs.settings import RunSettings
from popeq.runs.spec import RunSpec
from popeq.space import Space

#: Exit status of a worker that cannot even write its report.
WRITE_FAILED = 74

#: File, in the stage's own folder, with the predictor's last line on its progress.
PROGRESS = "progress.txt"

_PROMPT = TypeAdapter(Prompt)


def _written(labelled: LabelledPrompt) -> dict[str, Any]:
    prompt = _PROMPT.dump_python(labelled.prompt, mode="json")
    return {
        "prompt": prompt,
        "responses": np.asarray(labelled.responses).tolist(),
        "listeners": list(labelled.listeners),
        **({} if labelled.groups is None else {"groups": list(labelled.groups)}),
    }


def _read(given: Any, _: Any) -> LabelledPrompt:
    if isinstance(given, LabelledPrompt):
        return given
    points = np.array(given["responses"], dtype=np.float64).reshape(-1, 2)
    points.setflags(write=False)
    groups = given.get("groups")
    return LabelledPrompt(
        _PROMPT.validate_python(given["prompt"]),
        points,
        tuple(given["listeners"]),
        None if groups is None else tuple(groups),
    )


#: A labelled prompt as a field of a pydantic model; in JSON its responses are a list of (x, y), dB.
Labelled = Annotated[Any, WrapValidator(_read), PlainSerializer(_written)]


def for_predictor(prompts: Iterable[Prompt], spec: PredictorSpec) -> list[Prompt]:
    """Prompts as a predictor gets them: with what is known of their tracks, files by their absolute paths,
    and with the group that is asked about, only if its spec wants that."""
    return [_for_predictor(p, spec) for p in prompts]


def labelled_for_predictor(prompts: Iterable[LabelledPrompt], spec: PredictorSpec) -> list[LabelledPrompt]:
    """Labelled prompts as a predictor gets them, with the groups of listeners only if its spec wants them;
    see ``for_predictor``."""
    return [
        dataclasses.replace(
            p, prompt=_for_predictor(p.prompt, spec), groups=p.groups if spec.wants_groups else None
        )
        for p in prompts
    ]


def _for_predictor(prompt: Prompt, spec: PredictorSpec) -> Prompt:
    audio = prompt.audio if spec.wants_audio else None
    if audio is not None and audio.file is not None:
        audio = dataclasses.replace(audio, file=audio.file.absolute())
    return dataclasses.replace(prompt, audio=audio, group=prompt.group if spec.wants_groups else None)


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Job(_Message):
    """One fit and the prompts to draw with it; sent to the worker as one line of JSON."""

    spec: RunSpec = Field(description="the run that it is a part of")
    factory: str = Field(description="'module:Class' of the predictor")
    parameters_model: str = Field(description="'module:Class' of its parameters")
    parameters: dict[str, Any] = Field(description="its parameters, paths in full")
    extra: str | None = Field(description="extra that brings what the predictor imports")
    space: Space
    batch_size: int
    stage: str
    answered_by: str = Field("", description="who answered the prompts drawn before, as a server said it")
    cache_since: float | None = Field(None, description="entries of caches from before do not count")
    withheld: tuple[str, ...] = Field((), description="revisions of data sets that it may not load")
    train: list[Labelled]
    validation: list[Labelled]
    prompts: list[Prompt] = Field(description="those still to be drawn")
    state: Path = Field(description="folder of the stage's own, for a predictor that is Resumable")
    partial: Path = Field(description="folder that gets one file a prompt")
    report: Path = Field(description="file that gets the worker's report")
    traceback: Path = Field(description="file that gets a traceback, if there is one")


def report_progress(state: Path, line: str) -> None:
    """Leave a line on how far a stage's training is where whoever watches the run reads it."""
    state.mkdir(exist_ok=True)
    write_text(state / PROGRESS, line.partition("\n")[0] + "\n")


class Report(_Message):
    """How far the worker came: written after fit, and again at the end if it could still say so."""

    kind: Literal["fitted", "done", "error", "contract"]
    message: str = ""
    fit_s: float = 0.0
    sample_s: float = 0.0
    peak_memory_mb: float = 0.0
    failed: dict[str, str] = Field(default_factory=dict, description="a line for each prompt that failed")
    described: dict[str, Any] = Field(default_factory=dict)


def read_report(path: Path) -> Report:
    """What a worker wrote of itself, which a predictor can have changed.

    Raises UnreadableFileError, in one line, if it is no report.
    """
    return read_model(path, Report)


@dataclasses.dataclass(frozen=True)
class Task:
    """A stage of a run, ready to be carried out anywhere that sees its folder: the job, where its output
    goes, and how it is held."""

    job: Job
    log: Path
    settings: RunSettings
    needs_env: tuple[str, ...] = ()
    wants_gpu: bool = False

    @property
    def cancelled(self) -> Path:
        """A file whose presence asks whoever carries the task out, wherever that is, to stop."""
        return self.log.with_name(f"cancel-{self.job.stage}")
