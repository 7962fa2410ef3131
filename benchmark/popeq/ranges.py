"""Ranges that ``popeq tune`` may search: declared with a parameter, read from the parameters model.

The module imports little, because plugins import it when they are listed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BaseModel, Field, TypeAdapter, ValidationError, model_validator

from popeq.contract import PredictorSpec
from popeq.errors import UsageError


def tuned(
    low: float, high: float, *, log: bool = False, when: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """``Field(json_schema_extra=tuned(1e-4, 0.1, log=True))``: search from ``low`` to ``high``.

    Only whole numbers are searched if the field is an ``int``. With ``log`` the search is uniform in the
    logarithm. ``when`` are values that other parameters must have for this one to matter, such as
    ``{"method": "lora"}``; otherwise it is not searched. These other parameters must not have a range.
    """
    return {"tune": {"low": low, "high": high, "log": log} | _condition(when)}


def tuned_choice(*choices: Any, when: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """``Field(json_schema_extra=tuned_choice("mean", "cls"))``: search these; ``when`` as in ``tuned``."""
    return {"tune": {"choices": list(choices)} | _condition(when)}


def _condition(when: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"when": dict(when)} if when else {}


class Interval(BaseModel, frozen=True, extra="forbid"):
    """Numbers from ``low`` to ``high``."""

    low: float
    high: float
    log: bool = False
    whole: bool = Field(False, description="whole numbers only")

    @model_validator(mode="after")
    def _ordered(self) -> Interval:
        if not self.low < self.high:
            raise ValueError("low must be below high")
        if self.log and not self.low > 0:
            raise ValueError("a logarithmic range must be positive")
        return self


class Choices(BaseModel, frozen=True, extra="forbid"):
    """A list of values."""

    choices: list[bool | int | float | str | None] = Field(min_length=2)


Range: TypeAlias = Interval | Choices


def declared_ranges(spec: PredictorSpec, held: Mapping[str, Any]) -> dict[str, Range]:
    """The parameters of a predictor that may be searched, in the order of their declaration.

    ``held`` are the values of all its parameters, by default or as the user set them. Ranges whose ``when``
    does not agree with them are left out. Raises UsageError if a declaration is not valid, or has values that
    the parameter does not accept.
    """
    ranges: dict[str, Range] = {}
    declared = {
        name: extra["tune"]
        for name, field in spec.parameters.model_fields.items()
        if isinstance(extra := field.json_schema_extra, dict) and "tune" in extra
    }
    for name, declaration in declared.items():
        field = spec.parameters.model_fields[name]
        try:
            given: Any = dict(declaration)  # type: ignore[arg-type]
            when = dict(given.pop("when", {}))
            if odd := next((n for n in when if n in declared or n not in held), None):
                raise TypeError(f"it depends on {odd!r}, which must be a parameter without a range")
            if "choices" in given:
                found: Range = Choices.model_validate(given)
            else:
                kinds = set(get_args(field.annotation) or (field.annotation,)) - {type(None)}
                found = Interval.model_validate(given | ({"whole": True} if kinds == {int} else {}))
            kind: Any = Annotated[field.annotation, field]
            allowed: TypeAdapter[Any] = TypeAdapter(kind)
            if isinstance(found, Interval):
                values: list[Any] = [int(v) if found.whole else v for v in (found.low, found.high)]
            else:
                values = found.choices
            for value in values:
                allowed.validate_python(value)
        except (ValidationError, TypeError) as error:
            reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise UsageError(
                f"{spec.name}: the range that its parameter {name} declares for 'popeq tune' cannot be "
                f"searched: {reason}; correct it in the plugin"
            ) from None
        if all(held[other] == value for other, value in when.items()):
            ranges[name] = found
    return ranges
