"""``popeq verify``: check the hashes of runs, compute their scores again, and draw them again if asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import (
    CONTAINMENT,
    dataset_option,
    format_option,
    print_table,
    runs_option,
    settings_options,
)

if TYPE_CHECKING:
    from popeq.dataset import Dataset
    from popeq.runs.settings import RunSettings


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS]...")
@dataset_option
@runs_option
@format_option
@click.option(
    "--redraw",
    is_flag=True,
    help="Also draw each run again with the code that is installed, and compare every sample. What comes out "
    "the same is listed in board.json in the folder of runs.",
)
@click.option(
    "-o",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --redraw: a parameter, such as where the folder of a model lies here.",
)
@settings_options("timeout_s", *CONTAINMENT)
def verify(
    runs: tuple[Path, ...],
    dataset: str | Dataset | None,
    runs_dir: Path,
    form: str,
    redraw: bool,
    options: tuple[str, ...],
    settings: RunSettings,
) -> None:
    """Recompute every score of runs from their predictions and check all hashes.

    RUNS are run folders or folders of runs; by default all of --runs. The data set is that of --dataset, of
    board.json beside the runs, or an installed one of the name that a run gives; never where a run says that
    it lies. Exit code 1 if a run does not verify, or with --redraw is not reproduced.
    """
    from popeq import verifying
    from popeq.errors import UsageError
    from popeq.runs.plan import parse_options

    given = parse_options(options)
    if given and not redraw:
        raise UsageError("-o: is for --redraw")
    found = verifying.verify(
        runs, dataset, runs_dir=runs_dir, redraw=redraw, options=given, settings=settings
    )
    print_table(found.table, form, found.notes)
    if not found.ok:
        raise click.exceptions.Exit(1)
