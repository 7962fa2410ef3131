"""What a pair of curves keeps of real settings, and whether boards depend on it.

``python -m tests.bench.curves`` (some minutes) reads the public files of SAFE and SocialEQ from
``../shared/data`` and prints the tables of docs/curves.md: for each pair the share of the settings' variance
that it keeps and the share that the box clips; then the shifts of predictors against the training responses
under each pair, and the rank correlation of their order with that under the first pair.

A shelf has to be turned further than P2 or P1 for a curve as strong, so one scale clips more with shelves.
Shifts are therefore also given at the scale that clips as much as the first pair does.
"""

from __future__ import annotations

import argparse
import tempfile
from bisect import bisect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau
from tabulate import tabulate

from popeq.board.differences import difference_cells
from popeq.board.reference_lines import training_responses
from popeq.board.scoring import Scorer
from popeq.dataset import Dataset
from popeq.dataset_folder import write_dataset
from popeq.in_process import new_predictor
from popeq.metrics import HEADLINE
from popeq.plugins import registry
from popeq.protocol import Protocol
from popeq.seeding import generator
from popeq.space import Space
from popeq.typing import Floats
from popeq_data.importers.options import SafeOptions, SocialEqOptions
from popeq_data.importers.plane import Placement, place
from popeq_data.importers.safe import import_safe
from popeq_data.importers.safe_listeners import clean, recover
from popeq_data.importers.safe_rows import curves, read_rows
from popeq_data.importers.socialeq import import_socialeq
from popeq_data.importers.socialeq_rows import read_csv
from popeq_data.importers.source import Source

DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data"
PAIRS = ("orthogonal", "beosonic", "shelves:300:3000")
PREDICTORS = ("random", "prior", "static-cloud", "knn", "kernel-mixture")
LOW_HZ = (50, 100, 150, 200, 300, 400, 600)
HIGH_HZ = (700, 1000, 1500, 2000, 3000, 4000, 6000, 10_000)
#: Curves on which the search compares pairs.
_TRIED = 200


@dataclass(frozen=True, eq=False)
class Settings:
    """Real settings: ``curves_db`` (n, 256) at ``GRID_HZ`` as they are in the file, the importer's ``scale``,
    and its data set under a pair of curves at any scale."""

    name: str
    curves_db: Floats
    scale: float
    data: Callable[[str, float], Dataset]

    def placed(self, pair: str, scale: float | None = None) -> Placement:
        return place(self.curves_db, scale or self.scale, Space(curves=pair))


def safe(path: Path) -> Settings:
    """SAFE-DB: the curves of all cleaned settings, and the data set of its laboratory."""
    kept, _ = clean(recover(read_rows(Source(path, "a SAFE-DB equaliser file"))))

    def data(pair: str, scale: float) -> Dataset:
        return import_safe(path, SafeOptions(curves=pair, scale=scale, salt="study of curves")).dataset

    return Settings("SAFE", curves([s.row for s in kept]), SafeOptions().scale, data)


def socialeq(path: Path) -> Settings:
    """SocialEQ: the curves of all contributions, and the data set of the common English words."""
    rows = read_csv(Source(path, "a SocialEQ contributions file"))

    def data(pair: str, scale: float) -> Dataset:
        return import_socialeq(path, SocialEqOptions(curves=pair, db_per_unit=scale)).dataset

    return Settings("SocialEQ", np.stack([r.curve for r in rows]), SocialEqOptions().db_per_unit, data)


def best_shelves(settings: Settings, low_hz: Sequence[int], high_hz: Sequence[int]) -> str:
    """The pair of shelves that keeps most of the settings' variance, of those with these corners."""
    few = replace(settings, curves_db=settings.curves_db[:: -(-len(settings.curves_db) // _TRIED)])
    pairs = [f"shelves:{low}:{high}" for low, high in product(low_hz, high_hz) if low < high]
    return max(pairs, key=lambda pair: few.placed(pair).variance_explained)


def most_there_is(settings: Settings) -> float:
    """Share of the variance that the best two curves of all keep: the first two principal components of the
    curves without their level."""
    level = settings.curves_db.mean(axis=1, keepdims=True)
    squares = np.linalg.svd(settings.curves_db - level, compute_uv=False) ** 2
    return float(squares[:2].sum() / squares.sum())


def matched_scale(settings: Settings, pair: str, share: float) -> float:
    """The largest scale, up to the importer's and to 1 % of it, that clips no larger ``share``."""
    if settings.placed(pair).share_clipped <= share:
        return settings.scale
    scales = settings.scale * np.arange(1, 100) / 100
    fits = bisect(scales, False, key=lambda s: settings.placed(pair, s).share_clipped > share)
    return float(scales[max(fits - 1, 0)])


def shifts(dataset: Dataset, predictors: Sequence[str], samples: int) -> tuple[float, list[dict[str, float]]]:
    """The mean score of the training responses, and for each predictor, seed 0, the shift against it, dB."""
    scorer = Scorer(dataset, Protocol(n_samples=samples))
    reference = training_responses(scorer)
    cells = []
    for name in predictors:
        spec = registry().predictors[name]
        drawn: dict[str, Floats] = {}
        for stage in dataset.stages:
            predictor = new_predictor(spec, spec.parameters(), dataset.space)
            train, validation = dataset.labelled(stage.train), dataset.labelled(stage.validation)
            predictor.fit(train, validation, generator(0, name, "fit", stage.name))
            rngs = [generator(0, name, "sample", prompt_id) for prompt_id in stage.test]
            found = predictor.sample(dataset.unlabelled(stage.test), samples, rngs)
            drawn |= dict(zip(stage.test, found, strict=True))
        table = scorer.score(np.stack([drawn[p] for p in scorer.prompt_ids]))
        cells.append(difference_cells(table, reference, HEADLINE, scorer.panels))
    return float(reference.scores[HEADLINE].mean()), cells


def kept_table(settings: Settings, matched: Mapping[str, float], best: str) -> str:
    """What each pair keeps and clips; ``matched`` has the scale of each that clips alike."""
    rows = []
    for pair, scale in matched.items():
        placed = settings.placed(pair)
        name = f"{pair} (best of the search)" if pair == best else pair
        kept, clipped = placed.variance_explained, placed.share_clipped
        rows.append([settings.name, name, f"{kept:.1%}", f"{clipped:.1%}", f"{scale:g}"])
    rows.append([settings.name, "two principal components", f"{most_there_is(settings):.1%}", "", ""])
    names = ["settings", "pair", "variance kept", f"clipped at {settings.scale:g}", "scale that clips alike"]
    return tabulate(rows, names, tablefmt="github", disable_numparse=True)


def order_table(
    settings: Settings, matched: Mapping[str, float], predictors: Sequence[str], samples: int, folder: Path
) -> str:
    """Shifts of the predictors under each pair, at the importer's scale and at the one that clips alike."""
    rows: list[list[str]] = []
    first: list[float] = []
    tried = [(pair, s) for pair, own in matched.items() for s in dict.fromkeys((settings.scale, own))]
    for i, (pair, scale) in enumerate(tried):
        data = write_dataset(settings.data(pair, scale), folder / f"{settings.name}-{i}", "")
        reference, cells = shifts(data, predictors, samples)
        found = [own["shift"] for own in cells]
        first = first or found
        tau = kendalltau(found, first).statistic
        shown = [f"{c['shift']:+.2f} [{c['shift_low']:+.2f}, {c['shift_high']:+.2f}]" for c in cells]
        rows.append([data.name, pair, f"{scale:g}", f"{reference:.2f}", *shown, f"{tau:.2f}"])
    names = ["data set", "pair", "scale", "reference", *predictors, "tau"]
    return tabulate(rows, names, tablefmt="github", disable_numparse=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--safe", type=Path, default=DATA / "safe" / "SAFEEqualiserUserData.csv")
    parser.add_argument("--socialeq", type=Path, default=DATA / "socialeq" / "eq_contributions.csv")
    parser.add_argument(
        "--pairs", nargs="+", default=PAIRS, metavar="PAIR", help="the first is compared with"
    )
    parser.add_argument("--predictors", nargs="+", default=PREDICTORS, metavar="NAME")
    parser.add_argument("--low-hz", nargs="+", type=int, default=LOW_HZ, help="corners of the search")
    parser.add_argument("--high-hz", nargs="+", type=int, default=HIGH_HZ)
    parser.add_argument("--samples", type=int, default=Protocol().n_samples)
    asked = parser.parse_args(argv)
    for settings in (safe(asked.safe), socialeq(asked.socialeq)):
        best = best_shelves(settings, asked.low_hz, asked.high_hz)
        usual = settings.placed(asked.pairs[0]).share_clipped
        matched = {pair: matched_scale(settings, pair, usual) for pair in (*asked.pairs, best)}
        print(kept_table(settings, matched, best), end="\n\n", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            table = order_table(settings, matched, asked.predictors, asked.samples, Path(folder))
        print(table, end="\n\n", flush=True)


if __name__ == "__main__":
    main()
