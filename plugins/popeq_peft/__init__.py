"""Predictors that train: LoRA and prefixes with regression heads or next tokens, and a mixture head."""

from __future__ import annotations

from functools import partial

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
    trained = partial(PredictorSpec, extra="peft", kind="fine-tuned", needs_env=_KEYS)
    return [
        trained(
            "lora-head",
            "a model fine-tuned with LoRA, and a head that gives 11 settings a pass",
            "popeq_peft.point_heads:LoraHead",
            LoraHeadParameters,
        ),
        trained(
            "prefix-head",
            "a model with a trained prefix, and a head that gives 11 settings a pass",
            "popeq_peft.point_heads:PrefixHead",
            PrefixHeadParameters,
        ),
        trained(
            "lora-ntp",
            "a language model fine-tuned with LoRA to write listeners' settings",
            "popeq_peft.next_token:LoraNextToken",
            LoraNextTokenParameters,
        ),
        trained(
            "prefix-ntp",
            "a language model with a prefix trained to write listeners' settings",
            "popeq_peft.next_token:PrefixNextToken",
            PrefixNextTokenParameters,
        ),
        trained(
            "head-mixture",
            "a head that gives a mixture density, pulled to the distribution over all sentences",
            "popeq_peft.mixture:HeadMixture",
            MixtureParameters,
        ),
    ]
