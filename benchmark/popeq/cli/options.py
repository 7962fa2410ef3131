"""Options that several commands share, and options made from a pydantic parameters model."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from pydantic_core import PydanticUndefined

from popeq.contract import Parameters
from popeq.errors import UsageError

if typing.TYPE_CHECKING:
    from popeq.dataset import Dataset

F = TypeVar("F", bound=Callable[..., Any])

runs_option = click.option(
    "--runs",
    "runs_dir",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Folder of the runs.",
)
format_option = click.option(
    "--format",
    "form",
    type=click.Choice(["text", "markdown", "csv", "json"]),
    default="text",
    show_default=True,
    help="How to print the table; the columns are the same.",
)

by_option = click.option(
    "--by", type=click.Choice(["category"]), default=None, help="Split the table by category of the prompts."
)
recompute_option = click.option(
    "--recompute", is_flag=True, help="Score again what the same code has scored here before."
)
jobs_option = click.option(
    "--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Processes side by side."
)
answers_option = click.option(
    "--answers",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="File of the test answers, if the data set is sealed.",
)


def dataset_option(command: F) -> F:
    """``--dataset`` and ``--answers``; the command gets ``dataset``, which is loaded if answers are given."""

    @functools.wraps(command)
    def call(*args: Any, dataset: str | None, answers: Path | None, **values: Any) -> Any:
        return command(*args, dataset=given_dataset(dataset, answers), **values)

    option = click.option(
        "--dataset", default=None, help="Data set: a name or a folder. [default: that of the runs]"
    )
    return typing.cast(F, option(answers_option(call)))


def given_dataset(dataset: str | None, answers: Path | None) -> str | Dataset | None:
    """What ``--dataset`` names, loaded if there are answers to it; UsageError for answers to nothing."""
    if answers is None:
        return dataset
    if dataset is None:
        raise UsageError("--answers: needs --dataset, the data set whose answers these are")
    from popeq.api import load_dataset

    return load_dataset(dataset, answers=answers)


def containment_options(command: F) -> F:
    """``--memory``, ``--online`` and ``--pass-env``: what a predictor's process may use."""
    for option in reversed(_CONTAINMENT):
        command = option(command)
    return command


_CONTAINMENT = (
    click.option(
        "--memory",
        "memory_gb",
        type=click.FloatRange(min=0, min_open=True),
        default=None,
        help="GiB that one predictor may have. [default: 80 % of the machine's, shared among --jobs]",
    ),
    click.option("--online", is_flag=True, help="Let predictors use the network."),
    click.option(
        "--pass-env",
        "pass_env",
        multiple=True,
        metavar="NAME",
        help="Hand on an environment variable, such as a token. Repeatable.",
    ),
)


def warn_of_broken_plugins() -> None:
    """One line on the error stream for each plugin that could not be used."""
    from popeq.plugins import registry

    for warning in registry().warnings:
        click.echo(f"popeq: warning: {warning}", err=True)


def option_for(name: str, model: type[Parameters]) -> click.Option:
    """A click option for one field of a parameters model."""
    field = model.model_fields[name]
    flag = f"--{name.replace('_', '-')}"
    required = field.is_required()
    default = None if required or field.default is PydanticUndefined else field.default
    description = field.description or ""
    if field.annotation is bool:
        return click.Option(
            [f"{flag}/--no-{name.replace('_', '-')}", name], default=default, help=description
        )
    kind: Any = str
    if typing.get_origin(field.annotation) is Literal:
        kind = click.Choice([str(a) for a in typing.get_args(field.annotation)])
    elif field.annotation in (int, float):
        kind = field.annotation
    return click.Option(
        [flag, name],
        type=kind,
        default=default,
        required=required,
        help=description,
        show_default=default is not None,
    )


def validated(model: type[Parameters], values: dict[str, Any], command: str) -> Parameters:
    """The parameters model, or UsageError that names the option and what is wrong with it."""
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-") if first["loc"] else "options"
        raise UsageError(f"{command}: --{name}: {first['msg']}") from None


def engine_options(command: F) -> F:
    """``--jobs``, ``--engine`` and ``--scheduler``."""
    decorators = (
        click.option(
            "--jobs",
            type=click.IntRange(min=1),
            default=1,
            show_default=True,
            help="Processes side by side on this machine.",
        ),
        click.option(
            "--engine",
            type=click.Choice(["local", "dask", "ray"]),
            default="local",
            show_default=True,
            help="Where runs are drawn; never changes a result.",
        ),
        click.option("--scheduler", default=None, metavar="ADDRESS", help="Of the dask or ray cluster."),
    )
    for decorate in reversed(decorators):
        command = decorate(command)
    return command
