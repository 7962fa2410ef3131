"""The predictor that asks for the group of listeners: the training prior of the group. NumPy only."""

from __future__ import annotations

from pydantic import Field

from popeq.contract import Parameters, PredictorSpec
from popeq.hookspecs import hookimpl


class GroupPriorParameters(Parameters):
    pooled_answers: float = Field(
        100.0,
        ge=0,
        description="answers of the group from which on half of the draws are the group's own; 0: all are",
    )


@hookimpl
def popeq_predictors() -> list[PredictorSpec]:
    return [
        PredictorSpec(
            "group-prior",
            "draws from the training responses of the group of listeners that is asked about, and of all",
            "popeq_groups.prior:GroupPrior",
            parameters=GroupPriorParameters,
            kind="baseline",
            wants_groups=True,
        )
    ]
