"""From a predictor, a data set and what a person asked for to a search, with every name and range checked."""

from __future__ import annotations

import math
from collections.abc import Mapping

from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.errors import UnknownNameError, UsageError
from popeq.metrics import HEADLINE
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.ranges import declared_ranges
from popeq.runs.identity import identity_of
from popeq.runs.plan import check_space, typed_parameters
from popeq.tuning.record import Budget, Search
from popeq.tuning.settings import SearchSettings


def plan_search(
    spec: PredictorSpec,
    view: Dataset,
    given: str,
    fixed: Mapping[str, object],
    settings: SearchSettings,
) -> Search:
    """What is searched. ``given``: how the data set was asked for; the others as for ``popeq.tune``.

    Raises UsageError for a parameter that is unknown or of the wrong type, for a space in which the predictor
    cannot be used, and where no range is left.
    """
    fields = spec.parameters.model_fields
    for name in fixed:
        if name not in fields:
            raise UnknownNameError(f"parameter of {spec.name}", name, fields)
    typed = typed_parameters(spec, fixed, flag="--set")
    check_space(spec, typed, view)
    held = typed.model_dump(mode="json")
    by_epochs = fields["epochs"].annotation is int if "epochs" in fields else False
    full = held["epochs"] if by_epochs else len(view.test_ids)
    declared = declared_ranges(spec, held)
    ranges = {n: r for n, r in declared.items() if n not in fixed and not (by_epochs and n == "epochs")}
    if not ranges:
        why = (
            "every parameter with a range is held by --set"
            if declared
            else "no parameter of it declares a range to search (docs/tuning.md says how)"
        )
        raise UsageError(f"{spec.name}: nothing to tune: {why}")
    rounds, reduction = settings.rounds, settings.reduction
    budgets = [math.ceil(full / reduction ** (rounds - 1 - k)) for k in range(rounds)]
    return Search(
        predictor=spec.name,
        source=registry().source_of(spec.name),
        code=identity_of(spec, typed).sha256,
        dataset=given,
        revision=view.revision,
        protocol=DEFAULT_PROTOCOL.fingerprint,
        metric=HEADLINE,
        seed=settings.seed,
        ranges=ranges,
        fixed={name: held.get(name) for name in fixed},
        budget=Budget(
            parameter="epochs" if by_epochs else "prompts",
            rounds=sorted(set(budgets)),
            reduction=reduction,
        ),
    )
