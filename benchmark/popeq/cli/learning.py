"""``popeq learn``: learning curves over the number of training prompts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import (
    CONTAINMENT,
    PredictorCommand,
    format_option,
    given_parameters,
    one_dataset_option,
    print_table,
    seeds_option,
    settings_options,
    warn_of_broken_plugins,
)
from popeq.cli.sweeping import SweepTable
from popeq.cli.values import Numbers
from popeq.output import say, say_text

if TYPE_CHECKING:
    from popeq.runs.settings import RunSettings


@click.command(cls=PredictorCommand)
@click.argument("predictors", nargs=-1, required=True, metavar="PREDICTOR...")
@click.option(
    "--train",
    type=Numbers("60,120,300"),
    required=True,
    help="Numbers of training prompts, such as 60,120,300.",
)
@click.option(
    "--subsets",
    type=click.IntRange(1, 1000),
    default=3,
    show_default=True,
    help="Subsets of each number; of all prompts there is one.",
)
@one_dataset_option
@seeds_option
@click.option(
    "-o", "options", multiple=True, metavar="NAME=VALUE", help="A parameter, for each predictor that has it."
)
@settings_options("runs_dir", "jobs", "engine", "scheduler", "timeout_s", "batch_size", *CONTAINMENT, "fresh")
@click.option(
    "--picture", type=click.Path(path_type=Path, dir_okay=False), help="Also a picture (.svg, .png)."
)
@click.option("--dry-run", is_flag=True, help="Only show what would be drawn.")
@click.option("--quiet", is_flag=True, help="No progress.")
@format_option
def learn(
    predictors: tuple[str, ...],
    train: tuple[int, ...],
    subsets: int,
    dataset: str,
    seeds: tuple[int, ...],
    options: tuple[str, ...],
    settings: RunSettings,
    picture: Path | None,
    dry_run: bool,
    quiet: bool,
    form: str,
) -> None:
    """Fit predictors on subsets of the training prompts and score them on the test prompts: learning curves.

    What is complete is not drawn again; what was stopped goes on where it was. The table has an interval for
    each predictor and number of prompts, and says which differences are beyond noise (docs/boards.md).
    """
    from popeq import api, drawing, learning

    warn_of_broken_plugins()
    if picture is not None:
        drawing.check_picture(picture)
    loaded = api.load_dataset(dataset)
    curve = learning.LearningSettings(train=train, subsets=subsets)
    given = given_parameters(options)
    if dry_run:
        table = SweepTable(settings.runs_dir, quiet=True)
        planned = learning.learning_plans(list(predictors), loaded, curve, seeds, given)
        table.planned([plan for plans in planned.values() for plan in plans])
        say_text(table.above())
        return
    study = learning.learn(
        list(predictors),
        loaded,
        seeds=seeds,
        options=given,
        curve=curve,
        settings=settings,
        reporter=SweepTable(settings.runs_dir, quiet),
    )
    if picture is not None:
        study.picture(picture)
    print_table(study.table, form, study.notes, title=study.title, keys=study.keys)
    if picture is not None:
        say(f"picture: {picture}", err=True)
