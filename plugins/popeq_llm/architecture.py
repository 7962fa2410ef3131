"""What differs between kinds of causal models: which tokens a layer attends to, cache, length of context."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from popeq.errors import UsageError

#: Rotary positions whose angles change for the whole sequence once it is longer than they were trained for.
_BY_LENGTH = ("longrope", "dynamic")


def text_config(model: Any) -> Any:
    """The config of the language model, which is nested in that of a multimodal ``model``."""
    return model.config.get_text_config()


def new_cache() -> Any:
    """An empty cache for ``past_key_values`` that keeps every token, also in layers with a window."""
    from transformers import DynamicCache  # slow to import

    return DynamicCache()


def _heterogeneous(config: Any) -> bool:
    """Whether layers differ in size, so that each has a config of its own."""
    return bool(getattr(config, "is_heterogeneous", False))


def values_per_token(model: Any) -> int:
    """Numbers that a model's cache holds for each token. For a model with a state in place of keys and values
    it is about what computing the state takes."""
    config, total = text_config(model), 0
    for layer in config.per_layer_config if _heterogeneous(config) else [config] * config.num_hidden_layers:
        heads = getattr(layer, "num_attention_heads", None) or 1
        kept = getattr(layer, "num_key_value_heads", None) or heads
        total += 2 * kept * (getattr(layer, "head_dim", None) or layer.hidden_size // heads)
    return total


def attention_windows(model: Any) -> dict[str, int | None] | None:
    """How many tokens each type of layer attends to, itself included; None for all before it.

    Without a dictionary, some layer does something else: it has a recurrent state, chunks, windows of
    different lengths, or local attention that the model itself masks.
    """
    config = text_config(model)
    window = getattr(config, "sliding_window", None)
    types = getattr(config, "layer_types", None)
    if types is None:
        types = ["full_attention" if window is None else "sliding_attention"]
        if getattr(config, "attention_chunk_size", None):
            types = ["chunked_attention"]
        if "local" in getattr(config, "attention_layers", ()):
            types = ["local"]
    known = {"full_attention": None, "sliding_attention": window}
    layers = config.per_layer_config if _heterogeneous(config) else []
    if not known.keys() >= set(types) or any(layer.sliding_window != window for layer in layers):
        return None
    return {kind: known[kind] for kind in dict.fromkeys(types)}


def additive_masks(
    model: Any, visible: Tensor, positions: Tensor, key_positions: Tensor
) -> Tensor | dict[str, Tensor]:
    """What is added to attention scores, (rows, 1, S, K): 0 where a token may look, else the lowest number.

    A layer with a window sees no farther than that, counted in positions, not in slots.

    Parameters
    ----------
    visible
        (rows, S, K) bool: which slots each token may look at, whatever the distance.
    positions, key_positions
        (rows, S) and (rows, K): the positions of tokens and slots in their sequences.

    Returns
    -------
    Tensor or dict
        One mask, or one for each type of layer where a model has several.
    """
    dtype, made = model.dtype, {}
    for kind, window in (attention_windows(model) or {"full_attention": None}).items():
        seen = visible
        if window is not None:
            seen = visible & (positions[:, :, None] - key_positions[:, None, :] < window)
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        made[kind] = mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
    return made if len(made) > 1 else made.popitem()[1]


@contextmanager
def short_window(model: Any, tokens: int) -> Iterator[None]:
    """Inside the block the model's window is ``tokens`` if it was longer, so that a few tokens show whether
    masks are right beyond it. A model that does not read it from its config then fails the check."""
    config = text_config(model)
    window = getattr(config, "sliding_window", None)
    if not isinstance(window, int) or window <= tokens:
        yield
        return
    config.sliding_window = tokens
    try:
        yield
    finally:
        config.sliding_window = window


def prefix_tokens(model: Any) -> int:
    """Tokens of a trained prefix, which take positions before the context."""
    return int(getattr(model, "prefix_tokens", 0))


def context_limit(model: Any) -> int | None:
    """Tokens of prompt and answer together that a causal model is right for; None if its config has no limit.

    Rotary positions that change with the length of the sequence would depend on what else is in the batch:
    they count up to where they begin to change.
    """
    config = text_config(model)
    rope = getattr(config, "rope_parameters", None) or {}
    kinds = [rope, *(value for value in rope.values() if isinstance(value, dict))]
    limits = [getattr(config, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    limits += [k.get("original_max_position_embeddings") for k in kinds if k.get("rope_type") in _BY_LENGTH]
    found = [limit for limit in limits if isinstance(limit, int) and limit > 0]
    return min(found) - prefix_tokens(model) if found else None


def check_length(name: str, model: Any, contexts: Sequence[Sequence[int]], answer: int) -> None:
    """Raise UsageError if the longest context and ``answer`` more tokens are more than the model takes."""
    limit, longest = context_limit(model), max(map(len, contexts), default=0)
    if limit is not None and longest + answer > limit:
        raise UsageError(
            f"--model {name}: a prompt has {longest} tokens and its answer up to {answer}, but the model "
            f"takes {limit} in all; show fewer examples (-o examples=, -o settings_per_example=) or use a "
            "model with a longer context"
        )
