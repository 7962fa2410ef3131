"""``popeq list``: predictors, data sets and pairs of curves that are installed; ``popeq list NAME``: one."""

from __future__ import annotations

import textwrap
import typing
from collections.abc import Mapping, Sequence
from types import NoneType, UnionType

import click

from popeq.cli.data import summary
from popeq.cli.options import warn_of_broken_plugins
from popeq.contract import DatasetSpec, PredictorSpec
from popeq.errors import UnknownNameError
from popeq.output import say
from popeq.plain_text import visible

if typing.TYPE_CHECKING:
    from pydantic.fields import FieldInfo

    from popeq.eq.pairs import CurvesSpec

_WIDTH = 100
_TYPES: dict[object, str] = {bool: "true or false", int: "integer", float: "number", str: "text"}
_BOUNDS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


@click.command("list")
@click.argument("name", required=False)
def list_(name: str | None) -> None:
    """Predictors, data sets and pairs of curves that are installed; with NAME all about one of them.

    A line each. For a predictor NAME shows its parameters with type, default and meaning, for a data set its
    sizes, for a pair of curves what its axes do.
    """
    from popeq.plugins import registry

    found = registry()
    warn_of_broken_plugins()
    if name is None:
        rows = [
            (n, spec.kind, spec.extra or "", spec.summary) for n, spec in sorted(found.predictors.items())
        ]
        _table("predictors (name, kind, what they need of popeq[...])", rows)
        _table("data sets", [(n, spec.summary) for n, spec in sorted(found.datasets.items())])
        _table("pairs of curves", [(spec.form, spec.summary) for _, spec in sorted(found.curves.items())])
        say(
            "",
            "popeq list NAME shows the parameters of a predictor, or a data set or pair of curves in full.",
        )
        return
    curves = {form: spec for spec in found.curves.values() for form in (spec.name, spec.form)}
    every: tuple[Mapping[str, object], ...] = (found.predictors, found.datasets, curves)
    if not any(name in offers for offers in every):
        known = [*found.predictors, *found.datasets, *found.curves]
        raise UnknownNameError(
            "predictor, data set or pair of curves", name, known, "('popeq list' shows all)"
        )
    if name in found.predictors:
        _say_predictor(found.predictors[name], found.sources.get(name, ""))
    if name in found.datasets:
        _say_dataset(found.datasets[name])
    if name in curves:
        _say_curves(curves[name])


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    """A line a row, no longer than the width; the last column is cut."""
    say(f"{title}:")
    shown = [tuple(map(visible, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)][:-1]
    for *keys, about in shown:
        begin = "".join(f"  {key:<{width}}" for key, width in zip(keys, widths, strict=True)) + "  "
        room = max(_WIDTH - len(begin), 1)
        say(begin + (about if len(about) <= room else f"{about[: room - 1]}…"))
    if not shown:
        say("  none")


def _paragraph(text: str, indent: str, later: str | None = None) -> None:
    after = indent if later is None else later
    say(*textwrap.wrap(visible(text), _WIDTH, initial_indent=indent, subsequent_indent=after))


def _say_predictor(spec: PredictorSpec, source: str) -> None:
    say(f"{spec.name}: a predictor ({spec.kind}){f' of {source}' if source else ''}")
    _paragraph(f"{spec.summary}.", "  ")
    if spec.extra:
        say(f"  needs popeq[{spec.extra}]{', runs faster on a GPU' if spec.wants_gpu else ''}")
    fields = spec.parameters.model_fields
    say("parameters (--NAME VALUE or -o NAME=VALUE):" if fields else "no parameters")
    for name, field in fields.items():
        default = "required" if field.is_required() else f"default {_shown(field.default)}"
        _paragraph(f"{name}: {_type(field)}, {default}", "  ", "      ")
        if field.description:
            _paragraph(field.description, "      ")


def _say_dataset(spec: DatasetSpec) -> None:
    from popeq.api import load_dataset

    say(f"{spec.name}: a data set")
    for line in summary(load_dataset(spec.name)):
        _paragraph(line.strip(), "  ")
    say(f"  popeq data show {spec.name} lists its prompts.")


def _say_curves(spec: CurvesSpec) -> None:
    say(f"{spec.name}: a pair of curves, {spec.form} in dataset.toml")
    _paragraph(f"{spec.summary}.", "  ")
    for number in spec.numbers:
        _paragraph(f"{number.split()[0].upper()}: {number}", "  ")
    if spec.numbers:
        return
    from popeq.eq.known import curves_named

    pair = curves_named(spec.name)
    for direction, axis in (("x", pair.x), ("y", pair.y)):
        _paragraph(f"{direction} ({axis.name}): down: {axis.low}; up: {axis.high}", "  ")


def _shown(default: object) -> str:
    return str(default).lower() if isinstance(default, bool) else "none" if default is None else f"{default}"


def _type(field: FieldInfo) -> str:
    """The type of a parameter in words, with its bounds."""
    annotation = field.annotation
    either = typing.get_origin(annotation) in (typing.Union, UnionType)
    kinds = [k for k in typing.get_args(annotation) if k is not NoneType] if either else [annotation]
    bounds = [
        f"{sign} {value:g}"
        for each in field.metadata
        for bound, sign in _BOUNDS.items()
        if (value := getattr(each, bound, None)) is not None
    ]
    return " ".join([" or ".join(map(_kind, kinds)), *([" and ".join(bounds)] if bounds else [])])


def _kind(kind: object) -> str:
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(str, inside))
    if origin is dict:
        return "JSON object"
    if origin in (tuple, list):
        return "JSON list of " + ", ".join(_kind(k) for k in inside if k is not Ellipsis)
    return _TYPES.get(kind, getattr(kind, "__name__", str(kind)))
