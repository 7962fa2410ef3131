"""Free text from a causal model, many rows side by side, each from a noise stream of its own (Gumbel-max)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from popeq_llm.stepping import Stepping


@torch.inference_mode()
def free_samples(
    model: Any,
    contexts: Sequence[Sequence[int]],
    ends: Collection[int],
    most: int,
    vocabulary: int,
    seeds: Sequence[int],
) -> list[tuple[list[int], bool]]:
    """What each row goes on with, as token ids, and whether it came to an end within ``most`` tokens.

    Row i draws its noise from ``seeds[i]`` alone.

    Parameters
    ----------
    ends
        Tokens that end a text; they are not part of it.
    vocabulary
        Tokens that the tokenizer knows: models often have logits for more.
    """
    noise = [np.random.Generator(np.random.Philox(key=seed)) for seed in seeds]
    written: list[list[int]] = [[] for _ in contexts]
    ended = [False] * len(contexts)
    rows = Stepping(model, contexts)
    for _ in range(most):
        logits = rows.logits()[:, :vocabulary].double().numpy()
        chosen = [0] * len(contexts)
        for r in (r for r, over in enumerate(ended) if not over):
            chosen[r] = int(np.argmax(logits[r] + noise[r].gumbel(size=logits.shape[1])))
            ended[r] = chosen[r] in ends
            if not ended[r]:
                written[r].append(chosen[r])
        if all(ended):
            break
        rows.append(chosen)
    return list(zip(written, ended, strict=True))
