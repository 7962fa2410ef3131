"""A model's last step, from states to logits, where and for the tokens that are wanted alone."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class Head:
    """Runs a causal model in two steps, states and logits.

    Parameters
    ----------
    plain
        As ``has_plain_head`` tells of the model. If it has none, its states are its logits themselves.
    vocabulary : (T,)
        The tokens whose logits are wanted, in this order; all V of them if None.
    """

    def __init__(self, model: Any, plain: bool, vocabulary: Tensor | None = None) -> None:
        self._model = model
        self._plain = plain
        self._vocabulary = slice(None) if vocabulary is None else vocabulary.to(model.device)
        if plain:
            head = model.get_output_embeddings()
            self._weight = head.weight[self._vocabulary]
            self._bias = None if head.bias is None else head.bias[self._vocabulary]

    def states(self, ids: Tensor, **options: Any) -> Tensor:
        """What ``logits`` needs of each slot, (rows, S, width); ``options`` as of the model's forward."""
        if self._plain:
            states: Tensor = self._model.base_model(ids, **options).last_hidden_state
            return states
        logits: Tensor = self._model(ids, **options).logits
        return logits[..., self._vocabulary]

    def logits(self, states: Tensor) -> Tensor:
        """Logits of the wanted tokens, float32."""
        if self._plain:
            states = nn.functional.linear(states, self._weight, self._bias)
        return states.float()


@torch.inference_mode()
def has_plain_head(model: Any) -> bool:
    """Whether the model's logits are a linear map of its last states and nothing more (no cap, no scale)."""
    ids = torch.arange(1, 9, device=model.device)[None]
    seen: list[Tensor] = []
    try:
        head = model.get_output_embeddings()
        hook = head.register_forward_hook(lambda _, given, out: seen.extend((given[0], out)))
        try:
            logits = model(ids, use_cache=False).logits
        finally:
            hook.remove()
        states = model.base_model(ids, use_cache=False).last_hidden_state
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return False
    return (
        type(head) is nn.Linear
        and len(seen) == 2
        and torch.equal(seen[1], logits.to(seen[1].dtype))
        and torch.allclose(seen[0], states, rtol=1e-3, atol=1e-5)
    )
