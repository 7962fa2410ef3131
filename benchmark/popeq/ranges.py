"""Ranges that ``popeq tune`` may search: declared beside a parameter, read back from the parameters model.

Light to import: plugins declare with it.
"""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias, get_args

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from popeq.contract import PredictorSpec
from popeq.errors import UsageError


def tuned(low: float, high: float, *, log: bool = False) -> dict[str, Any]:
    """``Field(json_schema_extra=tuned(1e-4, 0.1, log=True))``: search from ``low`` to ``high``.

    Whole numbers alone if the field is an ``int``; ``log`` searches orders of magnitude evenly.
    """
    return {"tune": {"low": low, "high": high, "log": log}}


def tuned_choice(*choices: Any) -> dict[str, Any]:
    """``Field(json_schema_extra=tuned_choice("mean", "cls"))``: try these values."""
    return {"tune": {"choices": list(choices)}}


class _Declaration(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Declaration):
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

    @property
    def ends(self) -> list[Any]:
        """Values that the parameter has to take."""
        return [int(v) if self.whole else v for v in (self.low, self.high)]


class Choices(_Declaration):
    """A few values."""

    choices: list[bool | int | float | str | None] = Field(min_length=2)

    @property
    def ends(self) -> list[Any]:
        """Values that the parameter has to take."""
        return list(self.choices)


Range: TypeAlias = Interval | Choices


def declared_ranges(spec: PredictorSpec) -> dict[str, Range]:
    """The parameters of a predictor that may be searched, in the order of their declaration.

    Raises UsageError for a declaration that makes no sense or leaves what the parameter allows.
    """
    ranges: dict[str, Range] = {}
    for name, field in spec.parameters.model_fields.items():
        extra = field.json_schema_extra
        if not isinstance(extra, dict) or "tune" not in extra:
            continue
        given: Any = extra["tune"]
        try:
            if "choices" in given:
                found: Range = Choices.model_validate(given)
            else:
                found = Interval.model_validate(given | _whole(field.annotation))
            kind: Any = Annotated[field.annotation, field]
            allowed: TypeAdapter[Any] = TypeAdapter(kind)
            for value in found.ends:
                allowed.validate_python(value)
        except (ValidationError, TypeError) as error:
            raise UsageError(
                f"{spec.name}: the range that its parameter {name} declares for 'popeq tune' cannot be "
                f"searched: {_reason(error)}; its plugin has to mend that"
            ) from None
        ranges[name] = found
    return ranges


def _whole(annotation: Any) -> dict[str, bool]:
    kinds = set(get_args(annotation) or (annotation,)) - {type(None)}
    return {"whole": True} if kinds == {int} else {}


def _reason(error: Exception) -> str:
    return error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
