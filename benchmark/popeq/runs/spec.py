"""What a run is: predictor, data set, protocol and seed. Plans, jobs, records and submissions hold one."""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from popeq.contract import Kind
from popeq.folder_names import without_folders
from popeq.protocol import Protocol


def plain_json(values: dict[str, Any]) -> dict[str, Any]:
    """The values themselves, if JSON in UTF-8 keeps them as they are.

    Raises ValueError otherwise: infinities and NaN are no JSON, and half a character is no text.
    """
    try:
        json.dumps(values, allow_nan=False, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("must be text that UTF-8 can write") from None
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"must be plain JSON values: {error}") from None
    return values


PlainJson = Annotated[dict[str, Any], AfterValidator(plain_json)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Section(BaseModel):
    """A part of run.json: frozen, unknown names refused, no infinities."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class CodeRecord(Section):
    """The code that draws a run."""

    sha256: Sha256 = Field(description="SHA-256 over the names and hashes of all files that draw the run")
    popeq: str = Field(description="version of popeq, which counts for the harness")
    files: dict[str, str] = Field(
        description="each of these files with the first 8 digits of its SHA-256, to name what changes"
    )


class PredictorRecord(Section):
    """A predictor with its parameters, and what else its predictions depend on."""

    name: str = Field(description="name it is registered under")
    source: str = Field(description="distribution and version that brought it")
    kind: Kind = Field("other", description="what sort of method it is")
    parameters: PlainJson = Field(
        description="every parameter with its value, defaults included; files and folders by their last name"
    )
    code: CodeRecord | None = Field(
        None, description="code that drew it; null in submissions and before schema 3"
    )
    identity: dict[str, str] = Field(
        default_factory=dict,
        description="what else its predictions depend on, such as the hash of a model's weights",
    )
    described: Annotated[PlainJson, AfterValidator(without_folders)] = Field(
        default_factory=dict, description="what the fitted predictor said of itself, such as its model"
    )


class DatasetRecord(Section):
    """A revision of a data set."""

    name: str = Field(description="name of the data set")
    given: str = Field(description="name or folder that it was asked for by")
    version: str = Field(description="the maker's version")
    revision: str = Field(description="SHA-256 over its content")
    simulated: bool = Field(description="true if no real listener made the responses")


class RunSpec(Section):
    """One predictor with one set of parameters on one data set revision under one protocol and seed."""

    predictor: PredictorRecord
    dataset: DatasetRecord
    protocol: Protocol
    seed: int = Field(description="seed that every generator is derived from")

    @property
    def expected_key(self) -> str:
        """What a run's key has to be: SHA-256 (hex) over everything that its predictions depend on.

        Runs of schema 1 and 2, and submitted ones, have no code, and then nothing but the parameters counts
        of the predictor.
        """
        made, protocol = self.predictor, self.protocol.model_dump(mode="json")
        parts: list[Any] = [made.name, made.source, made.parameters]
        parts += [self.dataset.name, self.dataset.revision, protocol, self.seed]
        if made.code is not None:
            code = {"code": made.code.sha256, "popeq": made.code.popeq, "identity": dict(made.identity)}
            parts.append(code)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
