"""Base models with an adapter: loaded, wrapped by peft, saved, loaded again.

Every work-around for peft is in this file and in ``prefixed``:

- A prefix with gradient checkpointing is refused: checkpointing turns the cache off, and the prefix with it
  (https://github.com/huggingface/peft/pull/2191, https://github.com/huggingface/peft/issues/869).
- peft's config would keep the path of a bundled model on this machine; the model's name is kept instead.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from popeq.errors import UsageError
from popeq_llm.architecture import context_limit, text_config
from popeq_llm.known import BUNDLED_ENCODER, DEFAULT_MODEL, known
from popeq_llm.loading import load, pick_device, pick_dtype
from popeq_llm.own_code import NEVER_RUN
from popeq_llm.weights import place_of
from popeq_peft.parameters import LoraParameters, PrefixParameters, TrainingParameters
from popeq_peft.prefixed import PrefixedModel

_MOST_TOKENS = 256


def hub_name(name: str) -> str:
    """The name on the hub of a model that a package brings; any other name as it is."""
    model = known(name)
    return model.hub if model and model.hub else name


@dataclass
class Backbone:
    """A base model, perhaps with an adapter.

    ``model`` is what is called; ``adapted`` the peft model around it, None without an adapter.
    ``quantisation`` is how a GGUF file holds the base model's weights.
    """

    name: str
    revision: str
    quantisation: str
    causal: bool
    model: Any
    tokenizer: Any
    adapted: Any = None

    @property
    def device(self) -> torch.device:
        return torch.device(self.model.device)

    @property
    def width(self) -> int:
        """Size of a hidden state."""
        return int(text_config(self.model).hidden_size)

    def group(self, rate: float) -> dict[str, Any]:
        """The adapter's own parameters, with names, as an optimizer's group with that learning rate."""
        named = [] if self.adapted is None else self.adapted.named_parameters()
        return {"params": [(f"adapter.{n}", p) for n, p in named if p.requires_grad], "lr": rate}

    def train(self, mode: bool) -> None:
        """Turn the adapter's dropout on or off. The base model's own dropout stays off: on few prompts it
        only adds noise."""
        if self.adapted is None:
            return
        for name, module in self.model.named_modules():
            if isinstance(module, torch.nn.Dropout) and "lora_dropout" not in name:
                module.p = 0.0
        self.model.train(mode)

    def save(self, folder: Path) -> None:
        """Write the adapter in peft's format; nothing if there is none."""
        if self.adapted is not None:
            self.adapted.save_pretrained(str(folder), safe_serialization=True, save_embedding_layers=False)

    def tokens(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids and mask (B, T) of sentences, padded on the right."""
        most = min(_MOST_TOKENS, context_limit(caller(self)) or _MOST_TOKENS)
        rows = [torch.tensor(ids[:most] or [0]) for ids in self.tokenizer(list(texts))["input_ids"]]
        ids, mask = padded(rows)
        return ids.to(self.device), mask.to(self.device)

    def hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """The last hidden states (B, T, width), float32."""
        states: Tensor = caller(self)(ids, attention_mask=mask).last_hidden_state
        return states.float()


def padded(rows: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Rows (T, ...) of different lengths as one batch (B, most T, ...) with zeros behind them, and a mask
    (B, most T) of zeros and ones that says what is a row's own."""
    own = [row.new_ones(len(row), dtype=torch.long) for row in rows]
    return pad_sequence(list(rows), batch_first=True), pad_sequence(own, batch_first=True)


def caller(backbone: Backbone) -> Any:
    """What to call for a forward pass: the model itself, or one that puts the prefix before everything."""
    adapted = backbone.adapted
    if adapted is not None and adapted.active_peft_config.is_prompt_learning:
        return PrefixedModel(backbone.model, adapted)
    return backbone.model


def open_backbone(parameters: TrainingParameters, *, language: bool = False) -> Backbone:
    """The base model without an adapter, its own weights frozen.

    Parameters
    ----------
    language
        Whether next tokens are needed (then it must be a causal model) or hidden states.

    Raises
    ------
    UsageError
        For a model that cannot be loaded or does not fit in memory, or 4 bits without bitsandbytes.
    """
    device = pick_device(parameters.device)
    name, revision = parameters.model, ""
    if name == BUNDLED_ENCODER:
        from popeq_llm.encoder import BundledEncoder

        bundled = BundledEncoder()
        name, revision = str(bundled.folder), bundled.release
    causal = _is_causal(name, parameters.revision)
    if language and not causal:
        raise UsageError(
            f"--model {parameters.model}: is an encoder, which writes no tokens; use a causal model "
            f"({DEFAULT_MODEL})"
        )
    loaded = load(
        name,
        parameters.revision,
        device,
        pick_dtype(parameters.dtype, device, trained=True),
        auto_class="AutoModelForCausalLM" if language else "AutoModel",
        four_bit=parameters.four_bit,
    )
    loaded.model.requires_grad_(False)
    return Backbone(
        name=BUNDLED_ENCODER if revision else loaded.name,
        revision=revision or loaded.revision,
        quantisation=loaded.quantisation,
        causal=causal,
        model=loaded.model,
        tokenizer=loaded.tokenizer,
    )


def wrap(backbone: Backbone, parameters: TrainingParameters, seed: int) -> Backbone:
    """The same model with a fresh adapter, which starts near a model without one.

    Raises UsageError for modules that the model does not have, and for a prefix with checkpointing.
    """
    from peft import get_peft_model

    config = _peft_config(backbone, parameters)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        if parameters.four_bit:
            from peft import prepare_model_for_kbit_training

            backbone.model = prepare_model_for_kbit_training(  # type: ignore[no-untyped-call]
                backbone.model, use_gradient_checkpointing=parameters.gradient_checkpointing
            )
        try:
            with _quiet():
                adapted = get_peft_model(backbone.model, config)
        except ValueError as error:
            raise UsageError(f"--model {backbone.name}: {' '.join(str(error).split())[:200]}") from None
        config.base_model_name_or_path = hub_name(backbone.name)
        config.revision = parameters.revision
        for name, parameter in adapted.named_parameters():
            if "prompt_encoder" in name and "embedding" in name:
                parameter.data.mul_(0.1)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    if parameters.gradient_checkpointing:
        backbone.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    backbone.adapted = adapted
    return backbone


def load_adapter(backbone: Backbone, folder: Path) -> Backbone:
    """The model with a saved adapter, for sampling. Raises UsageError if the weights are of another shape."""
    from peft import PeftModel

    try:
        with _quiet():
            backbone.adapted = PeftModel.from_pretrained(backbone.model, str(folder)).eval()
    except (RuntimeError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:160]
        raise UsageError(
            f"adapter {folder}: does not fit the base model {backbone.name}: {reason}; give the model that "
            "it was trained on with --model"
        ) from None
    return backbone


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warning that peft 0.21 reads an attribute that transformers 5 has renamed."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        yield


def _peft_config(backbone: Backbone, parameters: TrainingParameters) -> Any:
    from peft import LoraConfig, PrefixTuningConfig, TaskType

    language = hasattr(backbone.model, "lm_head")
    task = TaskType.CAUSAL_LM if language else TaskType.FEATURE_EXTRACTION
    if isinstance(parameters, PrefixParameters):
        if parameters.gradient_checkpointing:
            raise UsageError(
                "gradient_checkpointing: does not work with a prefix (checkpointing turns off the cache that "
                "holds it); use a LoRA predictor, or a smaller batch_size"
            )
        return PrefixTuningConfig(
            task_type=task,
            num_virtual_tokens=parameters.virtual_tokens,
            prefix_projection=parameters.prefix_projection,
            encoder_hidden_size=parameters.projection_size,
        )
    assert isinstance(parameters, LoraParameters)
    return LoraConfig(
        task_type=task,
        r=parameters.rank,
        lora_alpha=parameters.alpha,
        lora_dropout=parameters.lora_dropout,
        target_modules=_targets(backbone, parameters.target_modules),
    )


def _targets(backbone: Backbone, asked: str) -> str | list[str]:
    """Names of the modules that LoRA changes; ``auto`` is every linear map of the attention."""
    if asked == "all-linear":
        return asked
    if asked != "auto":
        return [name.strip() for name in asked.split(",")]
    modules = backbone.model.named_modules()
    found = {n.split(".")[-1] for n, m in modules if "att" in n.lower() and _has_matrix(m)}
    return sorted(found - {"rotary_emb", "dense"}) or "all-linear"


def _has_matrix(module: torch.nn.Module) -> bool:
    weight = getattr(module, "weight", None)
    return isinstance(weight, torch.Tensor) and weight.ndim == 2 and not list(module.children())


def _is_causal(name: str, revision: str | None) -> bool:
    """Whether a model's config names a causal language model; True where there is none to read, which
    ``load`` then explains."""
    from transformers import AutoConfig

    place = place_of(name)
    if place.is_gguf:
        return True
    try:
        config = AutoConfig.from_pretrained(
            place.path or name, revision=revision, local_files_only=place.path is not None, **NEVER_RUN
        )
    except (OSError, ValueError):
        return True
    names = getattr(config, "architectures", None) or []
    written = ("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")
    return not config.is_encoder_decoder and (not names or any(n.endswith(written) for n in names))
