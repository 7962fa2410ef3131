"""SmolLM2-135M-Instruct, opened once a process, for tests in which an answer has to mean something."""

from __future__ import annotations

from functools import cache

from popeq_llm.local import LocalModel


@cache
def open_smollm2() -> LocalModel:
    """In float32 on the CPU."""
    return LocalModel(device="cpu", dtype="float32")
