"""``popeq verify``: check the hashes of runs, compute their scores again, and draw them again if asked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import CONTAINMENT, dataset_option, format_option, runs_option, settings_options

if TYPE_CHECKING:
    from popeq.board.redraw import Redrawn
    from popeq.dataset import Dataset
    from popeq.runs.folder import Run
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
    "the same is listed in reproduced.json in the folder of runs.",
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

    RUNS are run folders or folders of runs; by default all of --runs. Exit code 1 if one does not verify, or
    with --redraw is not reproduced.
    """
    import pandas as pd

    from popeq import api
    from popeq.board.scoring import Scorer
    from popeq.board.selection import gather
    from popeq.board.verify import examine
    from popeq.errors import PopeqError, SealedError, UsageError
    from popeq.metrics import HEADLINE, SCORES
    from popeq.render import render
    from popeq.runs.plan import parse_options

    given = parse_options(options)
    if given and not redraw:
        raise UsageError("-o: is for --redraw")
    found, unread = gather(runs, runs_dir)
    scorers: dict[tuple[str | Dataset, str], Scorer | None] = {}

    def scorer_of(run: Run) -> Scorer | None:
        """One scorer for all runs of a data set and protocol; None if the data set cannot be read."""
        where = dataset or run.record.dataset.given
        identity = where, run.record.protocol.fingerprint
        if identity not in scorers:
            try:
                scorers[identity] = Scorer(api.as_dataset(where), run.record.protocol)
            except SealedError:
                raise
            except PopeqError:
                if dataset:
                    raise
                scorers[identity] = None
        return scorers[identity]

    rows, lines = [], [note.text for note in unread]
    failed = bool(unread)
    for run in found:
        scorer = scorer_of(run)
        seen = examine(run, scorer)
        trust = seen.trust
        lines += [f"{run.folder.name}: {problem}" for problem in seen.problems]
        lines += [f"{run.folder.name}: suspicious: {flag}" for flag in seen.flags]
        row: dict[str, object] = {
            "run": run.folder.name,
            "predictor": run.record.predictor.name,
            "trust": trust,
            "verified": "no" if seen.problems else "suspicious" if seen.flags else "yes",
        }
        failed |= bool(seen.problems)
        if redraw:
            row["reproduced"] = "no"
            if not seen.problems and scorer is not None:
                result = _redrawn(run, scorer.dataset, given, settings)
                row["reproduced"] = "no" if result.problem else "yes"
                row["trust"] = examine(run, scorer).trust if result.problem else "reproduced"
                line = result.problem and f"not reproduced: {result.problem}"
                line = line or (result.note and f"reproduced, although {result.note}")
                lines += [f"{run.folder.name}: {line}"] if line else []
            failed |= row["reproduced"] == "no"
        row |= {f"{HEADLINE}_median": seen.scores.get(f"{HEADLINE}_median", float("nan"))}
        row |= {f"{name}_mean": seen.scores.get(f"{name}_mean", float("nan")) for name in SCORES}
        row["predictions_sha256"] = (run.record.predictions_sha256 or "")[:12]
        rows.append(row)
    click.echo(render(pd.DataFrame(rows), form, lines, keys=1))  # type: ignore[arg-type]
    if form == "csv" and lines:
        click.echo("\n".join(lines), err=True)
    if failed:
        raise click.exceptions.Exit(1)


def _redrawn(run: Run, dataset: Dataset, options: dict[str, str], settings: RunSettings) -> Redrawn:
    """Draw a run again, and write down beside it whether it was reproduced."""
    from popeq.board.redraw import redraw
    from popeq.board.reproduced import note_reproduced

    own = {k: v for k, v in options.items() if k in run.record.predictor.parameters}
    result = redraw(run, dataset, own, settings)
    note_reproduced(run, result.entry)
    return result
