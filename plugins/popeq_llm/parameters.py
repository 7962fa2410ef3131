"""Parameters of the predictors in this package; light to import."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from pydantic import Field, field_validator, model_validator

from popeq.contract import Parameters
from popeq.errors import UsageError
from popeq.ranges import tuned, tuned_choice
from popeq.space import Space
from popeq_llm.known import BUNDLED_ENCODER, DEFAULT_MODEL, DEFAULT_WORDING, WordingName
from popeq_llm.weights import model_identity, named

if TYPE_CHECKING:
    from popeq_llm.templates import Kind


def with_sha256(values: Any, parameter: str, sha256: Callable[[str], str]) -> Any:
    """The raw values of a parameters model with the hash of a file or folder, for a validator.

    If ``values[parameter]`` names one, ``values[f"{parameter}_sha256"]`` becomes ``sha256`` of it, so that a
    changed content is another run. Raises UsageError if another hash was planned.
    """
    given = values.get(parameter) if isinstance(values, Mapping) else None
    if not isinstance(given, str):
        return values
    found = sha256(given)
    if values.get(f"{parameter}_sha256") not in (None, found):
        raise UsageError(f"{parameter} {given}: has changed since this run was planned")
    return {**values, f"{parameter}_sha256": found}


def _absent(given: object) -> bool:
    return given is None


def hash_identity(sha256: str | None) -> str | None:
    """A hash that ``with_sha256`` has filled in, as ``Parameters.identity`` wants it."""
    return f"sha256:{sha256}" if sha256 else None


class TemplateParameters(Parameters):
    """The prompt template that a language model is asked with."""

    template_kind: ClassVar[Kind] = "zero"

    template: str | None = Field(None, description="file in place of the bundled prompt template")
    wording: WordingName = Field(DEFAULT_WORDING, description="how the template says what a setting is")
    template_sha256: str | None = Field(
        None, description="filled in from the template's content, so that a changed file is another run"
    )

    @model_validator(mode="before")
    @classmethod
    def _hash_template(cls, values: Any) -> Any:
        """Check the template before anything runs, and make its content a part of what identifies a run."""
        from popeq_llm.templates import load_template

        wording = str(values.get("wording", DEFAULT_WORDING)) if isinstance(values, Mapping) else ""
        if wording not in get_args(WordingName):  # the field's own check says so
            return values
        return with_sha256(
            values, "template", lambda file: load_template(cls.template_kind, file, wording).sha256
        )

    def identity(self) -> Mapping[str, str]:
        """The template's content."""
        return {**super().identity(), **named(template=hash_identity(self.template_sha256))}

    def check_space(self, space: Space) -> None:
        """Raise UsageError if the wording is about other curves, or there are too many settings."""
        from popeq_llm.answers import check_settings
        from popeq_llm.templates import load_template

        super().check_space(space)
        check_settings(load_template(self.template_kind, self.template, self.wording, space).form)


class EncoderParameters(Parameters):
    """The sentence encoder that finds similar prompts."""

    encoder: str = Field(
        BUNDLED_ENCODER, min_length=1, description="sentence-transformers model by name or folder"
    )

    def identity(self) -> Mapping[str, str]:
        """The encoder's content."""
        return {**super().identity(), **named(encoder=model_identity(self.encoder))}


class ModelParameters(TemplateParameters):
    """Which language model is asked, where it runs and with which template."""

    model: str = Field(
        DEFAULT_MODEL,
        min_length=1,
        description="causal model: one of 'popeq models', a folder, a GGUF file, a hub name or openai:NAME",
    )
    base_url: str | None = Field(None, description="address of the server of an openai: model")
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="precision of a local model; auto is bfloat16 where the processor has it in hardware",
    )
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    decode: Literal["auto", "split", "exact", "generate"] = Field(
        "auto", description="how a local model's answers are drawn"
    )
    temperature: float = Field(
        1.0, gt=0, le=2, description="of a served model's sampling; local models are sampled as they are"
    )
    max_tokens: int | None = Field(
        None,
        ge=1,
        exclude_if=_absent,
        description="tokens that an answer of a served model may have; more for one that thinks first",
    )
    extra_body: dict[str, Any] | None = Field(
        None,
        exclude_if=_absent,
        description="JSON object of further fields for each request to a server; it is recorded: no secrets",
    )
    concurrency: int = Field(8, ge=1, description="requests to a server at the same time")
    timeout_s: float = Field(120.0, gt=0, description="seconds a server has for one request")

    @field_validator("extra_body")
    @classmethod
    def _check_extra_body(cls, given: dict[str, Any] | None) -> dict[str, Any] | None:
        """Refuse fields that popeq sets itself."""
        if own := sorted({"model", "messages", "n", "seed", "stream"} & {*(given or {})}):
            raise ValueError(f"popeq sets {', '.join(own)} itself")
        return given

    def identity(self) -> Mapping[str, str]:
        """The contents of the model and the template."""
        return {**super().identity(), **named(model=model_identity(self.model, self.revision))}

    def check_space(self, space: Space) -> None:
        """Raise UsageError also for settings as gains, where these cannot be read."""
        super().check_space(space)
        asked_as_gains = self.wording == "gains"
        if asked_as_gains and self.model.startswith("openai:"):
            raise UsageError(f"-o wording={self.wording}: served models write x and y; use another wording")
        if asked_as_gains and self.template_kind == "verbal":
            raise UsageError(f"-o wording={self.wording}: icl-verbal describes x and y; use another wording")


class ZeroParameters(ModelParameters):
    """Of ``icl-zero``."""


class StaticParameters(ModelParameters, EncoderParameters):
    """Of ``icl-static``: what is shown, the same for every sentence."""

    template_kind: ClassVar[Kind] = "few"

    examples: int = Field(4, ge=1, description="training prompts shown (K)", json_schema_extra=tuned(1, 12))
    settings_per_example: int = Field(
        11,
        ge=1,
        description="listeners' settings shown with each; fewer if it has fewer",
        json_schema_extra=tuned_choice(1, 5, 11),
    )


class RetrievalParameters(StaticParameters):
    """Of ``icl-rag``: how many of the most similar prompts are shown."""


class QaParameters(RetrievalParameters):
    """Of ``icl-rag-qa``."""

    template_kind: ClassVar[Kind] = "qa"

    answers: int = Field(
        20, ge=1, description="answers of 11 predictions each; samples are drawn among them, equally often"
    )


class VerbalParameters(ModelParameters, EncoderParameters):
    """Of ``icl-verbal``."""

    template_kind: ClassVar[Kind] = "verbal"

    examples: int = Field(
        4, ge=0, description="training prompts shown (K), in words; 0: none", json_schema_extra=tuned(0, 12)
    )
    answers: int = Field(
        10, ge=1, description="answers, each a whole distribution; samples are drawn from their average"
    )


class SimilarParameters(EncoderParameters):
    """Of predictors that give the responses to similar prompts."""

    k: int = Field(
        8,
        ge=1,
        description="how many of the most similar training prompts give their responses",
        json_schema_extra=tuned(1, 24, log=True),
    )
    similarity_temperature: float = Field(
        0.05,
        gt=0,
        description="weights are a softmax of similarity over this; small: only the nearest counts",
        json_schema_extra=tuned(0.005, 0.5, log=True),
    )


class KnnParameters(SimilarParameters):
    """Of ``knn``."""

    prior_similarity: float | None = Field(
        None,
        ge=-1,
        description="all training responses weigh as much as a prompt of this similarity; -1: nothing; None: "
        "chosen on validation",
    )


class KernelRidgeParameters(EncoderParameters):
    """Of ``kernel-ridge``. What is None is chosen on the validation prompts."""

    lexical: float | None = Field(
        None, ge=0, le=1, description="share of common words in the similarity; the rest is of embeddings"
    )
    ridge: float | None = Field(
        None, gt=0, description="how much the regression is shrunk to the overall mean"
    )


class KernelMixtureParameters(KernelRidgeParameters):
    """Of ``kernel-mixture``. What is None is chosen on the validation prompts."""

    similarity_temperature: float | None = Field(
        None, gt=0, description="weights are exp(similarity / this); small: only the most similar count"
    )
    prior_similarity: float | None = Field(
        None, description="a prompt of this similarity weighs as much as the pool of all responses"
    )
    shift: float | None = Field(
        None, ge=0, le=1, description="part of the way that responses move with the regression"
    )
