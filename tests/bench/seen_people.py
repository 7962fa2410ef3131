"""What it is worth to have seen the tested people: ``python -m tests.bench.seen_people SAFE_CSV [NAME...]``.

On the laboratory part of SAFE-DB, divided into panels of unseen people in several ways: how far predictors
are from a panel's answers if they were fitted on everybody's answers for the other tracks, and if they were
fitted on the other panel's. The answers that are tested are the same, so the two can be compared. Last, the
first kind of predictions on the people of a second laboratory (part C: its tracks are not recorded, so one
setting a listener and word is drawn).
"""

from __future__ import annotations

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

import popeq
from popeq.dataset import Dataset
from popeq.dataset_folder import write_dataset
from popeq.metrics import reflective_kantorovich
from popeq.seeding import generator
from popeq_data.importers.options import SafeOptions
from popeq_data.importers.people import unseen_people
from popeq_data.importers.plane import place
from popeq_data.importers.safe import import_safe
from popeq_data.importers.safe_listeners import clean, recover
from popeq_data.importers.safe_rows import curves, read_rows
from popeq_data.importers.source import Source


def settings_of_part_c(path: Path) -> dict[str, list[np.ndarray]]:
    """Settings of each listener of part C, (k, 2) each, by word."""
    cleaned, _ = clean(recover(read_rows(Source(path, "a SAFE-DB equaliser file"))))
    settings = [s for s in cleaned if s.part == "C"]
    points = place(curves([s.row for s in settings]), SafeOptions().scale).clipped
    by_word: dict[str, dict[str, list]] = defaultdict(lambda: defaultdict(list))
    for setting, point in zip(settings, points, strict=True):
        by_word[setting.row.word][setting.listener].append(point)
    return {w: [np.array(own) for own in people.values()] for w, people in by_word.items()}


def drawn(predictors: Sequence[str], dataset: Dataset, folder: Path) -> dict[str, np.ndarray]:
    """Samples of each predictor, seed 0."""
    runs = popeq.run(list(predictors), dataset, runs_dir=folder)
    return {run.record.predictor.name: run.samples(dataset.test_ids) for run in runs}


def means(samples: dict[str, np.ndarray], targets: Sequence[np.ndarray]) -> dict[str, float]:
    """Mean reflective Kantorovich distance of each predictor, dB."""
    return {
        name: float(np.mean([reflective_kantorovich(s, t) for s, t in zip(own, targets, strict=True)]))
        for name, own in samples.items()
    }


def measure(path: Path, predictors: Sequence[str], divisions: int, panels: int) -> pd.DataFrame:
    """Mean distance (dB) of each predictor in each condition, and its ``shift`` against ``prior``'s.

    ``divisions`` is how often people are divided into panels, ``panels`` how often a setting of each
    listener of the second laboratory is drawn.
    """
    names = list(dict.fromkeys(["prior", *predictors]))
    found: list[tuple[str, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        seen = write_dataset(import_safe(path, SafeOptions(salt="seen")).dataset, folder / "seen", "")
        samples = drawn(names, seen, folder / "runs")
        for division in range(divisions):
            unseen = write_dataset(
                unseen_people(seen, again=division).dataset, folder / f"unseen-{division}", ""
            )
            points = [unseen.points(p) for p in unseen.test_ids]
            places = [seen.test_ids.index(p.rpartition(".")[0]) for p in unseen.test_ids]
            same = {name: own[places] for name, own in samples.items()}
            found.append((f"division {division}: people seen", means(same, points)))
            found.append(
                (f"division {division}: people unseen", means(drawn(names, unseen, folder / "runs"), points))
            )
        second, rng = settings_of_part_c(path), generator("seen people", "second laboratory")
        words = [p.split("-")[1] for p in seen.test_ids]
        drawn_panels = [
            [np.stack([own[rng.integers(len(own))] for own in second[w]]) for w in words]
            for _ in range(panels)
        ]
        each = [means(samples, targets) for targets in drawn_panels]
        found.append(
            ("second laboratory", {name: float(np.mean([own[name] for own in each])) for name in names})
        )
    rows = [
        (condition, name, own[name], own[name] - own["prior"]) for condition, own in found for name in names
    ]
    return pd.DataFrame(rows, columns=["condition", "predictor", "mean_db", "shift"])


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("safe_csv", type=Path)
    parser.add_argument("predictors", nargs="*", default=["static-cloud", "knn"], metavar="NAME")
    parser.add_argument("--divisions", type=int, default=4)
    parser.add_argument("--panels", type=int, default=6)
    asked = parser.parse_args(argv)
    table = measure(asked.safe_csv, asked.predictors, asked.divisions, asked.panels)
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
