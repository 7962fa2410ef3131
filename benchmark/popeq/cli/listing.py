"""``popeq list``: predictors, data sets and pairs of curves that are installed."""

from __future__ import annotations

from collections.abc import Mapping

import click

from popeq.cli.options import warn_of_broken_plugins
from popeq.contract import DatasetSpec, PredictorSpec
from popeq.output import say


@click.command("list")
def list_() -> None:
    """Predictors, data sets and pairs of curves that are installed."""
    from popeq.plugins import registry

    found = registry()
    warn_of_broken_plugins()
    offers: tuple[tuple[str, Mapping[str, PredictorSpec | DatasetSpec]], ...] = (
        ("predictors", found.predictors),
        ("data sets", found.datasets),
    )
    for title, specs in offers:
        say(f"{title}:")
        width = max((len(name) for name in specs), default=0)
        for name, spec in sorted(specs.items()):
            needs = isinstance(spec, PredictorSpec) and spec.extra
            say(f"  {name:<{width}}  {spec.summary}" + (f"  [needs popeq[{needs}]]" if needs else ""))
            if isinstance(spec, PredictorSpec):
                for field, info in spec.parameters.model_fields.items():
                    about = f": {info.description}" if info.description else ""
                    default = "required" if info.is_required() else f"{info.default}"
                    say(f"  {'':<{width}}    -o {field}={default}{about}")
        if not specs:
            say("  none")
    say("pairs of curves:")
    width = max(len(curves.form) for curves in found.curves.values())
    for _, curves in sorted(found.curves.items()):
        say(f"  {curves.form:<{width}}  {curves.summary}")
