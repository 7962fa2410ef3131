"""How many leaks are flagged, and how many honest rows: the table of docs/boards.md.

``python -m tests.bench.leaks`` (minutes). Leaks are mixtures: a share of the samples are answers of the
tested listeners (exact, or with normal noise of so many dB), the rest is an honest predictor's. Honest are
the rows of the committed board, draws from the population that tested panels were drawn from, and ``prior``
and ``knn`` on real listeners if the published files are at hand (``--safe``, ``--socialeq``). The listeners
of simulated-120 are simulated.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import popeq
from popeq.board.leaks import ALPHA, _second_panel, copying_p
from popeq.board.scoring import Scorer
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.folder import find_runs, kept_to
from popeq_data.simulated_120.listeners import Panel, meanings, settings
from popeq_data.simulated_120.tables import read_sentences

Floats = NDArray[np.float64]

SHARES, NOISES_DB = (1.0, 0.5, 0.25, 0.1), (0.0, 0.05, 0.2)
PANELS, FIRST_SEED = 40, 9000
N = DEFAULT_PROTOCOL.n_samples


def leaked(honest: Floats, scorer: Scorer, share: float, noise_db: float, rng: np.random.Generator) -> Floats:
    """Samples (P, n, 2), dB, of which a share are answers of the tested listeners, with noise."""
    samples, space = honest.copy(), scorer.dataset.space
    count = round(share * honest.shape[1])
    for own, target in zip(samples, scorer.targets, strict=True):
        answers = target.responses[rng.integers(len(target.responses), size=count)]
        own[:count] = space.clip(answers + noise_db * rng.standard_normal((count, 2)))
    return kept_to(samples, 2, space)


def by_prior(scorer: Scorer, rng: np.random.Generator) -> Floats:
    """Draws from the training responses of each prompt's stage, (P, n, 2) dB."""
    pools = {p: scorer.dataset.pooled(s.train) for s in scorer.dataset.stages for p in s.test}
    return np.stack([pools[p][rng.integers(len(pools[p]), size=N)] for p in scorer.prompt_ids])


def panels(count: int = PANELS) -> Iterator[tuple[Scorer, Floats]]:
    """Tested panels of the simulated population, each with draws of a perfect predictor, (P, n, 2) dB."""
    data, sentences = popeq.load_dataset("simulated-120"), read_sentences()
    meant = meanings(sentences)
    points = np.stack([settings(meant, Panel("z", FIRST_SEED + i)) for i in range(PANELS)])
    place = {s.prompt_id: i for i, s in enumerate(sentences)}
    rng = np.random.default_rng(0)
    tested = data.responses["prompt_id"].isin(data.test_ids).to_numpy()
    for k in range(count):
        responses = data.responses.copy()
        for prompt_id in data.test_ids:
            rows = (responses["prompt_id"] == prompt_id).to_numpy()
            responses.loc[rows, ["x_db", "y_db"]] = points[k, place[prompt_id]]
        assert tested.sum() == 11 * len(data.test_ids)
        others = np.delete(points, k, axis=0)
        drawn = []
        for prompt_id in data.test_ids:
            crowd = others[:, place[prompt_id]].reshape(-1, 2)
            drawn.append(crowd[rng.integers(len(crowd), size=N)])
        yield Scorer(dataclasses.replace(data, responses=responses), DEFAULT_PROTOCOL), np.stack(drawn)


def panel_p(samples: Floats, scorer: Scorer) -> float:
    """p of the comparison with a second panel, as a board makes it; NaN where there is none."""
    second = _second_panel(scorer)
    return np.nan if second is None else second.p_value(samples, scorer.score(samples).scores(HEADLINE))


def row(name: str, scorer: Scorer, honest: Floats, repeats: int = 20) -> list[str]:
    """Table rows of a base's mixtures: the share flagged by copied points, and by the second panel."""
    rng = np.random.default_rng(1)
    rows = []
    for share in SHARES:
        for noise in NOISES_DB:
            draws = [leaked(honest, scorer, share, noise, rng) for _ in range(repeats)]
            copied = np.mean([copying_p(s, scorer) <= ALPHA for s in draws])
            p = np.array([panel_p(s, scorer) for s in draws[:5]])
            panel = "" if np.isnan(p).any() else f"{np.mean(p <= ALPHA):.0%}"
            rows.append(
                f"| {share:.0%} of the answers, the rest {name} | {noise:g} | {copied:.0%} | {panel} |"
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("leaderboard/results/simulated-120"))
    parser.add_argument("--safe", type=Path)
    parser.add_argument("--socialeq", type=Path)
    arguments = parser.parse_args()
    data = popeq.load_dataset("simulated-120")
    scorer = Scorer(data, DEFAULT_PROTOCOL)
    rng = np.random.default_rng(2)
    print("| row | noise, dB | flagged by copied points | flagged by the second panel |\n|---|---|---|---|")
    runs = [r for r in find_runs(arguments.results)[0] if r.record.protocol == DEFAULT_PROTOCOL]
    own = [r.samples(data.test_ids, data.space) for r in runs]
    copied = [copying_p(s, scorer) for s in own]
    apart = [panel_p(s, scorer) for s in own]
    print(
        f"| {len(runs)} honest runs of the committed board | | {np.mean(np.array(copied) <= ALPHA):.0%} "
        f"(least p {min(copied):.2g}) | {np.mean(np.array(apart) <= ALPHA):.0%} (least p {min(apart):.2g}) |",
        flush=True,
    )
    perfect = [copying_p(samples, tested) for tested, samples in panels()]
    print(
        f"| a perfect predictor on {len(perfect)} panels | | {np.mean(np.array(perfect) <= ALPHA):.0%} "
        f"(least p {min(perfect):.2g}) | |",
        flush=True,
    )
    knn = next(s for s, r in zip(own, runs, strict=True) if r.record.predictor.name == "knn")
    for name, honest in (("prior", by_prior(scorer, rng)), ("knn", knn)):
        print("\n".join(row(name, scorer, honest)), flush=True)
    for source in ("safe", "socialeq"):
        path = getattr(arguments, source)
        if path is not None:
            real(source, path, rng)


def real(source: str, path: Path, rng: np.random.Generator) -> None:
    """Rows of real listeners: honest ``prior`` and ``knn``, and leaks mixed with each."""
    from popeq.cli import popeq as command_line

    with tempfile.TemporaryDirectory() as folder:
        command_line(["data", "import", source, str(path), "-o", f"{folder}/set"], standalone_mode=False)
        scorer = Scorer(popeq.load_dataset(f"{folder}/set"), DEFAULT_PROTOCOL)
        (run,) = popeq.run("knn", f"{folder}/set", runs_dir=f"{folder}/runs")
        honest = {
            "prior": by_prior(scorer, rng),
            "knn": run.samples(scorer.dataset.test_ids, scorer.dataset.space),
        }
        for name, samples in honest.items():
            print(f"| honest {name} on {source} | | p {copying_p(samples, scorer):.2g} | |", flush=True)
            print("\n".join(row(f"{name} on {source}", scorer, samples)), flush=True)


if __name__ == "__main__":
    main()
