"""What must be equal for two runs to be compared."""

from __future__ import annotations

import hashlib

from pydantic import BaseModel, ConfigDict, Field


class Protocol(BaseModel):
    """Sample count, bandwidth rule, grid and metric versions. The defaults are protocol 1."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(1, description="number of this protocol")
    n_samples: int = Field(110, ge=1, description="samples drawn for each prompt (10 draws of 11)")
    bandwidth: str = Field("scott", description="rule for the kernel's covariance")
    bandwidth_floor_db: float = Field(0.3, gt=0, description="SD added to the kernel's covariance, dB")
    grid_cells: int = Field(24, ge=2, description="cells along each axis of the density grid")
    metrics: dict[str, int] = Field(
        default={
            "kantorovich": 1,
            "reflective_kantorovich": 1,
            "sample_kantorovich": 1,
            "energy_score": 1,
        },
        description="version of each score's definition",
    )

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over all of the above."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()

    @property
    def label(self) -> str:
        return f"protocol {self.version} ({self.fingerprint[:8]})"


PROTOCOL_1 = Protocol()
