"""Ranges as plugins declare them: read, typed, and refused where they make no sense."""

from __future__ import annotations

import pytest
from pydantic import Field, create_model

import popeq
from popeq.plugins import registry
from popeq.ranges import Choices, Interval, declared_ranges
from popeq.runs.plan import typed_parameters
from popeq.tuning.halving import within


def spec_with(**fields):
    model = create_model("Options", __base__=popeq.Parameters, **fields)
    return popeq.PredictorSpec("odd", "for tests", "nowhere:Odd", parameters=model)


def ranges_of(spec, **given):
    return declared_ranges(spec, spec.parameters(**given).model_dump())


def test_ranges_are_read_with_their_types():
    found = ranges_of(
        spec_with(
            a=(float, Field(1.0, json_schema_extra=popeq.tuned(0.1, 10, log=True))),
            b=(int, Field(1, ge=1, json_schema_extra=popeq.tuned(1, 4))),
            c=(int | None, Field(None, json_schema_extra=popeq.tuned(2, 4))),
            d=(bool, Field(True, json_schema_extra=popeq.tuned_choice(True, False))),
            e=(int, Field(1)),
        )
    )
    assert found == {
        "a": Interval(low=0.1, high=10, log=True),
        "b": Interval(low=1, high=4, whole=True),
        "c": Interval(low=2, high=4, whole=True),
        "d": Choices(choices=[True, False]),
    }


@pytest.mark.parametrize(
    ("field", "reason"),
    [
        (Field(1.0, gt=0, json_schema_extra={"tune": {"low": 0.0, "high": 1.0}}), "greater than 0"),
        (Field(1.0, json_schema_extra=popeq.tuned(2, 1)), "low must be below high"),
        (Field(1.0, json_schema_extra=popeq.tuned(0, 1, log=True)), "must be positive"),
        (Field(1.0, json_schema_extra=popeq.tuned_choice(1.0)), "at least 2 items"),
        (Field(1.0, json_schema_extra=popeq.tuned_choice(1.0, "much")), "valid number"),
        (Field(1.0, json_schema_extra={"tune": 3}), "iterable"),
        (Field(1.0, json_schema_extra={"tune": {"low": 1.0}}), "required"),
    ],
)
def test_a_range_that_makes_no_sense_is_one_line_that_names_it(field, reason):
    with pytest.raises(popeq.UsageError, match=rf"^odd: the range that its parameter a .*{reason}.*$"):
        ranges_of(spec_with(a=(float, field)))


def test_what_does_not_matter_is_not_searched():
    spec = registry().predictor("head-mixture")
    plain, lora = ranges_of(spec), ranges_of(spec, method="lora")
    assert {"learning_rate", "rank"} == lora.keys() - plain.keys()
    assert plain == {name: lora[name] for name in plain}
    assert {"head_learning_rate", "dropout"} <= plain.keys()


@pytest.mark.parametrize("other", ["c", "nowhere"])
def test_a_condition_on_a_searched_or_unknown_parameter_is_one_line(other):
    fields = {
        "a": (float, Field(1.0, json_schema_extra=popeq.tuned(0, 1, when={other: 2}))),
        "c": (int, Field(2, json_schema_extra=popeq.tuned_choice(1, 2))),
    }
    with pytest.raises(
        popeq.UsageError, match=rf"^odd: the range .* parameter a .* depends on '{other}', .*$"
    ):
        ranges_of(spec_with(**fields))


def test_every_installed_predictor_declares_ranges_that_hold_its_defaults():
    searched = {
        name: declared_ranges(spec, typed_parameters(spec, {}).model_dump())
        for name, spec in registry().predictors.items()
        if not any(field.is_required() for field in spec.parameters.model_fields.values())
    }
    assert {n for n, r in searched.items() if r} >= {
        "knn",
        "icl-rag",
        "lora-head",
        "prefix-ntp",
        "head-mixture",
    }
    for name, ranges in searched.items():
        defaults = typed_parameters(registry().predictor(name), {}).model_dump()
        assert within(ranges, defaults), name
