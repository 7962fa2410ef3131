"""``popeq regress``: the gate that keeps a predictor from becoming worse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popeq.cli.options import dataset_option, print_table, runs_option
from popeq.output import say, say_text
from popeq.plain_text import json_text

if TYPE_CHECKING:
    from popeq.dataset import Dataset


class _WrongUse(click.UsageError):
    exit_code = 3


class _Gate(click.Command):
    """Exit code 2 means inconclusive here, so wrong use is 3: nothing was compared."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise _WrongUse(error.format_message(), ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        from popeq.board.regression import NotComparableError
        from popeq.errors import PopeqError

        try:
            return super().invoke(ctx)
        except NotComparableError:
            raise
        except PopeqError as error:
            raise NotComparableError(str(error)) from None


@click.command(cls=_Gate)
@click.argument("base")
@click.argument("head")
@click.option(
    "--margin",
    "margin_db",
    type=click.FloatRange(min=0),
    default=0.25,
    show_default=True,
    help="Loss in dB that is tolerated.",
)
@click.option("--metric", default="reflective_kantorovich", show_default=True, help="Score to compare.")
@dataset_option
@click.option(
    "--prompts",
    "shown",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Worst prompts to show.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@runs_option
def regress(
    base: str,
    head: str,
    margin_db: float,
    metric: str,
    dataset: str | Dataset | None,
    shown: int,
    as_json: bool,
    runs_dir: Path,
) -> None:
    """Test whether HEAD is worse than BASE, prompt by prompt.

    Each is a run folder, a folder of one predictor's runs, FOLDER/NAME (the runs of a predictor in a folder
    of runs, such as leaderboard/results/simulated-120/prior) or NAME (its runs in --runs).

    Exit codes: 0 pass (worse by the margin at most), 1 regressed (worse, and not shown to be within the
    margin), 2 inconclusive, 3 not comparable (other data set revision, protocol or metric version, nothing
    to compare, or wrong use).
    """
    from popeq import studying
    from popeq.render import render

    found = studying.regress(base, head, dataset, runs_dir=runs_dir, metric=metric, margin_db=margin_db)
    worst = found.prompts.head(shown)
    if as_json:
        result = {
            "verdict": found.verdict,
            "base": found.base,
            "head": found.head,
            "dataset": found.dataset,
            "metric": found.metric,
            "margin_db": found.margin_db,
            "shift_db": found.shift.value,
            "low_db": _finite(found.low),
            "high_db": _finite(found.high),
            "prompts": len(found.prompts),
            "worst": json.loads(render(worst, "json"))["rows"],
        }
        say_text(json_text(result, indent=2))
    else:
        say(*found.lines)
        if shown:
            say()
            print_table(worst, "text", title="Largest losses (dB, positive: HEAD is worse):")
    raise click.exceptions.Exit(found.exit_code)


def _finite(value: float) -> float | None:
    return value if abs(value) != float("inf") else None
