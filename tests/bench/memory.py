"""Score many prompts in a process of its own and print its seconds and peak memory: ``PROMPTS SAMPLES``."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import numpy as np


def resident_gib(what: str) -> float:
    """VmRSS (now) or VmHWM (peak) of this process, GiB."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return float(status.split(f"{what}:")[1].split()[0]) / 2**20


def main(prompts: int, samples: int) -> None:
    """Make a data set in memory, score samples (prompts, samples, 2) on it, print JSON."""
    import tempfile

    from popeq.board.scoring import Scorer
    from popeq.dataset_folder import read_dataset
    from popeq.protocol import Protocol
    from tests.conftest import write_small_dataset

    protocol = Protocol(n_samples=samples)
    with tempfile.TemporaryDirectory() as folder:
        dataset = read_dataset(write_small_dataset(Path(folder) / "many", prompts=prompts + 8))
        drawn = np.random.default_rng(0).uniform(-6, 6, (prompts, samples, 2))
        warm = Scorer(dataset, protocol)
        warm.targets[0].score(drawn[0])  # compiled, loaded, grid made
        del warm
        started = time.perf_counter()
        table = Scorer(dataset, protocol).score(drawn)
        seconds = time.perf_counter() - started
    assert len(table.frame) == prompts
    print(json.dumps({"seconds": seconds, "peak_gib": resident_gib("VmHWM")}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
