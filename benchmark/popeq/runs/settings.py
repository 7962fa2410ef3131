"""How runs are carried out: one object, which goes whole from the caller to the predictor's process."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from popeq.errors import UsageError
from popeq.runs.containment import GIB, memory_of_the_machine
from popeq.settings import Settings


class RunSettings(Settings):
    """Limits, places and processes of runs; docs/containment.md says what they do not stop.

    No field changes a prediction: two runs that differ in settings alone are the same run. The options of the
    command line are made from these fields. UsageError, one line, for a name that is no setting, or a value
    that it does not take.
    """

    runs_dir: Path = Field(Path("runs"), description="Folder of the runs.")
    jobs: int = Field(1, ge=1, description="Processes side by side on this machine.")
    engine: Literal["local", "dask", "ray", "slurm"] = Field(
        "local", description="Where runs are drawn; never changes a result."
    )
    scheduler: str | None = Field(
        None, description="Address of the dask or ray cluster, or parameters of SLURM jobs (docs/scale.md)."
    )
    timeout_s: float | None = Field(
        3600.0, gt=0, description="Seconds that one run may take; then it is killed."
    )
    batch_size: int = Field(
        16, ge=1, description="Prompts handed to a predictor at once; results do not depend on it."
    )
    memory_gb: float | None = Field(
        None,
        gt=0,
        description="GiB that one predictor may have. [default: 80 % of the machine's, shared among --jobs]",
    )
    online: bool = Field(False, description="Let predictors use the network.")
    pass_env: tuple[str, ...] = Field(
        (), description="Hand on an environment variable, such as a token. Repeatable."
    )
    fresh: bool = Field(False, description="Draw again even what is complete, and ask again what was kept.")

    def checked(self) -> RunSettings:
        """Itself. Raises UsageError for a variable of ``pass_env`` that is not set here."""
        for name in self.pass_env:
            if name not in os.environ:
                raise UsageError(f"--pass-env {name}: there is no such environment variable")
        return self

    def memory_bytes(self, processes: int) -> int:
        """The memory limit, bytes, of one of ``processes`` side by side on a machine."""
        if self.memory_gb is not None:
            return int(self.memory_gb * GIB)
        return int(0.8 * memory_of_the_machine() / processes)


DEFAULT_SETTINGS = RunSettings()
