"""What tuning.json holds: the search, every trial with its scores and cost, the choice. It is also the state
from which a stopped search goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from popeq.atomic import write_text
from popeq.errors import RunError
from popeq.others_files import MOST_TABLE_BYTES, UnreadableFileError, read_json
from popeq.ranges import Range

SCHEMA_VERSION = 2
RECORD = "tuning.json"


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Budget(_Section):
    """What a trial is given at each round."""

    parameter: Literal["epochs", "prompts"] = Field(
        description="epochs: passes over the training prompts; prompts: how many validation prompts count"
    )
    rounds: list[int] = Field(min_length=1, description="from the least to the full budget")
    reduction: int = Field(ge=2, description="about one trial in so many goes on to the next round")


class Search(_Section):
    """Everything that the result depends on; another one is another search."""

    predictor: str = Field(description="name of the predictor")
    source: str = Field(description="distribution and version that brought it")
    code: str = Field("", description="SHA-256 over its code and what its fixed parameters name")
    dataset: str = Field(description="name or folder of the data set")
    revision: str = Field(description="SHA-256 over its training and validation prompts and their answers")
    protocol: str = Field(description="fingerprint of the protocol that scores are made by")
    metric: str = Field(description="score whose mean over the validation prompts is to be least, dB")
    seed: int = Field(description="seed of the search and of its runs")
    ranges: dict[str, Range] = Field(description="what is searched")
    fixed: dict[str, Any] = Field(description="parameters held at values of the user's")
    budget: Budget


class RoundRecord(_Section):
    """One fit of a trial and the prompts that were drawn with it."""

    budget: int = Field(description="epochs, or validation prompts so far")
    scores: dict[str, float] = Field(description="score by validation prompt drawn here, dB")
    score_db: float | None = Field(description="mean over all prompts of the trial so far; null: it failed")
    median_db: float | None = Field(description="median of the same")
    fit_s: float = Field(description="seconds in fit")
    sample_s: float = Field(description="seconds in sample")
    wall_s: float = Field(description="seconds of the whole run, its process's start included")
    peak_memory_mb: float = Field(description="largest resident size of the predictor's process, MiB")
    answered_by: str = Field("", description="who a server said that it is, for a served model")


class TrialRecord(_Section):
    """One setting. ``stopped``: not good enough to go on to the next round."""

    parameters: dict[str, Any] = Field(description="the searched parameters")
    state: Literal["running", "complete", "stopped", "failed"] = "running"
    rounds: list[RoundRecord] = []
    message: str = Field("", description="why it failed")

    @property
    def last(self) -> RoundRecord | None:
        return self.rounds[-1] if self.rounds else None


class Cost(_Section):
    """What the search has cost; the time of an attempt that was killed is not in it."""

    trials: int
    fits: int = Field(description="trainings, counting each round of each trial")
    fit_s: float = Field(description="seconds in fit")
    wall_s: float = Field(description="seconds over all runs")


class TuningRecord(_Section):
    """A search and how far it is."""

    schema_version: int = Field(SCHEMA_VERSION, description="version of this layout")
    status: Literal["unfinished", "complete"] = "unfinished"
    search: Search
    simulated: bool = Field(description="true if no real listener made the responses")
    trials: list[TrialRecord] = []
    best: int | None = Field(None, description="trial of the best score among those with the full budget")
    defaults: int | None = Field(None, description="trial of the predictor's defaults, if it is among them")
    cost: Cost
    command: str | None = Field(None, description="command that uses the choice")


def read_tuning(path: Path) -> TuningRecord | None:
    """The record in a file, None if there is no file. Raises RunError with one line if it cannot be read."""
    try:
        raw = read_json(path, MOST_TABLE_BYTES)
    except UnreadableFileError as error:
        if error.missing:
            return None
        raise RunError(f"{error}; move it away to begin again") from None
    version = raw.get("schema_version") if isinstance(raw, dict) else None
    if version != SCHEMA_VERSION:
        raise RunError(
            f"{path}: has schema version {version}, this popeq reads {SCHEMA_VERSION}; move it away to begin "
            "again"
        )
    try:
        return TuningRecord.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RunError(f"{path}: field {where}: {first['msg']}; move it away to begin again") from None


def write_tuning(path: Path, record: TuningRecord) -> None:
    """Replace the file in one step."""
    write_text(path, record.model_dump_json(indent=2) + "\n")
