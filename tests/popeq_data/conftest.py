"""Public listening data where it lies beside the checkout, and small files of the same layouts."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def _shared(name: str) -> Path:
    path = SHARED / name
    if not path.is_file():
        pytest.skip(f"the public file {name} is not beside the checkout (shared/data)")
    return path


@pytest.fixture(scope="session")
def safe_csv() -> Path:
    """The real SAFE-DB file, as it is beside the checkout."""
    return _shared("safe/SAFEEqualiserUserData.csv")


@pytest.fixture(scope="session")
def socialeq_csv() -> Path:
    """The real SocialEQ file, as it is beside the checkout."""
    return _shared("socialeq/eq_contributions.csv")


@pytest.fixture
def safe_row() -> Callable[..., list[str]]:
    """Build one SAFE-DB row; ``gain`` sets the high shelf, the other bands are flat."""

    def build(
        row_id: int,
        word: str,
        address: str = "192.0.2.1",
        gain: float = 6.0,
        genre: str = "",
        instrument: str = "",
        personal: Sequence[str] = ("", "", "", "", ""),
    ) -> list[str]:
        peaks = ["0", "500", "0.71", "0", "1000", "0.71", "0", "3300", "0.71"]
        knobs = ["0", "150", *peaks, f"{gain:g}", "5000"]
        return [str(row_id), word, address, "2", "2", *knobs, genre, instrument, *personal]

    return build


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., Path]:
    """Write rows to a CSV file."""

    def write(rows: Sequence[Sequence[object]], name: str = "rows.csv") -> Path:
        path = tmp_path / name
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(rows)
        return path

    return write


@pytest.fixture(scope="session")
def panel_distance() -> Callable[..., float]:
    """Mean exact W1 between ``size`` points of each of two clouds, drawn 200 times by a fixed seed.

    ``disjoint`` is for two clouds of the same listeners in the same order: nobody is in both panels.
    """

    def distance(
        pairs: Sequence[tuple[NDArray, NDArray]], size: int = 11, disjoint: bool = False, draws: int = 200
    ) -> float:
        rng = np.random.default_rng(20_240)
        values = []
        for _ in range(draws):
            a, b = pairs[rng.integers(len(pairs))]
            first = rng.permutation(len(a))
            second = first[size:] if disjoint else rng.permutation(len(b))
            cost = cdist(a[first[:size]], b[second[:size]])
            values.append(cost[linear_sum_assignment(cost)].mean())
        return float(np.mean(values))

    return distance
