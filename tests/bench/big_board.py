"""How long a board of 200 methods on 120 prompts takes, and how large its pages are.

``python -m tests.bench.big_board`` (some minutes): the sentences and the simulated
listeners of simulated-120, each tested once by folds; a method is a normal distribution about the listeners'
mean, moved and widened. Prints seconds of ``popeq leaderboard build --jobs 2``, the first time and when one
method of them is new, and KiB of the largest pages.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import popeq
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.submission import run_from_predictions

N = DEFAULT_PROTOCOL.n_samples


def write_runs(data: popeq.Dataset, methods: int, folder: Path) -> None:
    rng = np.random.default_rng(0)
    centres = np.array([data.points(p).mean(axis=0) for p in data.test_ids])
    for number in range(methods):
        error, spread = rng.uniform(0.2, 3.0), rng.uniform(0.5, 3.0)
        wrong = rng.normal(0, error, centres.shape)[:, None]
        points = np.clip(centres[:, None] + wrong + rng.normal(0, spread, (len(centres), N, 2)), -6, 6)
        rows = pd.DataFrame(points.reshape(-1, 2).round(2), columns=["x_db", "y_db"])
        rows.insert(0, "prompt_id", np.repeat(data.test_ids, N))
        rows.insert(1, "sample", np.tile(np.arange(N), len(centres)))
        file = folder.parent / "predictions.csv"
        rows.to_csv(file, index=False)
        name = f"method-{number:03d}"
        run_from_predictions(file, data, name, runs_dir=folder)


def seconds(command: list[str], environment: dict[str, str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--data", type=Path, help="another data set folder")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as root:
        data = popeq.load_dataset(arguments.data or "simulated-120@folds-5")
        write_runs(data, arguments.methods, Path(root, "runs"))
        last = max(Path(root, "runs").iterdir())
        command = [sys.executable, "-c", "from popeq.cli import main; main()", "leaderboard", "build"]
        command += [str(Path(root, "runs")), "--jobs", str(arguments.jobs), "-o", str(Path(root, "site"))]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "POPEQ_CACHE": str(Path(root, "cache"))}
        kept_back = last.rename(Path(root, last.name))
        first = seconds(command, environment)
        kept_back.rename(last)
        again = seconds(command, environment)
        print(f"{arguments.methods - 1} methods, {len(data.test_ids)} prompts: {first:.1f} s")
        print(f"one more: {again:.1f} s")
        pages = sorted(Path(root, "site").rglob("*.html"), key=lambda page: -page.stat().st_size)
        for page in pages[:3]:
            print(f"{page.relative_to(Path(root, 'site'))}: {page.stat().st_size / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
