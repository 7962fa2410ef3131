"""How far a model's exact distribution of settings moves with its precision, and with the form of its file.

``python -m tests.bench.precision [MODEL] [--prompts 4]``: a GGUF file or packaged model is compared with the
folder converted from it, both in float32, and with itself in bfloat16, on zero-shot prompts of simulated-120
(simulated). W1 (dB) is that of each axis' own distribution, the larger of the two.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import numpy as np
import torch
from scipy.stats import wasserstein_distance

import popeq
from popeq_llm.gguf import converted
from popeq_llm.known import DEFAULT_MODEL
from popeq_llm.local import LocalModel
from popeq_llm.templates import load_template
from popeq_llm.weights import place_of

TENTHS = np.arange(-60, 61) / 10


def axis_distance(one: np.ndarray, other: np.ndarray) -> float:
    """The larger W1, dB, of the two axes' marginal distributions of (121, 121) probabilities."""
    return max(wasserstein_distance(TENTHS, TENTHS, one.sum(a), other.sum(a)) for a in (0, 1))


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default=DEFAULT_MODEL)
    parser.add_argument("--prompts", type=int, default=4)
    given = parser.parse_args(argv)
    data = popeq.load_dataset("simulated-120")
    chats = [load_template("zero").chat(p.text) for p in data.unlabelled(data.test_ids)[: given.prompts]]
    file = place_of(given.model).path
    assert file is not None
    ways = [(given.model, "float32"), (str(converted(file, torch.float32).folder), "float32")]
    laws = []
    for name, dtype in [*ways, (given.model, "bfloat16")]:
        model = LocalModel(name, device="cpu", dtype=dtype, decode="exact")
        laws.append([law.probability.reshape(121, 121) for law in model.exact(chats)])
    for what, other in zip(("the converted folder", "bfloat16"), laws[1:], strict=True):
        largest = max(np.abs(a - b).max() for a, b in zip(laws[0], other, strict=True))
        variation = [0.5 * np.abs(a - b).sum() for a, b in zip(laws[0], other, strict=True)]
        moved = [axis_distance(a, b) for a, b in zip(laws[0], other, strict=True)]
        print(
            f"{given.model}, float32 and {what}: largest difference of a probability {largest:.2g},",
            f"total variation {np.mean(variation):.2g},",
            f"W1 of an axis {np.mean(moved):.2g} dB, at most {max(moved):.2g}",
        )


if __name__ == "__main__":
    main()
