"""Start the processes that train together, through ``accelerate launch``, and say what memory they took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict

from popeq.errors import RunError, UsageError
from popeq.runs.job import Labelled
from popeq.space import Space

#: Files that the processes leave beside their job.
ERROR, MEMORY = "error.txt", "memory-{rank}.json"


class RankJob(BaseModel):
    """What each process is given; the answers are those of training and validation prompts, as in any fit.

    ``state`` is the folder in which the processes leave the members.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictor: str
    parameters: dict[str, Any]
    space: Space
    seeds: list[int]
    train: list[Labelled]
    validation: list[Labelled]
    state: Path
    cpu: bool


def train_in_processes(job: RankJob, count: int) -> list[dict[str, Any]]:
    """Train a predictor's members in ``count`` processes of this machine, which leave them in the folder.

    Returns what each process took: ``rank``, ``peak_memory_mb`` (resident), ``gpu_memory_mb`` (allocated on
    its card; None on the CPU). Raises RunError if a process failed, with the line that it left.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        ended = subprocess.run(
            _command(count, folder / "job.json"),
            # Never the current folder: a random.py that happens to lie there would break every import.
            env={**os.environ, "PYTHONSAFEPATH": "1"},
            check=False,
        )
        error = folder / ERROR
        if ended.returncode != 0:
            what = f"the {count} training processes ended with status {ended.returncode}"
            raise RunError(error.read_text(encoding="utf-8") if error.exists() else what)
        return [
            json.loads((folder / MEMORY.format(rank=rank)).read_text(encoding="utf-8"))
            for rank in range(count)
        ]


def _command(count: int, job: Path) -> list[str]:
    # --multi_gpu means several processes here, by torch's own launcher; on the CPU accelerate would
    # otherwise want MPI (accelerate/commands/launch.py, simple_launcher). Port 0 is any free one.
    options = {
        "num_processes": count,
        "num_machines": 1,
        "mixed_precision": "no",
        "dynamo_backend": "no",
        "gpu_ids": "all",
        "main_process_port": 0,
    }
    words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", *words]
    return [*launch, "-m", "popeq_peft.rank", str(job)]


def on_cpu(device: str, count: int) -> bool:
    """Whether ``count`` processes with that ``--device`` train on the CPU.

    Raises UsageError for fewer cards than processes, or for a device that processes cannot share out.
    """
    cards = torch.cuda.device_count()
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"--device {device}: with --launcher it must be auto, cpu or cuda (one card each)")
    if device == "cpu" or (device == "auto" and cards == 0):
        return True
    if count > cards:
        raise UsageError(
            f"--launcher accelerate:{count}: this machine has {cards} CUDA card(s) for {count} processes; "
            "ask for fewer, leave --launcher out, or give --device cpu"
        )
    return False
