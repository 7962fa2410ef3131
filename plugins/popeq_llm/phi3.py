"""The forward pass of a Phi-3 in plain torch: what runs the bundled stand-in without loading transformers,
which would take seconds.

Abdin et al., "Phi-3 Technical Report" (2024): pre-norm layers, rotary positions, a gated MLP. The same
operations in the same order as transformers' model, so that a test can hold it to the same bits.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention


class KeyValues:
    """Keys and values of the slots fed so far, a pair (rows, heads, slots, width) a layer."""

    def __init__(self) -> None:
        self._layers: list[tuple[Tensor, Tensor]] = []

    def slots(self) -> int:
        """Fed so far."""
        return self._layers[0][0].shape[2] if self._layers else 0

    def update(self, key: Tensor, value: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Put new slots behind a layer's own; all of them."""
        if layer == len(self._layers):
            self._layers.append((key, value))
        else:
            before = self._layers[layer]
            self._layers[layer] = torch.cat([before[0], key], dim=2), torch.cat([before[1], value], dim=2)
        return self._layers[layer]

    def reorder_cache(self, rows: Tensor) -> None:
        """The rows with these indices in place of those that were."""
        self._layers = [(key[rows], value[rows]) for key, value in self._layers]

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Each row as many times, one below another."""
        self._layers = [
            (key.repeat_interleave(repeats, dim=0), value.repeat_interleave(repeats, dim=0))
            for key, value in self._layers
        ]


class Phi3(nn.Module):
    """A causal model in ``folder`` (config.json, model.safetensors), for inference.

    It is called as transformers' own, and has as much of its interface as ``popeq_llm`` asks for.

    Parameters
    ----------
    dtype
        The weights are read as such.

    Raises
    ------
    ValueError
        For another kind of model: other positions, fewer keys than queries, a window, a head of its own.
    """

    def __init__(self, folder: Path, dtype: torch.dtype) -> None:
        from safetensors.torch import load_file

        super().__init__()
        self.config = _config(folder)
        self.generation_config = SimpleNamespace(eos_token_id=self.config.eos_token_id)
        # Not on the device "meta": its random numbers import torch._dynamo, which takes seconds.
        with torch.random.fork_rng(devices=[]):
            self.model = _Layers(self.config)
            self.lm_head = nn.Linear(self.config.hidden_size, self.config.vocab_size, bias=False)
        weights = {k: v.to(dtype) for k, v in load_file(folder / "model.safetensors").items()}
        weights["lm_head.weight"] = weights["model.embed_tokens.weight"]
        self.load_state_dict(weights, assign=True)
        self.requires_grad_(False)
        self.lm_head.weight = self.model.embed_tokens.weight

    @property
    def dtype(self) -> torch.dtype:
        """Of the weights."""
        return self.lm_head.weight.dtype

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.lm_head.weight.device

    @property
    def base_model(self) -> nn.Module:
        """What gives states: called as the model, its result has ``last_hidden_state``."""
        return self.model

    def get_output_embeddings(self) -> nn.Linear:
        """What makes logits of states."""
        return self.lm_head

    def forward(self, input_ids: Tensor, *, logits_to_keep: int = 0, **options: Any) -> SimpleNamespace:
        """``logits`` (rows, S, V) of some slots' next tokens, of the last ``logits_to_keep`` alone if any."""
        states = self.model(input_ids, **options).last_hidden_state
        return SimpleNamespace(logits=self.lm_head(states[:, -logits_to_keep:]))


class _Layers(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        self.layers = nn.ModuleList(_Layer(config, i) for i in range(config.num_hidden_layers))
        self.norm = _Norm(config)
        width = config.hidden_size // config.num_attention_heads
        self._rotation = width, config.rope_parameters["rope_theta"]

    def forward(
        self,
        input_ids: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: KeyValues | None = None,
        use_cache: bool = False,
    ) -> SimpleNamespace:
        """``last_hidden_state`` (rows, S, width).

        Parameters
        ----------
        attention_mask
            (rows, slots), 0 for padding; or (rows, 1, S, slots), added to the scores; or causal.
        """
        fed = past_key_values.slots() if past_key_values is not None else 0
        if position_ids is None:
            position_ids = torch.arange(fed, fed + input_ids.shape[1], device=input_ids.device)[None]
        mask, causal = _visible(attention_mask, input_ids.shape[1], fed, input_ids.device)
        states: Tensor = self.embed_tokens(input_ids)
        turn = self._turn(position_ids, states.dtype)
        for layer in self.layers:
            states = layer(states, turn, mask, causal, past_key_values)
        return SimpleNamespace(last_hidden_state=self.norm(states))

    def _turn(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """Cosine and sine of every slot's rotation, (rows, 1, S, width)."""
        width, base = self._rotation
        frequency = 1.0 / (
            base ** (torch.arange(0, width, 2, dtype=torch.float, device=positions.device) / width)
        )
        angle = (positions[..., None].float() * frequency).repeat(1, 1, 2)[:, None]
        return angle.cos().to(dtype), angle.sin().to(dtype)


class _Layer(nn.Module):
    def __init__(self, config: SimpleNamespace, index: int) -> None:
        super().__init__()
        self.input_layernorm, self.post_attention_layernorm = _Norm(config), _Norm(config)
        self.self_attn, self.mlp = _Attention(config, index), _Gated(config)

    def forward(self, states: Tensor, *seen: Any) -> Tensor:
        states = states + self.self_attn(self.input_layernorm(states), *seen)
        changed: Tensor = states + self.mlp(self.post_attention_layernorm(states))
        return changed


class _Attention(nn.Module):
    def __init__(self, config: SimpleNamespace, index: int) -> None:
        super().__init__()
        self._index, self._heads = index, config.num_attention_heads
        self.qkv_proj = nn.Linear(config.hidden_size, 3 * config.hidden_size, bias=False)
        self.o_proj = nn.Linear(config.hidden_size, config.hidden_size, bias=False)

    def forward(
        self,
        states: Tensor,
        turn: tuple[Tensor, Tensor],
        mask: Tensor | None,
        causal: bool,
        cache: KeyValues | None,
    ) -> Tensor:
        rows, slots, _ = states.shape
        query, key, value = (
            part.view(rows, slots, self._heads, -1).transpose(1, 2)
            for part in self.qkv_proj(states).chunk(3, dim=-1)
        )
        query, key = _turned(query, *turn), _turned(key, *turn)
        if cache is not None:
            key, value = cache.update(key, value, self._index)
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, is_causal=causal)
        attended: Tensor = self.o_proj(mixed.transpose(1, 2).reshape(rows, slots, -1))
        return attended


class _Gated(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.gate_up_proj = nn.Linear(config.hidden_size, 2 * config.intermediate_size, bias=False)
        self.down_proj = nn.Linear(config.intermediate_size, config.hidden_size, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(states).chunk(2, dim=-1)
        down: Tensor = self.down_proj(up * nn.functional.silu(gate))
        return down


class _Norm(nn.Module):
    def __init__(self, config: SimpleNamespace) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(config.hidden_size))
        self._epsilon = config.rms_norm_eps

    def forward(self, states: Tensor) -> Tensor:
        wide = states.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self._epsilon)
        normed: Tensor = self.weight * wide.to(states.dtype)
        return normed


def _turned(x: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
    """Rotary positions (Su et al. 2021): the first half of the width turned against the second."""
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine


def _visible(mask: Tensor | None, new: int, fed: int, device: torch.device) -> tuple[Tensor | None, bool]:
    """The mask of attention, or none and whether attention is causal."""
    if mask is not None and mask.dim() == 4:
        return mask, False
    if (new == 1 or fed == 0) and (mask is None or bool(mask.all())):
        return None, new > 1
    causal = torch.arange(fed + new, device=device) <= torch.arange(fed, fed + new, device=device)[:, None]
    return (causal[None, None] if mask is None else causal & mask.bool()[:, None, None, :]), False


def _config(folder: Path) -> SimpleNamespace:
    config = SimpleNamespace(**json.loads((folder / "config.json").read_text(encoding="utf-8")))
    plain = (
        config.model_type == "phi3"
        and config.hidden_act == "silu"
        and config.num_key_value_heads == config.num_attention_heads
        and config.rope_parameters["rope_type"] == "default"
        and config.rope_parameters["partial_rotary_factor"] == 1
        and config.sliding_window is None
        and config.tie_word_embeddings
    )
    if not plain:
        raise ValueError(f"{folder}: is not a Phi-3 with plain rotary positions, all heads and a tied head")
    config.get_text_config = lambda: config
    return config
