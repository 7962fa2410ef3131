"""``popeq ceiling``, ``power``, ``transfer`` and ``ablate``: studies of runs, each a table and a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from popeq.cli.options import (
    answers_option,
    by_option,
    dataset_option,
    format_option,
    jobs_option,
    runs_option,
)

if TYPE_CHECKING:
    from popeq.dataset import Dataset
    from popeq.studies.study import Study

F = TypeVar("F", bound=Callable[..., Any])

runs_argument = click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS]...")
picture_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also a picture (.svg, .png).",
)


@click.command()
@click.argument("dataset", default="simulated-120")
@answers_option
@by_option
@format_option
@picture_option
def ceiling(dataset: str, answers: Path | None, by: str | None, form: str, output: Path | None) -> None:
    """How well a perfect predictor and a fresh panel of listeners would score on a data set.

    Estimated from disjoint halves of the listeners, with intervals; also for panels of other sizes.
    """
    from popeq.api import load_dataset
    from popeq.board.scoring import Scorer
    from popeq.protocol import DEFAULT_PROTOCOL
    from popeq.studies.ceiling import ceiling as study

    scorer = Scorer(load_dataset(dataset, answers=answers), DEFAULT_PROTOCOL)
    _show(study(scorer, by_category=by is not None), form, output)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--difference", type=float, default=None, help="Shift to find, dB. [default: that of A and B]")
@dataset_option
@runs_option
@by_option
@format_option
@picture_option
def power(
    a: str,
    b: str,
    difference: float | None,
    dataset: str | Dataset | None,
    runs_dir: Path,
    by: str | None,
    form: str,
    output: Path | None,
) -> None:
    """How many prompts and listeners would separate two runs (or a given difference) with 80 % power.

    A and B are run folders, or names of predictors with a run in --runs; prompts, listeners and answers vary
    as they do in those. With --by category the table holds the variance components of each.
    """
    from popeq.lookup import pair_of
    from popeq.studies.power import power as study

    scorer, first, second = pair_of(a, b, dataset, runs_dir)
    _show(study(first, second, scorer, difference=difference, by_category=by is not None), form, output)


@click.command()
@runs_argument
@click.option("--to", "other", required=True, help="Data set with the other listeners: a name or a folder.")
@dataset_option
@runs_option
@by_option
@jobs_option
@format_option
@picture_option
def transfer(
    runs: tuple[Path, ...],
    other: str,
    dataset: str | Dataset | None,
    runs_dir: Path,
    by: str | None,
    jobs: int,
    form: str,
    output: Path | None,
) -> None:
    """Score the predictions of runs against other listeners of the same sentences.

    RUNS are run folders or folders of runs; by default all of --runs.
    """
    from popeq.api import entries_of, load_dataset
    from popeq.studies.transfer import transfer as study

    scorer, entries, _ = entries_of(runs, dataset, runs_dir=runs_dir, jobs=jobs)
    _show(study(entries, scorer, load_dataset(other), by_category=by is not None), form, output)


@click.command()
@runs_argument
@click.option(
    "--edges", is_flag=True, help="Instead: standard against reflective density by closeness to the edge."
)
@dataset_option
@runs_option
@by_option
@jobs_option
@format_option
@picture_option
def ablate(
    runs: tuple[Path, ...],
    edges: bool,
    dataset: str | Dataset | None,
    runs_dir: Path,
    by: str | None,
    jobs: int,
    form: str,
    output: Path | None,
) -> None:
    """Compare each run with its own mean and median as one point: is the distribution worth it?

    RUNS are run folders or folders of runs; by default all of --runs.
    """
    from popeq.api import entries_of
    from popeq.studies import ablate as studies

    if edges and by:
        raise click.UsageError("--edges groups the prompts by closeness to the edge; leave --by out")
    scorer, entries, _ = entries_of(runs, dataset, runs_dir=runs_dir, jobs=jobs)
    split = by is not None
    study = studies.edges(entries, scorer) if edges else studies.ablate(entries, scorer, by_category=split)
    _show(study, form, output)


def _show(study: Study, form: str, output: Path | None) -> None:
    from popeq.render import render

    if output is not None:
        study.picture(output)
    if form in ("text", "markdown"):
        click.echo(f"{study.title}\n")
    click.echo(render(study.table, form, study.notes, keys=study.keys))  # type: ignore[arg-type]
    if form == "csv":
        click.echo("\n".join(study.notes), err=True)
    if output is not None:
        click.echo(f"picture: {output}", err=True)
