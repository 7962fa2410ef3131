"""``popeq schema`` and ``popeq export``: popeq's own formats, and results in those of others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import dataset_option, jobs_option
from popeq.cli.publishing import protocol_option
from popeq.cli.values import web_page
from popeq.errors import UsageError
from popeq.output import say, say_text
from popeq.plain_text import json_text

if TYPE_CHECKING:
    from popeq.dataset import Dataset
    from popeq.protocol import Protocol

_REPOSITORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,95}/[A-Za-z0-9_][A-Za-z0-9._-]{0,95}")


@click.command()
@click.argument("name", metavar="run|card|board|dataset")
def schema(name: str) -> None:
    """Print the JSON Schema of run.json, card.json, board.json or dataset.toml.

    That of run.json is of its newest version; older files are migrated when they are read.
    """
    from popeq.interchange.schemas import json_schema

    say_text(json_text(json_schema(name), indent=2))


def _repository(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:  # noqa: ARG001
    if value is not None and not _REPOSITORY.fullmatch(value):
        raise UsageError(f"{param.opts[0]} {value!r} must be OWNER/NAME, as the hub has it")
    return value


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUNS...")
@click.argument("output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--to",
    type=click.Choice(["every-eval-ever", "eval-results"]),
    required=True,
    help="JSON of Every Eval Ever (schema 0.3.0), or the YAML files of model repositories on the hub.",
)
@dataset_option
@protocol_option
@jobs_option
@click.option(
    "--hub-dataset",
    metavar="OWNER/NAME",
    callback=_repository,
    help="Repository of the data set on the Hugging Face hub; eval-results needs it.",
)
@click.option("--source-url", metavar="URL", callback=web_page, help="Page about these results.")
@click.option(
    "--organization",
    help="Who provides these results, for every-eval-ever. [default: unknown]",
)
@click.option(
    "--relationship",
    type=click.Choice(["first_party", "third_party", "collaborative", "other"]),
    help="What they are to the makers of the model, for every-eval-ever. [default: other]",
)
def export(
    runs: tuple[Path, ...],
    output: Path,
    to: str,
    dataset: str | Dataset | None,
    protocol: Protocol | None,
    jobs: int,
    hub_dataset: str | None,
    source_url: str | None,
    organization: str | None,
    relationship: str | None,
) -> None:
    """Write scored runs into DIR in a format of others, one file a run.

    RUNS are as for 'popeq leaderboard show'; scores are computed again from the predictions. Files of the
    same runs are replaced.
    """
    from popeq.interchange.eval_results import check_origin, write_eval_results
    from popeq.interchange.every_eval_ever import write_every_eval_ever
    from popeq.interchange.results import Origin, check_place, scored_results

    if to == "eval-results" and (organization or relationship):
        raise UsageError("--organization and --relationship have no place in eval-results; leave them out")
    check_place(output)
    origin = Origin(organization, relationship, hub_dataset, source_url)
    if to == "eval-results":
        check_origin(origin)
    results, notes = scored_results(runs, dataset, protocol, jobs=jobs)
    if to == "every-eval-ever":
        written = write_every_eval_ever(results, output, origin)
    else:
        written, without = write_eval_results(results, output, origin)
        notes += [f"left out: {label} has no model" for label in dict.fromkeys(without)]
    many = f"{len(written)} files below {output}, such as" if len(written) > 1 else "one file"
    say(*notes, f"written: {many}", f"  {written[0]}")
