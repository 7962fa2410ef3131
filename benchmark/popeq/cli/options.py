"""Options that several commands share, and options made from a pydantic parameters model."""

from __future__ import annotations

import functools
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from pydantic.fields import FieldInfo

from popeq.contract import Parameters
from popeq.defaults import DEFAULT_DATASET, DEFAULT_RUNS
from popeq.errors import UsageError
from popeq.output import PlainHelp, say, say_text
from popeq.protocol import SECONDARY_METRIC_VERSIONS
from popeq.runs.settings import DEFAULT_SETTINGS
from popeq.settings import Settings

if typing.TYPE_CHECKING:
    import pandas as pd

    from popeq.dataset import Dataset

F = TypeVar("F", bound=Callable[..., Any])


runs_option = click.option(
    "--runs",
    "runs_dir",
    type=click.Path(path_type=Path),
    default=Path(DEFAULT_RUNS),
    show_default=True,
    help="Folder of the runs.",
)
one_dataset_option = click.option(
    "--dataset", default=DEFAULT_DATASET, show_default=True, help="Data set: a name or a folder."
)
seeds_option = click.option(
    "--seed",
    "seeds",
    type=click.IntRange(min=0),
    multiple=True,
    default=(0,),
    show_default=True,
    help="Repeatable.",
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
    "--by",
    metavar="NAME",
    default=None,
    help="Split the table by a grouping of the prompts (category, basis or one that the data set names), or "
    "by the listeners' group: the same samples, scored against each group alone.",
)
recompute_option = click.option(
    "--recompute", is_flag=True, help="Score again what the same code has scored here before."
)
also_option = click.option(
    "--with",
    "also",
    type=click.Choice(list(SECONDARY_METRIC_VERSIONS)),
    multiple=True,
    help="Also show this secondary score, which ranks nothing (docs/scores.md).",
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


#: Options of settings whose names are not those of the fields.
_FLAGS = {
    "runs_dir": ("--runs",),
    "timeout_s": ("--timeout",),
    "memory_gb": ("--memory",),
    "output": ("-o", "--output"),
}
#: What a predictor's process may use.
CONTAINMENT = ("memory_gb", "online", "pass_env")


def settings_options(*names: str, **defaults: object) -> Callable[[F], F]:
    """Options for some fields of ``RunSettings``; the command gets ``settings``.

    ``defaults`` are other defaults than the fields' own.
    """
    return options_of(DEFAULT_SETTINGS.with_changes(**defaults), "settings", names)


def options_of(settings: Settings, into: str, names: Sequence[str] = ()) -> Callable[[F], F]:
    """Options for some fields of settings, for all of them without ``names``; the command gets the settings
    that are given with what the options change, as its parameter ``into``."""
    chosen = names or tuple(type(settings).model_fields)

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def call(*args: Any, **values: Any) -> Any:
            own = {name: values.pop(name) for name in chosen}
            return command(*args, **{into: settings.with_changes(**own)}, **values)

        decorated: Any = call
        for name in reversed(chosen):
            field = type(settings).model_fields[name]
            flags, how = _declaration(name, field, getattr(settings, name))
            decorated = click.option(*flags, **how)(decorated)
        return typing.cast(F, decorated)

    return decorate


def _declaration(name: str, field: FieldInfo, default: object) -> tuple[list[str], dict[str, Any]]:
    """What click makes an option of a field from: its names, and all else."""
    flags = [*_FLAGS.get(name, (_flag(name),)), name]
    if field.annotation is bool and not default:
        how: dict[str, Any] = {"is_flag": True, "default": False}
    elif field.annotation is bool:
        flags, how = [f"{_flag(name)}/--no-{name.replace('_', '-')}", name], {"default": True}
    elif field.annotation == tuple[str, ...]:
        how = {"multiple": True, "metavar": "NAME"}
    else:
        how = {"type": _click_type(field), "default": default, "show_default": default is not None}
    return flags, {**how, "required": field.is_required(), "help": field.description}


def _click_type(field: FieldInfo) -> Any:
    """The click type of a field: its choices, a number within its bounds, a path or text."""
    kinds = [k for k in typing.get_args(field.annotation) or (field.annotation,) if k is not type(None)]
    literal = field.annotation if typing.get_origin(field.annotation) is Literal else kinds[0]
    if typing.get_origin(literal) is Literal:
        return click.Choice([str(choice) for choice in typing.get_args(literal)])
    bounds: dict[str, Any] = {}
    for each in field.metadata:
        for bound, name in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
            if (value := getattr(each, bound, None)) is not None:
                bounds |= {name: value, f"{name}_open": bound in ("gt", "lt")}
    if kinds == [int]:
        return click.IntRange(**bounds)
    if kinds == [float]:
        return click.FloatRange(**bounds)
    return click.Path(path_type=Path) if kinds == [Path] else str


class PredictorCommand(PlainHelp):
    """A command with an option for each parameter of the predictors that are named on its command line.

    ``--NAME VALUE`` is short for ``-o NAME=VALUE``; a parameter whose option the command has for itself is
    given by ``-o`` alone. ``given_parameters`` reads both.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        from popeq.plugins import registry

        known = registry().predictors
        named = {arg: known[arg] for arg in args if arg in known}
        taken = {flag for parameter in self.params for flag in parameter.opts}
        fields = {
            name: field
            for spec in named.values()
            for name, field in spec.parameters.model_fields.items()
            if _flag(name) not in taken
        }
        ctx.meta[_OPTIONS] = [_parameter_option(name, field) for name, field in sorted(fields.items())]
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            having = [
                name
                for name, spec in sorted(known.items())
                if error.option_name in map(_flag, spec.parameters.model_fields)
            ]
            if not having:
                raise
            raise UsageError(
                f"{error.option_name}: is a parameter of {', '.join(having)}; "
                f"{'named here: ' + ', '.join(named) if named else 'no predictor is named here'}"
            ) from None

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        return [*super().get_params(ctx), *ctx.meta.get(_OPTIONS, [])]

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own = [p.get_help_record(ctx) for p in super().get_params(ctx) if isinstance(p, click.Option)]
        with formatter.section("Options"):
            formatter.write_dl([record for record in own if record])
        of_predictors = [p.get_help_record(ctx) for p in ctx.meta.get(_OPTIONS, [])]
        if of_predictors:
            with formatter.section("Parameters of the predictors"):
                formatter.write_dl([record for record in of_predictors if record])


_OPTIONS, _VALUES = "popeq.parameter_options", "popeq.parameter_values"


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _parameter_option(name: str, field: FieldInfo) -> click.Option:
    """An option for a parameter; its value is text, which ``typed_parameters`` reads.

    Its name in click is none of the command's own: options of one name share a value.
    """
    own_name = f"parameter_{name}"

    def keep(ctx: click.Context, _: click.Parameter, value: object) -> None:
        if value is not None:
            text = str(value).lower() if isinstance(value, bool) else str(value)
            ctx.meta.setdefault(_VALUES, {})[name] = text

    about = field.description or ""
    if field.annotation is bool:
        flags = f"{_flag(name)}/--no-{name.replace('_', '-')}"
        return click.Option([flags, own_name], default=None, help=about, expose_value=False, callback=keep)
    default = "" if field.is_required() or field.default is None else f" [default: {field.default}]"
    kind = _click_type(field)
    shown = f"[{'|'.join(kind.choices)}]" if isinstance(kind, click.Choice) else None
    metavar = {click.IntRange: "INTEGER", click.FloatRange: "FLOAT"}.get(type(kind), shown)
    return click.Option(
        [_flag(name), own_name],
        help=f"{about}{default}",
        metavar=metavar,
        expose_value=False,
        callback=keep,
    )


def given_parameters(options: Sequence[str]) -> dict[str, str]:
    """Parameters by name from the ``-o`` words of a ``PredictorCommand`` and from its options.

    Raises UsageError for a word that is not ``name=value``, and a parameter that is given twice.
    """
    from popeq.runs.plan import parse_options

    short = click.get_current_context().meta.get(_VALUES, {})
    return parse_options([*options, *(f"{name}={value}" for name, value in short.items())])


def print_table(
    table: pd.DataFrame, form: str, notes: Sequence[str] = (), *, title: str = "", keys: int = 1
) -> None:
    """Print a table in one of the forms of ``--format``, below its title where people read it; with CSV the
    notes go to the error stream."""
    from popeq.render import render

    if title and form in ("text", "markdown"):
        say(title, "")
    say_text(render(table, form, notes, keys=keys))  # type: ignore[arg-type]
    if form == "csv" and notes:
        say(*notes, err=True)


def warn_of_broken_plugins() -> None:
    """One line on the error stream for each plugin that could not be used."""
    from popeq.plugins import registry

    for warning in registry().warnings:
        say(f"popeq: warning: {warning}", err=True)


def option_for(name: str, model: type[Parameters]) -> click.Option:
    """A click option for one field of a parameters model."""
    field = model.model_fields[name]
    flags, how = _declaration(name, field, None if field.is_required() else field.default)
    return click.Option(flags, **how)


def validated(model: type[Parameters], values: dict[str, Any], command: str) -> Parameters:
    """The parameters model, or UsageError that names the option and what is wrong with it."""
    from pydantic import ValidationError

    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]).replace("_", "-") if first["loc"] else "options"
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(f"{command}: --{name}: {reason}") from None
