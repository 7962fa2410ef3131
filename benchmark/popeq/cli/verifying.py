"""``popeq verify``: check the hashes of runs and compute their scores again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import answers_option, format_option, runs_option

if TYPE_CHECKING:
    from popeq.dataset import Dataset


@click.command()
@click.argument("runs", nargs=-1, type=click.Path(path_type=Path), metavar="[RUNS]...")
@click.option("--dataset", default=None, help="Data set: a name or a folder. [default: that of each run]")
@answers_option
@runs_option
@format_option
def verify(runs: tuple[Path, ...], dataset: str | Dataset | None, runs_dir: Path, form: str) -> None:
    """Recompute every score of runs from their predictions and check all hashes.

    RUNS are run folders or folders of runs; by default all of --runs. Exit code 1 if one does not verify.
    """
    import pandas as pd

    from popeq import api
    from popeq.board.entries import gather
    from popeq.board.scoring import Scorer
    from popeq.board.verify import examine
    from popeq.errors import PopeqError
    from popeq.metrics import HEADLINE, SCORES
    from popeq.render import render
    from popeq.runs.folder import Run

    found, broken = gather(list(runs), runs_dir)
    scorers: dict[tuple[str | Dataset, str], Scorer | None] = {}

    def scorer_of(run: Run) -> Scorer | None:
        """One scorer for all runs of a data set and protocol; None if the data set cannot be read."""
        where = dataset or run.record.dataset.given
        identity = where, run.record.protocol.fingerprint
        if identity not in scorers:
            try:
                scorers[identity] = Scorer(api.load_dataset(where), run.record.protocol)
            except PopeqError:
                if dataset:
                    raise
                scorers[identity] = None
        return scorers[identity]

    rows, told = [], list(broken)
    for run in found:
        seen = examine(run, scorer_of(run))
        told += [f"{run.folder.name}: {problem}" for problem in seen.problems]
        told += [f"{run.folder.name}: suspicious: {flag}" for flag in seen.flags]
        rows.append(
            {
                "run": run.folder.name,
                "predictor": run.record.predictor.name,
                "trust": seen.trust,
                "verified": "no" if seen.problems else "suspicious" if seen.flags else "yes",
                f"{HEADLINE}_median": seen.scores.get(f"{HEADLINE}_median", float("nan")),
                **{f"{name}_mean": seen.scores.get(f"{name}_mean", float("nan")) for name in SCORES},
                "predictions_sha256": (run.record.predictions_sha256 or "")[:12],
            }
        )
    click.echo(render(pd.DataFrame(rows), form, told, keys=1))  # type: ignore[arg-type]
    if form == "csv" and told:
        click.echo("\n".join(told), err=True)
    if broken or any(row["verified"] == "no" for row in rows):
        raise click.exceptions.Exit(1)
