"""``popeq score`` and ``popeq submit``: predictions without code, and runs for the public board."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import dataset_option, one_dataset_option, runs_option
from popeq.output import say

if TYPE_CHECKING:
    from popeq.dataset import Dataset


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@one_dataset_option
@click.option("--name", required=True, help="Name of the method, as the board will show it.")
@click.option(
    "--card",
    "--meta",
    "card",
    type=click.Path(path_type=Path),
    default=None,
    help="Card of the method (JSON): authors, contact, training data, ... It replaces the one that is there.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Number of the draw, if there are several of one method.",
)
@runs_option
def score(file: Path, dataset: str, name: str, card: Path | None, seed: int, runs_dir: Path) -> None:
    """Score predictions from a file, without code.

    FILE is CSV (also .bz2 or .gz) or Parquet with the columns prompt_id, sample, x_db, y_db: for every prompt
    to be predicted (the test prompts, or all where there are folds) the samples 0 to 659, inside the box, in
    dB. It becomes a run folder, as if popeq had drawn it. All problems are reported at once; nothing is
    clipped or filled in, and samples are rounded to 0.01 dB, as protocol 2 says.
    """
    from popeq import api
    from popeq.board.verify import summary
    from popeq.metrics import HEADLINE
    from popeq.runs.card import read_card
    from popeq.runs.submission import run_from_predictions

    loaded = api.load_dataset(dataset)
    run, new = run_from_predictions(
        file,
        loaded,
        name,
        card=read_card(card) if card else None,
        runs_dir=runs_dir,
        seed=seed,
    )
    how = "scored" if new else "was there already; its card is now this one" if card else "was there already"
    say(f"{name}: {run.record.prompts} prompts of {loaded.card.label}, {how}: {run.folder}")
    if rounded := run.record.predictor.described.get("rounded"):
        say(f"  rounded {rounded}")
    if loaded.sealed_note:
        say(f"  {loaded.sealed_note}")
        return
    scores = summary(api.scored(run, loaded))
    shown = (f"{column} {scores[column]:.2f}" for column in (f"{HEADLINE}_median", f"{HEADLINE}_mean"))
    say(f"  {', '.join(shown)} dB (lower is better); its place: popeq leaderboard show")


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--card",
    type=click.Path(path_type=Path),
    default=None,
    help="Card of the method (JSON). [default: card.json in the run]",
)
@dataset_option
@click.option(
    "--to",
    "results",
    type=click.Path(path_type=Path),
    default=Path("leaderboard/results"),
    show_default=True,
    help="Folder of published results.",
)
def submit(run: Path, card: Path | None, dataset: str | Dataset | None, results: Path) -> None:
    """Copy a run, verified and with its card, to where the public board is made from.

    The copy holds run.json, the predictions and card.json and nothing else. What does not verify is refused,
    and so are a key or a method that another run there has, and another protocol than the folder's.
    """
    from popeq import api
    from popeq.board.publishing import publish
    from popeq.lookup import installed_dataset
    from popeq.runs.folder import Run

    opened = Run.open(run)
    loaded = api.as_dataset(dataset or installed_dataset(opened.record.dataset.name))
    seen, target = publish(opened, loaded, card, results)
    for flag in seen.flags:
        say(f"popeq: suspicious: {flag}", err=True)
    say(f"verified ({seen.trust}) and copied to {target}")
    say("Propose it: commit that folder on a branch and open a pull request (CONTRIBUTING.md).")
