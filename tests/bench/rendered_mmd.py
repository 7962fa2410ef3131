"""What ``rendered_mmd`` can find in simulated studies whose truth is known, and how it orders boards.

Each form prints a table of docs/scores.md (Rendered MMD):

- ``python -m tests.bench.rendered_mmd unbiased``: the mean where both sides are panels of one population.
- ``python -m tests.bench.rendered_mmd scales``: how far the features vary over the box.
- ``python -m tests.bench.rendered_mmd power`` (20 minutes on one core): how often a board's paired test finds
  that one of two predictors is moved, by the headline and by ``rendered_mmd``.
- ``python -m tests.bench.rendered_mmd widths``: the same for other widths of its kernel.
- ``python -m tests.bench.rendered_mmd boards RUNS... -o PICTURE``: the column on boards, and its rank
  correlation with the headline; the picture has a point for each row.

Everybody but on boards of real listeners is simulated (tests/bench/worlds.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
from scipy.stats import kendalltau, spearmanr

from popeq.board.leaderboard import Leaderboard, build
from popeq.board.rendered import RENDERED, with_rendered
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.metrics.rendered import (
    FEATURE_SCALES,
    REFERENCE_SIGNALS,
    FeatureTarget,
    mean_kernel,
    rendered_features,
)
from popeq.space import PLANE, Space
from popeq.statistics import Panels, mean_inference
from popeq.studies.study import Study
from tests.bench.worlds import World, headline_scored, study

#: Directions of a move in degrees: 0 is more smile, 90 more tilt.
ANGLES = (0, 45, 90, 135)
#: Factors on the kernel's width; 1 is that of ``rendered_mmd``.
WIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)
CURVES = ("orthogonal", "beosonic", "shelves:300:3000")
POPULATION = 2000
Scored = tuple[np.ndarray, np.ndarray]


def move_of(distance: float, angle: float) -> tuple[float, float]:
    """A move (smile, tilt) in dB."""
    return distance * np.cos(np.radians(angle)), distance * np.sin(np.radians(angle))


def rendered_scored(  # type: ignore[no-untyped-def]
    world: World, move, samples: int, rng: np.random.Generator, widths: Sequence[float] = (1.0,)
) -> dict[float, Scored]:
    """``rendered_mmd`` of a predictor that draws from each prompt's population and moves it by ``move`` dB:
    for each width values (P,) and influences (P, m)."""
    found: dict[float, list] = {width: [] for width in widths}  # type: ignore[type-arg]
    for crowd, answers in zip(world.population, world.answers, strict=True):
        drawn = PLANE.clip(crowd[rng.integers(len(crowd), size=samples)] + np.asarray(move))
        x, y = rendered_features(drawn), rendered_features(answers)
        for width, own in found.items():
            own.append(FeatureTarget(y / width).score_of(x / width, mean_kernel(x / width)))
    return {
        width: (np.array([s.value for s in own]), np.array([s.influence for s in own]))
        for width, own in found.items()
    }


def rejects(a: Scored, b: Scored, panels: Panels) -> bool:
    """Whether a board's paired test says at 5 % that b is worse than a."""
    estimate = mean_inference(b[0] - a[0], list(b[1] - a[1]), panels)
    return estimate.p_value < 0.05 and estimate.value > 0.0


def same_population(seed: int, people: int, others: int) -> float:
    """Mean ``rendered_mmd`` over 30 prompts of one group of people against another one, without overlap."""
    rng = np.random.default_rng([seed, people, others])
    world = study(30, rng, shared=True, people=people, population=others)
    pairs = zip(world.population, world.answers, strict=True)
    features = [(rendered_features(x), rendered_features(y)) for x, y in pairs]
    return float(np.mean([FeatureTarget(y).score_of(x, mean_kernel(x)).value for x, y in features]))


def unbiased(studies: int, jobs: int) -> list[str]:
    """Mean over studies for panels of several sizes, with its standard error."""
    lines = ["| people against | other people | studies | mean | standard error | mean / standard error |"]
    lines.append("|---" * 6 + "|")
    for people, others in ((2, 2), (5, 11), (11, 11), (11, 660)):
        found = joblib.Parallel(n_jobs=jobs)(
            joblib.delayed(same_population)(seed, people, others) for seed in range(studies)
        )
        mean, se = np.mean(found), np.std(found, ddof=1) / np.sqrt(studies)
        lines.append(f"| {people} | {others} | {studies} | {mean:.5f} | {se:.5f} | {mean / se:.2f} |")
    return lines


def scales() -> list[str]:
    """Standard deviations of the features over an even lattice of the paper's box, before they are scaled."""
    lattice = np.stack(np.meshgrid(*[np.linspace(-6.0, 6.0, 25)] * 2), axis=-1).reshape(-1, 2)
    unit = np.tile(list(FEATURE_SCALES.values()), len(REFERENCE_SIGNALS))
    lines = ["| " + " | ".join(["curves", "signal", *FEATURE_SCALES]) + " |"]
    lines.append("|---" * (2 + len(FEATURE_SCALES)) + "|")
    for curves in CURVES:
        deviations = (rendered_features(lattice, Space(curves=curves)) * unit).std(axis=0)
        for signal, own in zip(
            REFERENCE_SIGNALS, deviations.reshape(len(REFERENCE_SIGNALS), -1), strict=True
        ):
            lines.append("| " + " | ".join([f"`{curves}`", signal, *(f"{v:.2f}" for v in own)]) + " |")
    return lines


def power_once(seed: int, prompts: int, distances: Sequence[float], samples: int) -> dict:  # type: ignore[type-arg]
    """Whether each test finds each move in one study: (score, distance, angle) -> found."""
    rng = np.random.default_rng([seed, prompts])
    world = study(prompts, rng, shared=True, population=POPULATION)
    panels = Panels(world.listeners)
    still = (0.0, 0.0)
    a = {HEADLINE: headline_scored(world, still, samples, rng)}
    a[RENDERED] = rendered_scored(world, still, samples, rng)[1.0]
    found = {}
    for distance in (0.0, *distances):
        for angle in ANGLES if distance else ANGLES[:1]:
            move = move_of(distance, angle)
            b = {HEADLINE: headline_scored(world, move, samples, rng)}
            b[RENDERED] = rendered_scored(world, move, samples, rng)[1.0]
            found |= {(name, distance, angle): rejects(a[name], b[name], panels) for name in a}
    return found


def power(
    studies: int, jobs: int, prompts: Sequence[int], distances: Sequence[float], samples: int
) -> list[str]:
    """Share of studies in which each test finds a move, by distance and direction."""
    heads = [f"{angle} degrees" for angle in ANGLES]
    lines = ["| " + " | ".join(["prompts", "studies", "move", "score", *heads]) + " |"]
    lines.append("|---" * (4 + len(heads)) + "|")
    for count in prompts:
        every = joblib.Parallel(n_jobs=jobs)(
            joblib.delayed(power_once)(seed, count, distances, samples) for seed in range(studies)
        )
        for distance in (0.0, *distances):
            for name in (HEADLINE, RENDERED):
                angles = ANGLES if distance else ANGLES[:1]
                cells = [f"{np.mean([own[name, distance, angle] for own in every]):.0%}" for angle in angles]
                cells += [""] * (len(ANGLES) - len(cells))
                row = [str(count), str(studies), f"{distance:g} dB", f"`{name}`", *cells]
                lines.append("| " + " | ".join(row) + " |")
    return lines


def widths_once(seed: int, prompts: int, distance: float, samples: int) -> dict:  # type: ignore[type-arg]
    """Whether each width finds a move in each direction in one study: (width, angle) -> found."""
    rng = np.random.default_rng([seed, prompts, 7])
    world = study(prompts, rng, shared=True, population=POPULATION)
    panels = Panels(world.listeners)
    a = rendered_scored(world, (0.0, 0.0), samples, rng, WIDTHS)
    found = {}
    for angle in ANGLES:
        b = rendered_scored(world, move_of(distance, angle), samples, rng, WIDTHS)
        found |= {(width, angle): rejects(a[width], b[width], panels) for width in WIDTHS}
    return found


def widths(studies: int, jobs: int, prompts: int, distance: float, samples: int) -> list[str]:
    """Share of studies in which ``rendered_mmd`` finds a move, by the kernel's width."""
    every = joblib.Parallel(n_jobs=jobs)(
        joblib.delayed(widths_once)(seed, prompts, distance, samples) for seed in range(studies)
    )
    lines = ["| " + " | ".join(["width", *(f"{angle} degrees" for angle in ANGLES), "mean"]) + " |"]
    lines.append("|---" * (2 + len(ANGLES)) + "|")
    for width in WIDTHS:
        shares = [np.mean([own[width, angle] for own in every]) for angle in ANGLES]
        lines.append(f"| {width:g} | " + " | ".join(f"{s:.0%}" for s in (*shares, np.mean(shares))) + " |")
    return lines


def board_of(runs: Path, jobs: int) -> Leaderboard:
    """The board of a folder of runs with the column, without the reference lines that are estimated."""
    scorer, entries, notes = entries_of([runs], jobs=jobs)
    return build(with_rendered(entries, scorer, jobs=jobs), scorer, notes, lines=[])


def means(board: Leaderboard, name: str) -> np.ndarray:
    """The mean of a score of each row."""
    return np.array([entry.table.scores(name).mean() for entry in board.entries])


def boards(found: dict[str, Leaderboard]) -> list[str]:
    """Rows with both scores, and the rank correlation of each board."""
    lines = ["| board | rows | Spearman | Kendall | first by the headline | first by rendered_mmd |"]
    lines.append("|---" * 6 + "|")
    for name, board in found.items():
        one, other = means(board, HEADLINE), means(board, RENDERED)
        labels = [entry.label for entry in board.entries]
        figures = f"{spearmanr(one, other).statistic:.2f} | {kendalltau(one, other).statistic:.2f}"
        first, second = labels[int(one.argmin())], labels[int(other.argmin())]
        lines.append(f"| {name} | {len(labels)} | {figures} | {first} | {second} |")
    return lines


def scatter(found: dict[str, Leaderboard]) -> Study:
    """A point for each row: the headline against ``rendered_mmd``, with their intervals."""

    def draw(axes) -> None:  # type: ignore[no-untyped-def]
        for marker, (name, board) in zip("os^D", found.items(), strict=False):
            table = board.table.head(len(board.entries))
            x, y = table[f"{HEADLINE}_mean"].to_numpy(), table[f"{RENDERED}_mean"].to_numpy()
            ends = table[f"{RENDERED}_mean_low"].to_numpy(), table[f"{RENDERED}_mean_high"].to_numpy()
            reach = [y - ends[0], ends[1] - y]
            axes.errorbar(x, y, reach, fmt=marker, ms=4, lw=0.6, alpha=0.8, label=name)
        axes.axhline(0.0, color="0.6", lw=0.8)
        axes.set_xlabel(f"{HEADLINE}, mean over prompts, dB")
        axes.set_ylabel(f"{RENDERED}, mean over prompts, no unit")

    title = "Both scores of every row; lower is better on both axes"
    return Study(title, next(iter(found.values())).table, (), draw)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("form", choices=["unbiased", "scales", "power", "widths", "boards"])
    parser.add_argument("runs", nargs="*", type=Path, help="folders of runs, for boards")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--prompts", type=int, nargs="+", default=[30, 120])
    parser.add_argument("--distances", type=float, nargs="+", default=[0.5, 1.0], help="moves, dB")
    parser.add_argument("--samples", type=int, default=660)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="the picture, for boards")
    given = parser.parse_args(argv)
    if given.form == "boards":
        made = [board_of(folder, given.jobs) for folder in given.runs]
        found = {str(board.table["dataset"].iloc[0]): board for board in made}
        print("\n".join(boards(found)))
        if given.output:
            scatter(found).picture(given.output)
    elif given.form == "scales":
        print("\n".join(scales()))
    elif given.form == "unbiased":
        print("\n".join(unbiased(given.studies, given.jobs)))
    elif given.form == "power":
        print("\n".join(power(given.studies, given.jobs, given.prompts, given.distances, given.samples)))
    else:
        prompts, distance = given.prompts[0], given.distances[0]
        print("\n".join(widths(given.studies, given.jobs, prompts, distance, given.samples)))


if __name__ == "__main__":
    main()
