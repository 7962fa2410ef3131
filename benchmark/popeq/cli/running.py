"""``popeq run``: draw runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import containment_options, engine_options, runs_option, warn_of_broken_plugins

if TYPE_CHECKING:
    from popeq.runs.folder import Run


@click.command()
@click.argument("predictors", nargs=-1, required=True, metavar="PREDICTOR...")
@click.option("--dataset", default="simulated-120", show_default=True, help="Data set: a name or a folder.")
@click.option(
    "--seed",
    "seeds",
    type=click.IntRange(min=0),
    multiple=True,
    default=(0,),
    show_default=True,
    help="Repeatable.",
)
@click.option(
    "-o", "options", multiple=True, metavar="NAME=VALUE", help="A parameter, for each predictor that has it."
)
@click.option("--model", default=None, help="Short for -o model=...: a language model.")
@click.option("--base-url", default=None, help="Short for -o base_url=...: server of an openai:NAME model.")
@click.option("--device", default=None, help="Short for -o device=...")
@click.option("--dtype", default=None, help="Short for -o dtype=...")
@click.option(
    "--launcher", default=None, help="Short for -o launcher=...: accelerate[:N], processes train together."
)
@click.option("--decode", default=None, help="Short for -o decode=...")
@click.option("--template", default=None, help="Short for -o template=...: a prompt template file.")
@runs_option
@engine_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Seconds that one run may take; then it is killed.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Prompts handed to a predictor at once; results do not depend on it.",
)
@containment_options
@click.option("--fresh", is_flag=True, help="Draw again even what is complete.")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def run(
    predictors: tuple[str, ...],
    dataset: str,
    seeds: tuple[int, ...],
    options: tuple[str, ...],
    runs_dir: Path,
    jobs: int,
    engine: str,
    scheduler: str | None,
    timeout_s: float,
    batch_size: int,
    memory_gb: float | None,
    online: bool,
    pass_env: tuple[str, ...],
    fresh: bool,
    quiet: bool,
    **short: str | None,
) -> None:
    """Draw the predictions of one or more predictors.

    What is complete is not drawn again; what was stopped goes on where it was. Edited code, or another model,
    is another run. A predictor that fails costs only its own run; then the exit code is 1.
    """
    from popeq import api
    from popeq.runs.plan import parse_options

    warn_of_broken_plugins()
    loaded = api.load_dataset(dataset)
    runs = api.run(
        list(predictors),
        loaded,
        seeds=seeds,
        options=parse_options([*options, *(f"{k}={v}" for k, v in short.items() if v is not None)]),
        runs_dir=runs_dir,
        jobs=jobs,
        engine=engine,
        scheduler=scheduler,
        timeout_s=timeout_s,
        batch_size=batch_size,
        fresh=fresh,
        progress=not quiet,
        containment=api.Containment(memory_gb, online, pass_env),
        on_run=_tell,
        on_note=click.echo,
    )
    if loaded.sealed_note:
        click.echo(loaded.sealed_note)
    if any(r.record.status != "complete" for r in runs):
        raise click.exceptions.Exit(1)


def _tell(run: Run, drawn: bool) -> None:
    record = run.record
    name = record.predictor.name
    data = f"{record.dataset.name}{' (simulated)' if record.dataset.simulated else ''}"
    if record.status == "complete":
        how = f"drawn in {record.wall_s:.1f} s" if drawn else "complete already"
        click.echo(f"{name}: {record.prompts} prompts of {data}, {how}: {run.folder}")
        return
    click.echo(f"{name}: FAILED, {record.prompts_done} of {record.prompts} prompts of {data}: {run.folder}")
    for failure in record.failures:
        where = f" (see {run.folder / failure.detail})" if failure.detail else ""
        click.echo(f"  {failure.stage}: {failure.kind}: {failure.message}{where}")
