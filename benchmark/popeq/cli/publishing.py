"""``popeq leaderboard sign`` and ``judge``, for those who keep a published board; and ``--protocol``."""

from __future__ import annotations

from pathlib import Path

import click

from popeq.cli.options import jobs_option
from popeq.output import say, say_text
from popeq.protocol import DEFAULT_PROTOCOL, PUBLISHED, Protocol


def _published(_: click.Context, __: click.Parameter, number: int | None) -> Protocol | None:
    """The published protocol of a number."""
    return next((protocol for protocol in PUBLISHED if protocol.version == number), None)


protocol_option = click.option(
    "--protocol",
    type=click.IntRange(min(p.version for p in PUBLISHED), max(p.version for p in PUBLISHED)),
    callback=_published,
    default=None,
    help="Number of the protocol. [default: that of board.json, else the newest of the runs]",
)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--dataset", default=None, help="Data set of the board. [default: that of board.json]")
@protocol_option
@click.option("--owner", default=None, help="Who owns the runs without a card, in words.")
def sign(folder: Path, dataset: str | None, protocol: Protocol | None, owner: str | None) -> None:
    """Sign off a folder of published runs, as one of its maintainers: write board.json beside them.

    It says which data set and protocol the board is of, and lists each run with its key and predictions. Runs
    without a card are listed as the maintainers' own. Nothing is written if something is wrong.
    """
    from popeq.board.signed import BOARD, read_board
    from popeq.board.signing import sign as sign_off
    from popeq.errors import UsageError
    from popeq.lookup import as_dataset, installed_dataset

    before = read_board(folder)
    if dataset is not None:
        named = as_dataset(dataset)
    elif before.dataset is not None:
        named = installed_dataset(before.dataset.name)
    else:
        raise UsageError(f"{folder}: has no {BOARD} yet; say with --dataset which data set the board is of")
    board = sign_off(folder, named, protocol or before.protocol or DEFAULT_PROTOCOL, owner)
    say(f"signed off: {len(board.runs)} runs of {named.card.label}: {folder / BOARD}")


@click.command()
@click.option("--base", default="origin/main", show_default=True, help="Commit with the published results.")
@click.option("--head", default="HEAD", show_default=True, help="Commit of the submission.")
@click.option(
    "--repository",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    default=Path(),
    help="Git repository that has both. [default: the current one]",
)
@click.option(
    "--results",
    default="leaderboard/results",
    show_default=True,
    help="Folder of published results in it, one folder a data set.",
)
@jobs_option
def judge(base: str, head: str, repository: Path, results: str, jobs: int) -> None:
    """Judge a submission to a published board, and print a report in Markdown.

    What the commit --head changes is applied to the results of --base. Every new run is verified against the
    data set, protocol and runs that --base has, and the whole boards before and after are compared. Commits
    are read from git: nothing is checked out, and no file of the submission is run, imported or followed.

    Exit code 0 if nothing of anybody else changes; 1 if something is refused, or changes what the submission
    does not own, or a board cannot be built; 2 for wrong use, and for what cannot be judged.
    """
    from popeq.board.judge import FILES
    from popeq.board.judge import judge as judge_results
    from popeq.board.report import report
    from popeq.changed_tree import changed_folders

    with changed_folders(repository, base, head, results, FILES) as (before, after):
        judgement = judge_results(before, after, jobs=jobs)
    say_text(report(judgement))
    if not judgement.ok:
        raise click.exceptions.Exit(1)
