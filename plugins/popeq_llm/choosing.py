"""From a predictor's parameters to the language model they name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popeq_llm.models import LanguageModel

if TYPE_CHECKING:
    from popeq_llm.parameters import ModelParameters


def open_model(parameters: ModelParameters) -> LanguageModel:
    """``openai:NAME`` is a served model, anything else a local one."""
    if parameters.model.startswith("openai:"):
        from popeq_llm.served import ServedModel

        return ServedModel(
            parameters.model.removeprefix("openai:"),
            base_url=parameters.base_url,
            temperature=parameters.temperature,
            concurrency=parameters.concurrency,
            timeout_s=parameters.timeout_s,
        )
    from popeq_llm.local import LocalModel

    return LocalModel(
        parameters.model,
        revision=parameters.revision,
        device=parameters.device,
        dtype=parameters.dtype,
        decode=parameters.decode,
    )
