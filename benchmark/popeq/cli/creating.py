"""``popeq new``: begin a predictor of one's own."""

from __future__ import annotations

from pathlib import Path

import click

from popeq.output import say


@click.command()
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(["numpy", "llm"]),
    default="numpy",
    show_default=True,
    help="What it starts from: NumPy alone, or a language model (needs popeq[llm]).",
)
@click.option(
    "--in",
    "parent",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="Where the package's folder goes. [default: here]",
)
def new(name: str, kind: str, parent: Path) -> None:
    """Write an installable package with a predictor called NAME.

    It runs and passes its tests as it is; docs/tutorials/my-model.md shows how to go on from there.
    """
    from popeq.errors import UsageError
    from popeq.plugins import registry
    from popeq.scaffold import write_package

    if name in registry().predictors:
        raise UsageError(f"{name!r} is a predictor of {registry().source_of(name)}; choose another name")
    for path in write_package(name, kind, parent):  # type: ignore[arg-type]
        say(f"{parent / name / path}")
    say("", f"Next: cd {parent / name} && pip install -e . && popeq run {name}")
