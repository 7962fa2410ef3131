"""Predictors that train: LoRA and prefixes with regression heads or next tokens, and a mixture head."""

from __future__ import annotations

from popeq.contract import PredictorSpec
from popeq.hookspecs import hookimpl
from popeq_peft.parameters import (
    LoraHeadParameters,
    LoraNextTokenParameters,
    MixtureParameters,
    PrefixHeadParameters,
    PrefixNextTokenParameters,
)

#: An openai: paraphraser reads its key here.
_KEYS = ("OPENAI_API_KEY",)


@hookimpl
def popeq_predictors() -> list[PredictorSpec]:
    return [
        PredictorSpec(
            "lora-head",
            "a model fine-tuned with LoRA, and a head that gives 11 settings a pass",
            "popeq_peft.point_heads:LoraHead",
            parameters=LoraHeadParameters,
            extra="peft",
            kind="fine-tuned",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "prefix-head",
            "a model with a trained prefix, and a head that gives 11 settings a pass",
            "popeq_peft.point_heads:PrefixHead",
            parameters=PrefixHeadParameters,
            extra="peft",
            kind="fine-tuned",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "lora-ntp",
            "a language model fine-tuned with LoRA to write listeners' settings",
            "popeq_peft.next_token:LoraNextToken",
            parameters=LoraNextTokenParameters,
            extra="peft",
            kind="fine-tuned",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "prefix-ntp",
            "a language model with a prefix trained to write listeners' settings",
            "popeq_peft.next_token:PrefixNextToken",
            parameters=PrefixNextTokenParameters,
            extra="peft",
            kind="fine-tuned",
            needs_env=_KEYS,
        ),
        PredictorSpec(
            "head-mixture",
            "a head that gives a mixture density, pulled to the distribution over all sentences",
            "popeq_peft.mixture:HeadMixture",
            parameters=MixtureParameters,
            extra="peft",
            kind="fine-tuned",
            needs_env=_KEYS,
        ),
    ]
