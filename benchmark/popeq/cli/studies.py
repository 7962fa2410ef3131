"""``popeq ceiling``, ``power``, ``transfer`` and ``ablate``: studies of runs, each a table and a picture."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    from popeq.board.entries import Entry
    from popeq.board.scoring import Scorer
    from popeq.dataset import Dataset
    from popeq.studies.study import Study

picture_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also a picture (.svg, .png).",
)


def _printed(study: Callable[..., Study]) -> Callable[..., None]:
    """A command with ``--by``, ``--format`` and ``-o`` that prints the study which the function returns."""

    @by_option
    @format_option
    @picture_option
    @functools.wraps(study)
    def command(*, by: str | None, form: str, output: Path | None, **values: Any) -> None:
        from popeq.render import render

        made = study(by_category=by is not None, **values)
        if output is not None:
            made.picture(output)
        if form in ("text", "markdown"):
            click.echo(f"{made.title}\n")
        click.echo(render(made.table, form, made.notes, keys=made.keys))  # type: ignore[arg-type]
        if form == "csv":
            click.echo("\n".join(made.notes), err=True)
        if output is not None:
            click.echo(f"picture: {output}", err=True)

    return command


def _of_runs(study: Callable[..., Study]) -> Callable[..., None]:
    """As ``_printed``, with RUNS and the options that choose them; the function gets a scorer and entries."""

    @click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS]...")
    @dataset_option
    @runs_option
    @jobs_option
    @_printed
    @functools.wraps(study)
    def command(
        *, runs: tuple[Path, ...], dataset: str | Dataset | None, runs_dir: Path, jobs: int, **values: Any
    ) -> Study:
        from popeq.lookup import entries_of

        scorer, entries, _ = entries_of(runs, dataset, runs_dir=runs_dir, jobs=jobs)
        return study(scorer, entries, **values)

    return command


@click.command()
@click.argument("dataset", default="simulated-120")
@answers_option
@_printed
def ceiling(dataset: str, answers: Path | None, by_category: bool) -> Study:
    """How well a perfect predictor and a fresh panel of listeners would score on a data set.

    Estimated from disjoint halves of the listeners, with intervals; also for panels of other sizes.
    """
    from popeq.board.scoring import Scorer
    from popeq.lookup import load_dataset
    from popeq.protocol import DEFAULT_PROTOCOL
    from popeq.studies.ceiling import ceiling as study

    scorer = Scorer(load_dataset(dataset, answers=answers), DEFAULT_PROTOCOL)
    return study(scorer, by_category=by_category)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option("--difference", type=float, default=None, help="Shift to find, dB. [default: that of A and B]")
@dataset_option
@runs_option
@_printed
def power(
    a: str,
    b: str,
    difference: float | None,
    dataset: str | Dataset | None,
    runs_dir: Path,
    by_category: bool,
) -> Study:
    """How many prompts and listeners would separate two runs (or a given difference) with 80 % power.

    A and B are run folders, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in --runs); prompts,
    listeners and answers vary as they do in those. With --by category the table holds the variance components
    of each.
    """
    from popeq.lookup import pair_of
    from popeq.studies.power import power as study

    scorer, first, second = pair_of(a, b, dataset, runs_dir)
    return study(first, second, scorer, difference=difference, by_category=by_category)


@click.command()
@click.option("--to", "other", required=True, help="Data set with the other listeners: a name or a folder.")
@_of_runs
def transfer(scorer: Scorer, entries: Sequence[Entry], other: str, by_category: bool) -> Study:
    """Score the predictions of runs against other listeners of the same sentences.

    RUNS are run folders, folders of runs, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in
    --runs); by default all of --runs.
    """
    from popeq.lookup import load_dataset
    from popeq.studies.transfer import transfer as study

    return study(entries, scorer, load_dataset(other), by_category=by_category)


@click.command()
@click.option(
    "--edges", is_flag=True, help="Instead: standard against reflective density by closeness to the edge."
)
@_of_runs
def ablate(scorer: Scorer, entries: Sequence[Entry], edges: bool, by_category: bool) -> Study:
    """Compare each run with its own mean and median as one point: is the distribution better?

    RUNS are run folders, folders of runs, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in
    --runs); by default all of --runs.
    """
    from popeq.studies import ablate as studies

    if edges and by_category:
        raise click.UsageError("--edges groups the prompts by closeness to the edge; leave --by out")
    if edges:
        return studies.edges(entries, scorer)
    return studies.ablate(entries, scorer, by_category=by_category)
