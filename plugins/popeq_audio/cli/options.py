"""Options that several of the commands share."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from popeq.cli.options import one_dataset_option

FILE = click.Path(path_type=Path, dir_okay=False)
F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option(
        "-p",
        "--predictor",
        default="kernel-mixture",
        show_default=True,
        help="Who answers ('popeq list').",
    ),
    one_dataset_option,
    click.option("-o", "options", multiple=True, metavar="NAME=VALUE", help="A parameter of the predictor."),
    click.option("--model", default=None, help="Short for -o model=...: a language model."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draws."),
    click.option("--fresh", is_flag=True, help="Fit and ask again even what is kept from before."),
)


def predictor_options(command: F) -> F:
    """Which predictor answers, and what it is fitted on: the command gets ``asked``, an AskedPredictor."""

    @functools.wraps(command)
    def call(**values: Any) -> Any:
        from popeq_audio.asked import AskedPredictor

        asked = AskedPredictor(**{name: values.pop(name) for name in AskedPredictor.model_fields})
        return command(asked=asked, **values)

    for option in reversed(_OPTIONS):
        call = option(call)
    return cast(F, call)


class Setting(click.ParamType[tuple[float, float]]):
    """``x,y`` in dB; whether it is inside the box is known once there is a data set (``check_settings``)."""

    name = "x,y"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        if isinstance(value, tuple):
            return value
        try:
            x, y = (float(part) for part in str(value).split(","))
        except ValueError:
            x = y = math.nan
        if not (math.isfinite(x) and math.isfinite(y)):
            self.fail(f"{value!r} must be two numbers, x and y in dB, such as 2.5,-1", param, ctx)
        return x, y
