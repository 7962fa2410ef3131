"""``popeq run``: draw runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from popeq.cli.options import (
    CONTAINMENT,
    PredictorCommand,
    given_parameters,
    one_dataset_option,
    seeds_option,
    settings_options,
    warn_of_broken_plugins,
)
from popeq.output import say

if TYPE_CHECKING:
    from popeq.runs.settings import RunSettings


@click.command(cls=PredictorCommand)
@click.argument("predictors", nargs=-1, required=True, metavar="PREDICTOR...")
@one_dataset_option
@seeds_option
@click.option(
    "-o", "options", multiple=True, metavar="NAME=VALUE", help="A parameter, for each predictor that has it."
)
@settings_options("runs_dir", "jobs", "engine", "scheduler", "timeout_s", "batch_size", *CONTAINMENT, "fresh")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def run(
    predictors: tuple[str, ...],
    dataset: str,
    seeds: tuple[int, ...],
    options: tuple[str, ...],
    settings: RunSettings,
    quiet: bool,
) -> None:
    """Draw the predictions of one or more predictors.

    A parameter of the predictors has an option of its own: popeq run NAME --help shows them.

    What is complete is not drawn again; what was stopped goes on where it was. Edited code, or another model,
    is another run. A predictor that fails costs only its own run; then the exit code is 1.
    """
    from popeq import api
    from popeq.cli.progress import RunLines

    warn_of_broken_plugins()
    loaded = api.load_dataset(dataset)
    runs = api.run(
        list(predictors),
        loaded,
        seeds=seeds,
        options=given_parameters(options),
        settings=settings,
        reporter=RunLines(quiet),
    )
    if loaded.sealed_note:
        say(loaded.sealed_note)
    if any(r.record.status != "complete" for r in runs):
        raise click.exceptions.Exit(1)
