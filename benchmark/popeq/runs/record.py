"""What run.json holds: every field with a sentence, a schema version, and chained migrations of old files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator

from popeq.errors import RunError
from popeq.folder_names import last_name, without_folders, without_folders_in
from popeq.others_files import UnreadableFileError, read_json
from popeq.plain_text import folder_name, size_text, visible
from popeq.runs.spec import PredictorRecord, RunSpec, Section

SCHEMA_VERSION = 4

#: ``MIGRATIONS[v]`` turns the raw content of a version v file into version v + 1.
MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    1: lambda raw: raw,  # version 2 only added fields that have defaults: origin, predictor.kind
    2: lambda raw: raw,  # so did version 3: predictor.code, predictor.identity
    3: lambda raw: raw,  # and version 4: answers, answered_by, cache_since
}


FailureKind = Literal["error", "contract", "crash", "timeout", "memory"]
Count = Annotated[int, Field(ge=0, le=10**12)]
Shown = Annotated[str, AfterValidator(lambda text: visible(text, 500))]
FolderName = Annotated[str, AfterValidator(folder_name)]


class StageRecord(Section):
    name: str = Field(description="'split', or the fold that was tested")
    fit_s: float = Field(description="seconds in fit, the last time it was fitted")
    sample_s: float = Field(description="seconds in sample, the last time any was drawn")
    peak_memory_mb: float = Field(description="largest resident size of the predictor's process, MiB")


class Failure(Section):
    stage: str = Field(description="stage that failed")
    kind: FailureKind = Field(
        description="error: raised; contract: broke the protocol; crash: the process died; timeout, memory: "
        "killed at that limit"
    )
    message: str = Field(description="one line")
    detail: str | None = Field(None, description="file in the run folder with the traceback or output")


class AnswerRecord(Section):
    """What became of a model's answers, over all prompts drawn so far."""

    drawn: Count = Field(description="answers that the model gave")
    rejected: Count = Field(description="of these, thrown away: not of the form that was asked for")
    shortened: Count = Field(0, description="of these, cut off at the limit of tokens")
    retried: Count = Field(0, description="requests that failed and were repeated")

    @model_validator(mode="after")
    def _check(self) -> Self:
        """Refuse more answers of a kind than there were."""
        if max(self.rejected, self.shortened) > self.drawn:
            raise ValueError("has more answers rejected or shortened than drawn")
        return self

    @property
    def rejected_share(self) -> float:
        """The share of all answers that was thrown away."""
        return self.rejected / self.drawn if self.drawn else 0.0

    def __str__(self) -> str:
        return (
            f"{self.drawn:,} drawn, {self.rejected:,} rejected ({self.rejected_share:.1%}), "
            f"{self.shortened:,} cut off at the limit of tokens, {self.retried:,} requests repeated"
        )


class EnvironmentRecord(Section):
    python: str = Field(description="Python version")
    platform: str = Field(description="operating system and processor")
    cores: int = Field(description="logical cores of the machine")
    packages: dict[str, str] = Field(description="versions of the packages that numbers depend on")


class _Head(Section):
    schema_version: int = Field(SCHEMA_VERSION, description="version of this layout")
    run_id: FolderName = Field(description="name of the run's folder when it was made")
    key: str = Field(
        description="SHA-256 over predictor, code, parameters, data set revision, protocol, seed"
    )
    origin: Literal["drawn", "submitted"] = Field(
        "drawn", description="drawn: popeq ran the predictor; submitted: made from a file of predictions"
    )
    status: Literal["unfinished", "complete", "failed"] = Field(
        description="unfinished: being drawn, or stopped; failed: see failures; the same command goes on"
    )


class RunRecord(RunSpec, _Head):
    """What a run is, and what became of it."""

    command: str = Field(description="command that makes this run again")
    started_at: str = Field(description="UTC time of the first attempt, ISO 8601")
    finished_at: str | None = Field(None, description="UTC time of the end, ISO 8601")
    wall_s: float = Field(0.0, description="seconds over all attempts that ended in order")
    prompts: int = Field(description="prompts to predict")
    prompts_done: int = Field(0, description="prompts whose samples are on disk")
    stages: list[StageRecord] = Field(default_factory=list, description="one entry a fit")
    answers: AnswerRecord | None = Field(
        None, description="what became of the model's answers; null where no answer is parsed"
    )
    answered_by: Shown = Field("", description="who a server said that it is, for a served model")
    cache_since: float | None = Field(
        None,
        description="--fresh: what was kept before this time (seconds since 1970, UTC) was not used",
    )
    failures: list[Failure] = Field(default_factory=list, description="what went wrong in the last attempt")
    predictions_sha256: str | None = Field(
        None, description="SHA-256 of the predictions as text, once complete"
    )
    environment: EnvironmentRecord

    @property
    def expected_key(self) -> str:
        """What the key has to be, by what the record says was run (``RunSpec``) or sent."""
        if self.origin == "submitted":
            return submitted_key(self, self.predictions_sha256)
        return super().expected_key

    @property
    def model(self) -> str:
        """The model behind the predictor as tables show it, ``NAME (SIZE, QUANTISATION, HASH)``: the name
        without folders, and as much of the rest as is known; empty if there is none."""
        about = self.predictor.described
        if not about.get("model"):
            return ""
        size = about.get("parameters")
        kind, _, digits = self.predictor.identity.get("model", "").partition(":")
        known = [
            size_text(size) if isinstance(size, int) else "",
            str(about.get("quantisation") or ""),
            digits[:8] if kind in ("sha256", "commit") else "",
            self.answered_by,
        ]
        name = last_name(str(about["model"])) if kind == "sha256" else str(about["model"])
        more = ", ".join(part for part in known if part)
        return f"{name} ({more})" if more else name

    @property
    def shown_command(self) -> str:
        """``command`` as pages and tables show it: the data set and files by name, without their folders."""
        try:
            words = shlex.split(self.command)
        except ValueError:
            return str(without_folders(self.command))
        return shlex.join(
            self.dataset.name if w == self.dataset.given else without_folders_in(w) for w in words
        )


def submitted_key(spec: RunSpec, predictions_sha256: str | None) -> str:
    """The key of a run that somebody sends: its predictions count in place of parameters and code."""
    made = spec.predictor
    sent = PredictorRecord(
        name=made.name, source=made.source, parameters={"predictions_sha256": predictions_sha256}
    )
    return RunSpec(predictor=sent, dataset=spec.dataset, protocol=spec.protocol, seed=spec.seed).expected_key


def migrate(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Bring the content of an old run.json to the current version, one version at a time.

    Raises RunError if the file is of a newer popeq, or has no version.
    """
    content = dict(raw)
    version = content.get("schema_version")
    if type(version) is not int or version < 1:
        raise RunError(f"{where}: has no schema_version; it is not a popeq run")
    if version > SCHEMA_VERSION:
        raise RunError(
            f"{where}: schema version {version} is newer than this popeq reads ({SCHEMA_VERSION}); upgrade "
            "popeq"
        )
    for step in range(version, SCHEMA_VERSION):
        content = {**MIGRATIONS[step](content), "schema_version": step + 1}
    return content


def read_record(path: Path) -> RunRecord:
    """Read run.json, migrating an old one. Raises RunError with one line if it cannot be read."""
    try:
        raw = read_json(path)
    except UnreadableFileError as error:
        if error.missing:
            raise RunError(f"{path.parent}: is not a run folder; it has no {path.name}") from None
        raise RunError(str(error)) from None
    if not isinstance(raw, dict):
        raise RunError(f"{path}: is not a JSON object")
    try:
        return RunRecord.model_validate(migrate(raw, str(path)))
    except ValidationError as error:
        first = error.errors()[0]
        field = visible(".".join(str(part) for part in first["loc"]), 100)
        raise RunError(f"{path}: field {field}: {first['msg'].removeprefix('Value error, ')}") from None
