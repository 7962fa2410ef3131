"""Parameters of the predictors in this package; light to import.

``tuned`` and ``tuned_choice`` give the ranges that ``popeq tune`` searches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from popeq.contract import Parameters
from popeq.errors import UsageError
from popeq.ranges import tuned, tuned_choice
from popeq_llm.known import BUNDLED_ENCODER, DEFAULT_MODEL
from popeq_llm.parameters import TemplateParameters, hash_identity, with_sha256
from popeq_llm.weights import model_identity, named
from popeq_peft.paraphrase_parameters import ParaphraseParameters

ADAPTER_FILES = ("adapter_model.safetensors", "head.safetensors", "popeq.json")


class TrainingParameters(ParaphraseParameters):
    """What all fine-tuned predictors share: the base model, how long and how fast it is trained."""

    model: str = Field(
        BUNDLED_ENCODER,
        min_length=1,
        description="base model: one of 'popeq models', a folder, a GGUF file or a hub name",
    )
    device: str = Field("auto", description="auto, cpu, cuda, cuda:N or mps")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto", description="precision of the base model; auto is float32 on the CPU, bfloat16 elsewhere"
    )
    revision: str | None = Field(None, description="branch, tag or commit of a hub model")
    four_bit: bool = Field(False, description="hold the base model in 4 bits (NF4; needs bitsandbytes)")
    gradient_checkpointing: bool = Field(
        False, description="less memory for a slower backward pass; not with a prefix"
    )
    epochs: int = Field(40, ge=1, description="most passes over the training prompts")
    batch_size: int = Field(20, ge=1, description="prompts a step")
    learning_rate: float = Field(
        1e-3, gt=0, description="of the adapter", json_schema_extra=tuned(1e-4, 1e-1, log=True)
    )
    weight_decay: float = Field(0.1, ge=0, description="AdamW's, of all that is trained")
    patience: int = Field(
        8, ge=1, description="epochs without a better validation score before training stops"
    )
    held_out: float = Field(
        0.2,
        ge=0,
        lt=1,
        description="share of the training prompts that stops training where there is no validation split; "
        "0 trains on all of them for all epochs",
    )
    ensemble: int = Field(
        1, ge=1, description="models trained from seeds of their own; each gives a share of the samples"
    )
    augment: int = Field(
        0,
        ge=0,
        description="rewritten copies of each training sentence, its answers kept",
        json_schema_extra=tuned_choice(0, 2, 4),
    )
    threads: int | None = Field(
        1,
        ge=1,
        description="CPU threads; another number may change the last bits of what is trained; None: as many "
        "as the run may use",
    )
    launcher: str | None = Field(
        None,
        exclude_if=lambda given: given is None,
        description="accelerate: processes of this machine train together, one a CUDA card, two without any; "
        "accelerate:N: so many",
    )
    adapter: str | None = Field(
        None, description="folder of a trained adapter: used as it is, nothing is trained"
    )
    adapter_sha256: str | None = Field(
        None, description="filled in from the adapter's content, so that a changed one is another run"
    )

    @field_validator("launcher")
    @classmethod
    def _count_processes(cls, given: str | None) -> str | None:
        """Make the number of processes a part of what identifies a run."""
        return None if given is None else f"accelerate:{processes_of(given)}"

    @model_validator(mode="before")
    @classmethod
    def _hash_adapter(cls, values: Any) -> Any:
        """Make the adapter's content a part of what identifies a run."""
        return with_sha256(values, "adapter", lambda folder: adapter_hash(Path(folder)))

    def identity(self) -> Mapping[str, str]:
        """The contents of the base model, the adapter and the paraphraser."""
        template = self.paraphraser_template and self.paraphraser_template_sha256
        return {
            **super().identity(),
            **named(
                model=model_identity(self.model, self.revision),
                adapter=hash_identity(self.adapter_sha256),
                paraphraser=model_identity(self.paraphraser),
                paraphraser_template=hash_identity(template),
            ),
        }


def processes_of(launcher: str | None) -> int:
    """How many processes ``accelerate`` or ``accelerate:N`` asks for; 1 for None. Raises ValueError."""
    if launcher is None:
        return 1
    name, colon, count = launcher.partition(":")
    if name == "accelerate" and not colon:
        import torch

        return max(2, torch.cuda.device_count())
    if name != "accelerate" or not (count.isdecimal() and int(count) >= 2):
        raise ValueError("must be accelerate or accelerate:N, N at least 2")
    return int(count)


def adapter_hash(folder: Path) -> str:
    """SHA-256 over an adapter's weights and record, its ensemble's members included. Raises UsageError."""
    files = sorted(f for name in ADAPTER_FILES for f in folder.glob(f"**/{name}"))
    if not any(f.suffix == ".safetensors" for f in files):
        raise UsageError(f"adapter {folder}: is not the folder of a trained adapter (no .safetensors in it)")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


class LoraParameters(TrainingParameters):
    """LoRA (Hu et al. 2021)."""

    rank: int = Field(8, ge=1, description="rank of LoRA's update", json_schema_extra=tuned_choice(4, 8, 16))
    alpha: int = Field(16, ge=1, description="scale of LoRA's update, over the rank")
    lora_dropout: float = Field(0.0, ge=0, lt=1, description="dropout before LoRA's update, in training")
    target_modules: str = Field(
        "auto", description="modules LoRA changes, comma-separated; auto: the attention's; all-linear: all"
    )


class PrefixParameters(TrainingParameters):
    """Prefix-Tuning (Li & Liang 2021)."""

    learning_rate: float = Field(
        3e-2, gt=0, description="of the prefix", json_schema_extra=tuned(1e-3, 0.5, log=True)
    )
    virtual_tokens: int = Field(
        10, ge=1, description="length of the prefix", json_schema_extra=tuned_choice(5, 10, 20)
    )
    prefix_projection: bool = Field(False, description="make the prefix by a small network")
    projection_size: int = Field(128, ge=1, description="width of that network")


class PointHeadParameters(Parameters):
    """A head that gives 11 settings a pass."""

    pooling: Literal["mean", "cls", "attention"] = Field(
        "mean",
        description="how hidden states become one vector; cls is the last token in a causal model",
        json_schema_extra=tuned_choice("mean", "cls", "attention"),
    )
    hidden: int = Field(128, ge=1, description="width of the head's hidden layer")
    dropout: float = Field(
        0.4,
        ge=0,
        lt=1,
        description="in the head, in training and in each pass of sampling",
        json_schema_extra=tuned(0.05, 0.5),
    )
    head_learning_rate: float = Field(
        1e-3, gt=0, description="of the head", json_schema_extra=tuned(1e-4, 1e-2, log=True)
    )
    points: int = Field(11, ge=2, description="settings that the head gives in one pass")
    loss: Literal["sinkhorn", "mse"] = Field(
        "sinkhorn",
        description="sinkhorn: divergence between the points and the listeners; mse: squared error of each "
        "point against each listener",
    )
    blur_db: float = Field(0.5, gt=0, description="root of the Sinkhorn divergence's epsilon, dB")


class LoraHeadParameters(LoraParameters, PointHeadParameters):
    """Of ``lora-head``."""


class PrefixHeadParameters(PrefixParameters, PointHeadParameters):
    """Of ``prefix-head``."""


_WITH_LORA = {"method": "lora"}


class MixtureParameters(LoraParameters):
    """Of ``head-mixture``."""

    method: Literal["none", "lora"] = Field(
        "none", description="adapter of the base model; none: it stays as it is and the head alone is trained"
    )
    learning_rate: float = Field(
        1e-3,
        gt=0,
        description="of the adapter",
        json_schema_extra=tuned(1e-4, 1e-1, log=True, when=_WITH_LORA),
    )
    rank: int = Field(
        8,
        ge=1,
        description="rank of LoRA's update",
        json_schema_extra=tuned_choice(4, 8, 16, when=_WITH_LORA),
    )
    pooling: Literal["mean", "cls", "attention"] = Field(
        "mean", description="how hidden states become one vector; cls is the last token in a causal model"
    )
    components: int = Field(16, ge=1, description="reflected Gaussians in the mixture")
    dropout: float = Field(
        0.2, ge=0, lt=1, description="in the head, in training", json_schema_extra=tuned(0.05, 0.6)
    )
    head_learning_rate: float = Field(
        3e-4, gt=0, description="of the head", json_schema_extra=tuned(3e-5, 3e-3, log=True)
    )
    weight_decay: float = Field(
        0.1,
        ge=0,
        description="AdamW's: pulls each sentence's mixture to the pooled one",
        json_schema_extra=tuned(1e-3, 10.0, log=True),
    )
    ensemble: int = Field(
        5, ge=1, description="models trained from seeds of their own; each gives a share of the samples"
    )
    loss: Literal["nll", "energy", "sinkhorn"] = Field(
        "nll", description="likelihood of the listeners' settings, energy score, or Sinkhorn divergence (W1)"
    )


class NextTokenParameters(TemplateParameters):
    """Next-token training on settings as text."""

    model: str = Field(
        DEFAULT_MODEL,
        min_length=1,
        description="causal model: a name of 'popeq models', a folder, a GGUF file or a hub name",
    )
    epochs: int = Field(10, ge=1, description="most passes over the training prompts")
    batch_size: int = Field(10, ge=1, description="prompts a step, each with all its listeners' settings")
    threads: int | None = Field(
        None,
        ge=1,
        description="CPU threads; another number may change the last bits of what is trained; None: as many "
        "as the run may use",
    )


class LoraNextTokenParameters(NextTokenParameters, LoraParameters):
    """Of ``lora-ntp``."""


class PrefixNextTokenParameters(NextTokenParameters, PrefixParameters):
    """Of ``prefix-ntp``."""
