"""Base of what a caller may set: frozen, made and changed with errors of one line."""

from __future__ import annotations

from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from popeq.errors import UnknownNameError, UsageError


class Settings(BaseModel):
    """Fields with defaults, bounds and descriptions, from which options of the command line are made.

    Raises
    ------
    UsageError
        For a name that is no field, or a value that the field does not take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    def __init__(self, **values: Any) -> None:
        known = type(self).model_fields
        for name in values:
            if name not in known:
                raise UnknownNameError("setting", name, known)
        try:
            super().__init__(**values)
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            raise UsageError(
                f"{name}={values.get(name)}: {first['msg']} ({known[name].description})"
            ) from None

    def with_changes(self, **changes: object) -> Self:
        """These settings with some fields changed; UsageError as for new ones."""
        return type(self)(**{**dict(self), **changes})
