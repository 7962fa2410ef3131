"""Parameters that name a language model to rewrite training sentences; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, model_validator

from popeq.contract import Parameters
from popeq.errors import UsageError
from popeq_llm.parameters import with_sha256

_DEFAULT = 2


def _absent(given: Any) -> bool:
    return given is None


class ParaphraseParameters(Parameters):
    """Left out of what identifies a run where there is no paraphraser."""

    paraphraser: str | None = Field(
        None,
        min_length=1,
        exclude_if=_absent,
        description="language model that rewrites each training sentence, its answers kept: named as "
        "--model names one",
    )
    paraphrases: int | None = Field(
        None,
        ge=1,
        exclude_if=_absent,
        description=f"how many it writes of each sentence; {_DEFAULT} unless given",
    )
    paraphraser_url: str | None = Field(
        None, exclude_if=_absent, description="address of the server of an openai: paraphraser"
    )
    paraphraser_template: str | None = Field(
        None, exclude_if=_absent, description="file in place of the bundled prompt template for it"
    )
    paraphraser_template_sha256: str | None = Field(
        None,
        exclude_if=_absent,
        description="filled in from the template's content, so that a changed file is another run",
    )

    @model_validator(mode="before")
    @classmethod
    def _check_paraphraser(cls, values: Any) -> Any:
        """Check all that can be checked before anything runs, and fill in the number and the hash."""
        if not isinstance(values, Mapping):
            return values
        name = values.get("paraphraser")
        if name is None:
            given = next((n for n in ParaphraseParameters.model_fields if values.get(n) is not None), None)
            if given:
                raise UsageError(f"{given}: needs a language model to ask: give -o paraphraser= too")
            return values
        from popeq_llm.templates import load_template

        # The bundled template is hashed too: "" names it here.
        template = values.get("paraphraser_template")
        hashed = with_sha256(
            {**values, "paraphraser_template": template or ""},
            "paraphraser_template",
            lambda file: load_template("paraphrase", file or None).sha256,
        )
        count = values.get("paraphrases")
        return {
            **hashed,
            "paraphraser_template": template,
            "paraphrases": _DEFAULT if count is None else count,
        }
