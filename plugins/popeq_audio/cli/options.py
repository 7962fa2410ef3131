"""Options that several of the commands share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from popeq_audio.fitted import Fitted

F = TypeVar("F", bound=Callable[..., Any])

DEFAULT_PREDICTOR = "knn"

_OPTIONS = (
    click.option(
        "-p", "--predictor", default=DEFAULT_PREDICTOR, show_default=True, help="Who answers ('popeq list')."
    ),
    click.option("--dataset", default="simulated-120", show_default=True, help="Data set: name or folder."),
    click.option("-o", "options", multiple=True, metavar="NAME=VALUE", help="A parameter of the predictor."),
    click.option("--model", default=None, help="Short for -o model=...: a language model."),
    click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the draws."),
    click.option("--fresh", is_flag=True, help="Fit again even what is kept from an earlier question."),
)


def predictor_options(command: F) -> F:
    """Which predictor answers, and what it is fitted on."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def opened(
    predictor: str, dataset: str, options: tuple[str, ...], model: str | None, seed: int, fresh: bool
) -> Fitted:
    """The predictor that those options name, fitted."""
    from popeq.runs.plan import parse_options
    from popeq_audio.fitted import open_fitted

    given = parse_options([*options, *([] if model is None else [f"model={model}"])])
    return open_fitted(predictor, dataset, given, seed, fresh)


class Setting(click.ParamType[tuple[float, float]]):
    """``x,y`` in dB, inside the plane."""

    name = "x,y"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        from popeq.space import PLANE

        if isinstance(value, tuple):
            return value
        try:
            x, y = (float(part) for part in str(value).split(","))
        except ValueError:
            self.fail(f"{value!r} must be two numbers, smile and tilt in dB, such as 2.5,-1", param, ctx)
        if not PLANE.contains([x, y]).all():
            self.fail(f"{value!r} is outside the plane; smile and tilt are from -6 to 6 dB", param, ctx)
        return x, y
