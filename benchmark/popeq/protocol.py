"""What must be equal for two runs to be compared: docs/scores.md says why it is as it is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

#: Version of each score's definition in this popeq.
METRIC_VERSIONS = {
    "kantorovich": 1,
    "reflective_kantorovich": 1,
    "sample_kantorovich": 1,
    "energy_score": 1,
}

#: Version of the definition of each score that a board shows beside them only where it is asked for. They are
#: not part of a protocol: runs are compared without them, and boards name the version that they computed.
SECONDARY_METRIC_VERSIONS = {"rendered_mmd": 1}

#: The most that a run.json from elsewhere may ask for, so that memory suffices to score it.
MOST_SAMPLES, MOST_CELLS = 100_000, 128


class Protocol(BaseModel):
    """Sample count, resolution, bandwidth rule, grid and metric versions. The defaults are protocol 2."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(2, description="number of this protocol")
    n_samples: int = Field(
        660, ge=1, le=MOST_SAMPLES, description="samples drawn for each prompt (60 draws of 11)"
    )
    decimals: int | None = Field(
        2,
        ge=0,
        le=9,
        description="decimals to which settings in dB are kept; none: every digit, as protocol 1",
    )
    bandwidth: Literal["scott"] = Field("scott", description="rule for the kernel's covariance")
    bandwidth_floor: float = Field(
        0.025,
        gt=0,
        le=1,
        description="SD added to the kernel's covariance, as a share of the box's sides (0.3 dB on +-6 dB)",
    )
    grid_cells: int = Field(24, ge=2, le=MOST_CELLS, description="cells along each axis of the density grid")
    metrics: dict[str, int] = Field(METRIC_VERSIONS, description="version of each score's definition")

    @model_validator(mode="before")
    @classmethod
    def _first(cls, given: Any) -> Any:
        """Protocol 1 had no resolution."""
        if isinstance(given, dict) and given.get("version") == 1 and "decimals" not in given:
            return given | {"decimals": None}
        return given

    @model_serializer(mode="wrap")
    def _without_decimals(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Where every digit is kept nothing is said of it, so that protocol 1 has its first fingerprint."""
        content: dict[str, Any] = handler(self)
        if content.get("decimals") is None:
            content.pop("decimals", None)
        return content

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: dict[str, int]) -> dict[str, int]:
        if metrics != METRIC_VERSIONS:
            raise ValueError(f"this popeq computes {METRIC_VERSIONS}")
        return metrics

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over all of the above."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def label(self) -> str:
        """Name as boards print it; one that is not a published protocol says so."""
        name = f"protocol {self.version}" if self in PUBLISHED else "custom protocol"
        return f"{name} ({self.fingerprint[:8]})"


PROTOCOL_1 = Protocol(version=1, n_samples=110, decimals=None)
#: 60 draws of 11: the fewest that leave an SD over draws of at most 0.02 dB on the mean headline score of 30
#: prompts for every bundled predictor (docs/scores.md); a hundredth of a dB is far below what anybody hears.
PROTOCOL_2 = Protocol()
PUBLISHED = (PROTOCOL_1, PROTOCOL_2)
DEFAULT_PROTOCOL = PROTOCOL_2


def newest(protocols: Iterable[Protocol]) -> Protocol:
    """The published protocol with the largest number; if there is none, the first of them all."""
    listed = list(protocols)
    published = [protocol for protocol in listed if protocol in PUBLISHED]
    return max(published, key=lambda protocol: protocol.version) if published else listed[0]
