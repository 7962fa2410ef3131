"""``popeq leaderboard``, ``show`` and ``compare``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import (
    also_option,
    by_option,
    dataset_option,
    format_option,
    jobs_option,
    print_table,
    recompute_option,
    runs_option,
)
from popeq.cli.publishing import judge, protocol_option, sign
from popeq.output import say, say_text
from popeq.plain_text import json_text

if TYPE_CHECKING:
    from popeq.dataset import Dataset
    from popeq.protocol import Protocol


@click.group()
def leaderboard() -> None:
    """Rank runs."""


leaderboard.add_command(sign)
leaderboard.add_command(judge)


@leaderboard.command("show")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS]...")
@dataset_option
@protocol_option
@runs_option
@by_option
@click.option(
    "--against",
    metavar="ROW",
    help="Compare every row with this one, by its label, in place of the training responses.",
)
@also_option
@jobs_option
@recompute_option
@format_option
@click.option(
    "--wide", is_flag=True, help="Print every column and note as text, as the other formats have them."
)
@click.option(
    "--into",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Put the main columns as Markdown between the data set's marks in this file, instead of printing.",
)
def show(
    runs: tuple[Path, ...],
    dataset: str | Dataset | None,
    protocol: Protocol | None,
    runs_dir: Path,
    by: str | None,
    against: str | None,
    also: tuple[str, ...],
    jobs: int,
    recompute: bool,
    form: str,
    wide: bool,
    into: Path | None,
) -> None:
    """Rank runs of one data set revision and one protocol, scored again from their predictions.

    RUNS are run folders, folders of runs, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in
    --runs); by default all of --runs. As text it is one narrow block; --wide, --with and the other formats
    have all columns and notes.
    """
    from popeq import api
    from popeq.board.glance import glance
    from popeq.board.groupings import split_board
    from popeq.board.leaderboard import build as build_board
    from popeq.board.markdown import insert
    from popeq.board.rendered import with_rendered

    if into is not None and (by or against or also):
        raise click.UsageError("--into takes the whole board; leave --by and --against out, and --with")
    scorer, entries, notes = api.entries_of(
        runs, dataset, protocol=protocol, runs_dir=runs_dir, by=by, jobs=jobs, keep=not recompute
    )
    entries = with_rendered(entries, scorer, jobs=jobs, keep=not recompute) if also else entries
    board = build_board(entries, scorer, notes, compared_with=against, jobs=jobs, keep=not recompute)
    board = split_board(board, scorer, by, jobs=jobs, keep=not recompute) if by else board
    if into is not None:
        insert(board, into)
        say(f"written: {into}")
        return
    if form == "text" and not (wide or also):
        say_text(glance(board, scorer, by))
    else:
        print_table(board.table, form, board.notes, keys=4 if by else 3)


@leaderboard.command("build")
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS]...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder of the site; replaced if it is one.",
)
@dataset_option
@protocol_option
@runs_option
@jobs_option
@recompute_option
def build(
    runs: tuple[Path, ...],
    output: Path,
    dataset: str | Dataset | None,
    protocol: Protocol | None,
    runs_dir: Path,
    jobs: int,
    recompute: bool,
) -> None:
    """Write the board as a static site that works from a file, without a network and without scripts.

    RUNS are as for 'popeq leaderboard show'. Self-reported entries (a card.json with a claim and no
    predictions) in the given folders are shown below the board and never ranked.
    """
    from popeq.site.build import build_site

    built = build_site(
        runs, output, dataset, protocol=protocol, runs_dir=runs_dir, jobs=jobs, keep=not recompute
    )
    say(f"written: {built / 'index.html'}")
    if not isinstance(dataset, str | None) and dataset.card.sealed_answers is not None:
        say("The pages show the sealed answers: keep them to yourself until everybody may see those.")


@click.command("show")
@click.argument("run", type=click.Path(path_type=Path))
@dataset_option
@by_option
@also_option
@format_option
def show_run(
    run: Path, dataset: str | Dataset | None, by: str | None, also: tuple[str, ...], form: str
) -> None:
    """Show a run: what made it, its scores by prompt (or group), and what was retrieved for each."""
    from popeq import api
    from popeq.board.groupings import split_table
    from popeq.board.leaderboard import summary_table
    from popeq.board.rendered import rendered_table, with_rendered
    from popeq.board.retrieval import retrieval_table
    from popeq.board.scoring import Scorer
    from popeq.runs.folder import Run

    opened = Run.open(run)
    loaded = api.as_dataset(dataset or opened.record.dataset.given)
    record = opened.record
    about = [
        f"{record.predictor.name} ({record.predictor.source}) on {loaded.card.label}, seed {record.seed}, "
        f"{record.status}",
        f"made by: {record.shown_command}",
        *(f"{key}: {value}" for key, value in record.predictor.described.items() if value not in ("", None)),
        *([f"answers: {record.answers}"] if record.answers else []),
    ]
    if by:
        scorer, entries, notes = api.entries_of([opened], loaded, by=by)
        (entry,) = with_rendered(entries, scorer) if also else entries
        table, small = split_table(
            scorer, by, lambda g: summary_table(g.entry(entry, scorer), g.scorer(scorer))
        )
        print_table(table, form, [*about, *(note.text for note in notes), *small])
        return
    table = api.score(opened, loaded)
    if also:
        table = table.merge(rendered_table(opened, Scorer(loaded, record.protocol)), on="prompt_id")
    retrieved = retrieval_table(opened, loaded)
    if len(retrieved):
        table = table.merge(retrieved, on="prompt_id")
        mean = retrieved["rank_correlation"].mean()
        about.append(
            f"retrieval: mean rank correlation of text with distributional similarity {mean:.2f} "
            f"({len(retrieved)} prompts; near 0, similar sentences do not have similar settings)"
        )
    print_table(table, form, about)


@click.command()
@click.argument("a")
@click.argument("b")
@dataset_option
@runs_option
@by_option
@format_option
@click.option(
    "--prompts", "shown", type=click.IntRange(min=0), default=5, show_default=True, help="Prompts to show."
)
def compare(
    a: str, b: str, dataset: str | Dataset | None, runs_dir: Path, by: str | None, form: str, shown: int
) -> None:
    """Compare two runs prompt by prompt: A minus B, so that a negative shift means that A is better.

    A and B are run folders, FOLDER/NAME or NAME (the runs of a predictor in a folder, or in --runs).
    """
    import json

    from popeq import api
    from popeq.render import render

    result = api.compare(a, b, dataset, runs_dir=runs_dir, by=by)
    prompts = result.prompts.head(shown)
    if form == "json":
        parts = {
            "a": result.a,
            "b": result.b,
            "metrics": json.loads(render(result.metrics, "json"))["rows"],
            "prompts": json.loads(render(prompts, "json"))["rows"],
            "notes": list(result.notes),
        }
        say_text(json_text(parts, indent=2))
        return
    summary = (
        f"a = {result.a}, b = {result.b}; scores in dB, lower is better; "
        "shift is a minus b (negative: a is better), p two-sided and not adjusted."
    )
    if form == "csv":
        say(summary, err=True)
    print_table(result.metrics, form, result.notes, title=summary, keys=2 if by else 1)
    if shown:
        say()
        print_table(prompts, form, title="Prompts that differ most (reflective_kantorovich):")
