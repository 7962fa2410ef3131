"""Contexts side by side, fed to a causal model a token at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from popeq_llm.phi3 import new_cache


class Stepping:
    """Rows of token ids, padded on the left, behind one cache.

    Parameters
    ----------
    contexts
        Token ids of each row.
    """

    def __init__(self, model: Any, contexts: Sequence[Sequence[int]]) -> None:
        rows, width = len(contexts), max(map(len, contexts))
        self._model, self._cache = model, new_cache(model)
        self._ids = torch.zeros((rows, width), dtype=torch.long)
        self._mask = torch.zeros((rows, width), dtype=torch.long)
        for r, context in enumerate(contexts):
            self._ids[r, width - len(context) :] = torch.tensor(list(context))
            self._mask[r, width - len(context) :] = 1
        self._positions = (self._mask.cumsum(dim=1) - 1).clamp(min=0)

    def logits(self) -> Tensor:
        """Of each row's next token (rows, vocabulary), float32 on the CPU. To be asked for once a token."""
        device = self._model.device
        out = self._model(
            self._ids.to(device),
            attention_mask=self._mask.to(device),
            position_ids=self._positions.to(device),
            past_key_values=self._cache,
            use_cache=True,
            logits_to_keep=1,
        )
        return out.logits[:, -1].float().cpu()  # type: ignore[no-any-return]

    def append(self, tokens: Sequence[int]) -> None:
        """Each row's next token; any, where a row has ended."""
        self._ids = torch.tensor(tokens, dtype=torch.long)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(self._ids)], dim=1)
        self._positions = self._positions[:, -1:] + 1
