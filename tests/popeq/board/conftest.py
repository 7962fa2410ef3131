"""A small data set with finished runs of four baselines, made once."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from tests.conftest import write_small_dataset

import popeq


class Finished(NamedTuple):
    data: Path
    runs_dir: Path
    runs: dict[str, popeq.Run]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """Runs of random, prior, static-flat and static-best, seed 0, and of random with seed 1."""
    root = tmp_path_factory.mktemp("board")
    data = write_small_dataset(root / "data")
    names = ["random", "prior", "static-flat", "static-best"]
    runs = popeq.run(names, data, runs_dir=root / "runs", jobs=2)
    runs += popeq.run("random", data, seeds=1, runs_dir=root / "more")
    assert all(r.record.status == "complete" for r in runs)
    return Finished(data, root / "runs", dict(zip([*names, "random-1"], runs, strict=True)))
