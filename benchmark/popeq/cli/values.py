"""Values of options that are read and checked before a command begins."""

from __future__ import annotations

from typing import Any

import click

from popeq.errors import UsageError


class Numbers(click.ParamType[tuple[int, ...]]):
    """Whole numbers with commas between them; ``example`` is shown where they are not."""

    name = "N,N,..."

    def __init__(self, example: str) -> None:
        self.example = example

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        try:
            return tuple(int(part) for part in str(value).split(","))
        except ValueError:
            self.fail(
                f"{value!r} must be whole numbers with commas between them, such as {self.example}",
                param,
                ctx,
            )


def web_page(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    """Check an option that is the address of a web page."""
    from popeq.runs.card import web_link

    try:
        return None if value is None else web_link(value)
    except ValueError as error:
        raise UsageError(f"{param.opts[0]} {value!r} {error}") from None
