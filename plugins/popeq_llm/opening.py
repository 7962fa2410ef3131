"""Open the language model that parameters name."""

from __future__ import annotations

from collections.abc import Callable

from popeq_llm.models import LanguageModel
from popeq_llm.parameters import ModelParameters


def open_model(parameters: ModelParameters, report: Callable[[str], None] = lambda _: None) -> LanguageModel:
    """``openai:NAME`` is a served model, anything else a local one; ``report`` gets a line before a load."""
    if parameters.model.startswith("openai:"):
        from popeq_llm.served import ServedModel

        named = {"base_url", "temperature", "max_tokens", "extra_body", "concurrency", "timeout_s"}
        options = parameters.model_dump(include=named)
        return ServedModel(parameters.model.removeprefix("openai:"), **options)
    from popeq_llm.local import LocalModel

    options = parameters.model_dump(include={"revision", "device", "dtype", "decode"})
    return LocalModel(parameters.model, report=report, **options)
