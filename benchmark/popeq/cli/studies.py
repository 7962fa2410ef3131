"""``popeq ceiling``, ``power``, ``transfer``, ``ablate``, ``sizes``, ``personal``: tables and pictures."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from popeq.cli.options import (
    PredictorCommand,
    answers_option,
    by_option,
    dataset_option,
    format_option,
    given_parameters,
    jobs_option,
    print_table,
    runs_option,
    seeds_option,
)
from popeq.cli.values import Numbers
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import UsageError
from popeq.output import say

if TYPE_CHECKING:
    from popeq.dataset import Dataset
    from popeq.studies.study import Study

picture_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also a picture (.svg, .png).",
)
runs_argument = click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS]...")


def _printed(study: Callable[..., Study]) -> Callable[..., None]:
    """A command with ``--by``, ``--format`` and ``-o`` that prints the study which the function returns."""

    @by_option
    @format_option
    @picture_option
    @functools.wraps(study)
    def command(*, form: str, output: Path | None, **values: Any) -> None:
        made = study(**values)
        if output is not None:
            made.picture(output)
        print_table(made.table, form, made.notes, title=made.title, keys=made.keys)
        if output is not None:
            say(f"picture: {output}", err=True)

    return command


@click.command()
@click.argument("dataset", default=DEFAULT_DATASET)
@answers_option
@_printed
def ceiling(dataset: str, answers: Path | None, by: str | None) -> Study:
    """How well a perfect predictor and a fresh panel of listeners would score on a data set.

    Estimated from disjoint halves of the listeners, with intervals; also for panels of other sizes.
    """
    from popeq import api, studying

    return studying.ceiling(api.load_dataset(dataset, answers=answers), by=by)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--difference", type=float, default=None, help="Shift to find, dB. [default: that of A and B]")
@dataset_option
@runs_option
@_printed
def power(**values: Any) -> Study:
    """How many prompts and listeners would separate two runs (or a given difference) with 80 % power.

    A and B are run folders, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in --runs); prompts,
    listeners and answers vary as they do in those. With --by the table holds the variance components of
    each group.
    """
    from popeq import studying

    return studying.power(**values)


@click.command(cls=PredictorCommand)
@click.option("--to", required=True, help="Data set with the other listeners: a name or a folder.")
@click.option(
    "--adapt",
    type=Numbers("0,1,2,5"),
    default=None,
    help="Instead: fit predictors with so many answers a prompt of the other listeners, such as 0,1,2,5.",
)
@click.option(
    "--divisions",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Of the other listeners into adapting and tested ones.",
)
@click.option(
    "--on",
    type=click.Choice(["others", "all"]),
    default="others",
    show_default=True,
    help="Sentences that adapting listeners answer: others than the tested ones, or all.",
)
@seeds_option
@runs_argument
@dataset_option
@runs_option
@jobs_option
@click.option("--quiet", is_flag=True, help="No progress.")
@_printed
def transfer(
    to: str,
    adapt: tuple[int, ...] | None,
    divisions: int,
    on: Literal["others", "all"],
    seeds: tuple[int, ...],
    runs: tuple[Path, ...],
    dataset: str | Dataset | None,
    runs_dir: Path,
    jobs: int,
    quiet: bool,
    by: str | None,
) -> Study:
    """Score the predictions of runs against other listeners of the same sentences.

    RUNS are run folders, folders of runs, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in
    --runs); by default all of --runs. With --adapt, RUNS are names of predictors; --divisions, --on, --seed,
    --quiet and the predictors' own parameters are for it alone (docs/people.md).
    """
    parameters = given_parameters(())
    if adapt is None:
        from popeq import studying

        if parameters:
            raise UsageError(f"--{min(parameters)}: needs --adapt, which fits predictors")
        context = click.get_current_context()
        for name, option in (("divisions", "--divisions"), ("on", "--on"), ("seeds", "--seed")):
            if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE:
                raise UsageError(f"{option}: needs --adapt, which fits predictors")
        return studying.transfer(runs, dataset, to=to, runs_dir=runs_dir, jobs=jobs, by=by)
    from popeq import adapting
    from popeq.cli.sweeping import SweepTable

    if by is not None:
        raise UsageError("transfer --adapt: gives one table; leave --by out")
    return adapting.adapt(
        [str(name) for name in runs],
        dataset or DEFAULT_DATASET,
        to=to,
        seeds=seeds,
        options=parameters,
        answers=adapt,
        divisions=divisions,
        on=on,
        reporter=SweepTable(runs_dir, quiet),
        runs_dir=runs_dir,
        jobs=jobs,
    )


@click.command()
@click.option(
    "--edges", is_flag=True, help="Instead: standard against reflective density by closeness to the edge."
)
@runs_argument
@dataset_option
@runs_option
@jobs_option
@_printed
def ablate(**values: Any) -> Study:
    """Compare each run with its own mean and median as one point: is the distribution better?

    RUNS are run folders, folders of runs, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in
    --runs); by default all of --runs.
    """
    from popeq import studying

    return studying.ablate(**values)


@click.command()
@runs_argument
@dataset_option
@runs_option
@jobs_option
@_printed
def sizes(**values: Any) -> Study:
    """Compare the rows of each method by the size of the model behind them.

    RUNS are run folders, folders of runs, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in
    --runs); by default all of --runs.
    """
    from popeq import studying

    return studying.sizes(**values)


@click.command()
@runs_argument
@click.option(
    "--own",
    type=Numbers("0,1,2,5,10"),
    default="0,1,2,5,10",
    show_default=True,
    help="Numbers of a person's own answers to other prompts that are known.",
)
@click.option(
    "--other",
    metavar="NAME",
    default="prompt",
    show_default=True,
    help="What another prompt is: prompt (another sentence or track), text (another sentence) or a grouping.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Chooses the known answers."
)
@dataset_option
@runs_option
@jobs_option
@_printed
def personal(**values: Any) -> Study:
    """Predict a person's next answer from some of their own answers: what is personalising worth?

    The population that is changed is that of the other listeners of each prompt, and the predictions of RUNS:
    run folders, folders of runs, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in --runs).
    Without RUNS it is the other listeners alone. Needs popeq[studies].
    """
    from popeq import studying

    return studying.personal(**values)
