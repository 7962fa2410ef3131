"""``popeq tune``: search a predictor's parameters on the validation split."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popeq.cli.options import (
    CONTAINMENT,
    format_option,
    print_table,
    settings_options,
    warn_of_broken_plugins,
)

if TYPE_CHECKING:
    from popeq.runs.settings import RunSettings
    from popeq.tuning.record import TrialRecord, TuningRecord


@click.command()
@click.argument("predictor")
@click.option("--dataset", default="simulated-120", show_default=True, help="Data set: a name or a folder.")
@click.option(
    "--trials", type=click.IntRange(min=1), default=30, show_default=True, help="Settings to try in all."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of search and runs.")
@click.option("--set", "fixed", multiple=True, metavar="NAME=VALUE", help="Hold a parameter. Repeatable.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="Folder of the search. [default: tuning/PREDICTOR-DATASET-SEED]",
)
@click.option(
    "--rungs", type=click.IntRange(min=1), default=3, show_default=True, help="Budgets a good trial is given."
)
@click.option(
    "--reduction",
    type=click.IntRange(min=2),
    default=3,
    show_default=True,
    help="Ratio of one budget to the next; about one trial in so many goes on.",
)
@settings_options("timeout_s", *CONTAINMENT)
@format_option
@click.option("--quiet", is_flag=True, help="No line for each rung.")
def tune(
    predictor: str,
    dataset: str,
    trials: int,
    seed: int,
    fixed: tuple[str, ...],
    output: Path | None,
    rungs: int,
    reduction: int,
    settings: RunSettings,
    form: str,
    quiet: bool,
) -> None:
    """Search the ranges that a predictor's parameters declare, by successive halving.

    Only training and validation prompts are used; the test split is cut off before anything runs. The same
    command goes on where it was stopped, and with more --trials where it ended.
    """
    from popeq.runs.plan import parse_options
    from popeq.tuning.tuner import tune as search

    warn_of_broken_plugins()
    record = search(
        predictor,
        dataset,
        trials=trials,
        seed=seed,
        fixed=parse_options(fixed, flag="--set"),
        output=output,
        rungs=rungs,
        reduction=reduction,
        settings=settings,
        on_rung=None if quiet else _tell,
    )
    print_table(_table(record), form, _notes(record))


def _tell(record: TuningRecord, index: int) -> None:
    trial = record.trials[index]
    rung = trial.rungs[-1]
    what = {
        "complete": "complete",
        "stopped": "stopped here",
        "running": "goes on",
        "failed": f"FAILED: {trial.message}",
    }[trial.state]
    score = "" if rung.score_db is None else f"{rung.score_db:.3f} dB, "
    setting = " ".join(f"{k}={v}" for k, v in trial.parameters.items())
    click.echo(
        f"trial {index}, {rung.budget} {record.search.budget.parameter}: {score}{what} ({setting})", err=True
    )


def _table(record: TuningRecord) -> Any:
    """One row a trial, the best first: full budgets by score, then how far the others came."""
    import pandas as pd

    def rank(index: int) -> tuple[bool, int, float]:
        trial = record.trials[index]
        score = _number(trial, "score_db")
        return trial.state != "complete", -len(trial.rungs), float("inf") if score is None else score

    rows = []
    for index in sorted(range(len(record.trials)), key=rank):
        trial = record.trials[index]
        rows.append(
            {
                "trial": index,
                "state": trial.state,
                record.search.budget.parameter: trial.rungs[-1].budget if trial.rungs else 0,
                "mean_db": _number(trial, "score_db"),
                "median_db": _number(trial, "median_db"),
                "fits": len(trial.rungs),
                "time_s": sum(r.wall_s for r in trial.rungs),
                **{name: str(trial.parameters[name]) for name in record.search.ranges},
            }
        )
    frame = pd.DataFrame(rows)
    numbers = ["mean_db", "median_db", "time_s"]
    frame[numbers] = frame[numbers].astype(float)
    return frame


def _number(trial: TrialRecord, name: str) -> float | None:
    return getattr(trial.rungs[-1], name) if trial.rungs else None


def _notes(record: TuningRecord) -> list[str]:
    assert record.best is not None
    search, cost = record.search, record.cost
    best = record.trials[record.best].rungs[-1]
    data = f"{search.dataset}{' (simulated)' if record.simulated else ''}"
    states = [t.state for t in record.trials]
    notes = [
        f"{search.metric}, dB, over {len(_prompts(record))} validation prompts of {data}; lower is "
        "better; the test split was not read",
        f"cost: {cost.trials} trials, {cost.fits} fits, {cost.wall_s:.0f} s ({cost.fit_s:.0f} s in fit); "
        f"{states.count('stopped')} stopped early, {states.count('failed')} failed",
    ]
    if record.best == record.defaults:
        notes.append(f"trial {record.best}, the best, is the defaults: {best.score_db:.3f}")
    elif record.defaults is not None and (own := _number(record.trials[record.defaults], "score_db")):
        notes.append(
            f"trial {record.defaults} is the defaults: {own:.3f}; the best, {best.score_db:.3f}, is the "
            "luckiest of several and flatters itself"
        )
    return [*notes, f"use it: {record.command}"]


def _prompts(record: TuningRecord) -> set[str]:
    """The validation prompts that the best trial was scored by."""
    assert record.best is not None
    return {p for r in record.trials[record.best].rungs for p in r.scores}
