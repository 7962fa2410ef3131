"""How often the regression gate is wrong, by simulation on simulated-120: the table of docs/regression.md.

``python -m tests.bench.regression_margin`` (some minutes). A method is a draw from the simulated population
of each prompt, moved by an error of so many dB; losses come from larger errors. *Same errors*: the error of a
prompt points the same way on both sides, as after a small change of one method; *other errors*: the ways are
drawn anew, as between two methods that are equally good. All listeners are simulated.
"""

from __future__ import annotations

import argparse

import numpy as np

import popeq
from popeq.board.regression import judge
from popeq.metrics import HEADLINE, DensitySettings, Target
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.space import PLANE
from popeq_data.simulated_120.listeners import Panel, meanings, settings
from popeq_data.simulated_120.tables import read_sentences

ERRORS_DB = np.array([1.0, 1.5, 2.0, 2.5, 3.0, 3.5])
BASE = 1
PANELS, FIRST_SEED = 40, 9000


def populations() -> dict[str, np.ndarray]:
    """Settings of many simulated listeners for each prompt, (440, 2) dB."""
    sentences = read_sentences()
    meant = meanings(sentences)
    panels = [settings(meant, Panel("z", FIRST_SEED + i)) for i in range(PANELS)]
    points = np.concatenate(panels, axis=1)
    return {s.prompt_id: points[i] for i, s in enumerate(sentences)}


def bank(draws: int, *, same_errors: bool, seed: int) -> np.ndarray:
    """Headline scores (prompts, errors, draws), dB."""
    rng = np.random.default_rng(seed)
    data, people = popeq.load_dataset("simulated-120"), populations()
    density = DensitySettings(DEFAULT_PROTOCOL.grid_cells, DEFAULT_PROTOCOL.bandwidth_floor)
    scores = np.empty((len(data.test_ids), len(ERRORS_DB), draws))
    for i, prompt_id in enumerate(data.test_ids):
        target = Target(data.points(prompt_id), data.space, density)
        own = rng.uniform(0, 2 * np.pi)
        for j, error in enumerate(ERRORS_DB):
            for k in range(draws):
                angle = own if same_errors else rng.uniform(0, 2 * np.pi)
                moved = error * np.array([np.cos(angle), np.sin(angle)])
                drawn = rng.choice(people[prompt_id], DEFAULT_PROTOCOL.n_samples)
                scores[i, j, k] = target.score(PLANE.clip(drawn + moved)).values[HEADLINE]
    return scores


def pairs(scores: np.ndarray, loss: float, n: int, worlds: int, rng: np.random.Generator) -> np.ndarray:
    """Differences (worlds, n), head minus base; the head mixes two errors, for a mean loss of ``loss``."""
    level = scores.mean(axis=(0, 2))
    wanted = level[BASE] + loss
    upper = int(np.searchsorted(level, wanted, side="right"))
    upper = min(max(upper, BASE + 1), len(level) - 1)
    share = (wanted - level[upper - 1]) / (level[upper] - level[upper - 1])
    draws = scores.shape[2]
    own = np.arange(scores.shape[0])
    if n <= len(own):
        prompts = np.array([rng.permutation(own)[:n] for _ in range(worlds)])
    else:
        prompts = np.concatenate([np.tile(own, (worlds, n // len(own)))], axis=1)
    error = np.where(rng.random((worlds, n)) < share, upper, upper - 1)
    k = rng.integers(draws, size=(worlds, n))
    other = (k + rng.integers(1, draws, size=(worlds, n))) % draws  # never the very same draw twice
    return scores[prompts, error, k] - scores[prompts, BASE, other]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=40)
    parser.add_argument("--worlds", type=int, default=2000)
    arguments = parser.parse_args()
    print("| errors | prompts | margin | SD, dB | false alarms | passes | found at 2 margins | passes then |")
    print("|---|---|---|---|---|---|---|---|")
    for same in (True, False):
        scores = bank(arguments.draws, same_errors=same, seed=1)
        rng = np.random.default_rng(2)
        for n in (10, 20, 30, 60, 120):
            for margin in (0.1, 0.15, 0.2, 0.25, 0.3, 0.4):
                equal = pairs(scores, 0.0, n, arguments.worlds, rng)
                worse = pairs(scores, 2 * margin, n, arguments.worlds, rng)
                at_none, at_loss = (
                    [judge(d, margin)[0] for d in differences] for differences in (equal, worse)
                )
                cells = [
                    "same" if same else "other",
                    n,
                    f"{margin:g}",
                    f"{equal.std():.2f}",
                    *(f"{at_none.count(v) / len(at_none):.1%}" for v in ("regressed", "pass")),
                    *(f"{at_loss.count(v) / len(at_loss):.1%}" for v in ("regressed", "pass")),
                ]
                print("| " + " | ".join(map(str, cells)) + " |", flush=True)


if __name__ == "__main__":
    main()
