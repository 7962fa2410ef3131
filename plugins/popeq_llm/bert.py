"""The forward pass of a BERT encoder in NumPy: what embeds a sentence without loading torch and transformers,
which would take seconds.

Devlin et al., "BERT" (NAACL 2019), with the layer norm after each block, as all-MiniLM-L6-v2 has it. A test
holds it to transformers' own model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf
from threadpoolctl import threadpool_limits

from popeq.others_files import read_json

Array = NDArray[np.float32]

_ROOT_HALF = np.float32(np.sqrt(0.5))


class Bert:
    """The encoder in ``folder`` (config.json, model.safetensors).

    Raises ValueError for another kind of model.
    """

    def __init__(self, folder: Path) -> None:
        from safetensors.numpy import load_file

        config = read_json(folder / "config.json", follow=True)
        if config["model_type"] != "bert" or config["hidden_act"] != "gelu":
            raise ValueError(f"{folder}: is not a BERT with the activation gelu")
        self._weights = load_file(folder / "model.safetensors")
        self._layers = int(config["num_hidden_layers"])
        self._heads = int(config["num_attention_heads"])
        self._epsilon = np.float32(config["layer_norm_eps"])

    def hidden(self, token_ids: list[int]) -> Array:
        """The last hidden state of one sentence without padding, (tokens, dimension); on one thread, so that
        the number of cores changes no bit."""
        with threadpool_limits(1):
            x = self._norm(
                self._weights["embeddings.word_embeddings.weight"][token_ids]
                + self._weights["embeddings.position_embeddings.weight"][: len(token_ids)]
                + self._weights["embeddings.token_type_embeddings.weight"][0],
                "embeddings",
            )
            for i in range(self._layers):
                x = self._layer(x, f"encoder.layer.{i}")
            return x

    def _layer(self, x: Array, name: str) -> Array:
        attended = self._dense(self._attention(x, f"{name}.attention.self"), f"{name}.attention.output.dense")
        x = self._norm(x + attended, f"{name}.attention.output")
        inner = self._dense(x, f"{name}.intermediate.dense")
        inner = inner * np.float32(0.5) * (np.float32(1.0) + erf(inner * _ROOT_HALF))
        return self._norm(x + self._dense(inner, f"{name}.output.dense"), f"{name}.output")

    def _attention(self, x: Array, name: str) -> Array:
        query, key, value = (
            self._dense(x, f"{name}.{part}").reshape(len(x), self._heads, -1).transpose(1, 0, 2)
            for part in ("query", "key", "value")
        )
        score = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
        weight = np.exp(score - score.max(axis=-1, keepdims=True))
        mixed = (weight / weight.sum(axis=-1, keepdims=True)) @ value
        joined: Array = mixed.transpose(1, 0, 2).reshape(len(x), -1)
        return joined

    def _dense(self, x: Array, name: str) -> Array:
        y: Array = x @ self._weights[f"{name}.weight"].T + self._weights[f"{name}.bias"]
        return y

    def _norm(self, x: Array, name: str) -> Array:
        centred = x - x.mean(axis=-1, keepdims=True)
        scale = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + self._epsilon)
        y = centred / scale * self._weights[f"{name}.LayerNorm.weight"]
        shifted: Array = y + self._weights[f"{name}.LayerNorm.bias"]
        return shifted
