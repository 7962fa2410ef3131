"""``popeq tune``: search a predictor's parameters on the validation split."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from popeq.cli.options import (
    CONTAINMENT,
    format_option,
    one_dataset_option,
    options_of,
    print_table,
    settings_options,
    warn_of_broken_plugins,
)
from popeq.output import say
from popeq.tuning.settings import DEFAULT_SEARCH

if TYPE_CHECKING:
    from popeq.runs.settings import RunSettings
    from popeq.tuning.record import TrialRecord, TuningRecord
    from popeq.tuning.settings import SearchSettings


@click.command()
@click.argument("predictor")
@one_dataset_option
@click.option("--set", "fixed", multiple=True, metavar="NAME=VALUE", help="Hold a parameter. Repeatable.")
@options_of(DEFAULT_SEARCH, "search")
@settings_options("timeout_s", *CONTAINMENT, "fresh")
@format_option
@click.option("--quiet", is_flag=True, help="No line for each round.")
def tune(
    predictor: str,
    dataset: str,
    fixed: tuple[str, ...],
    search: SearchSettings,
    settings: RunSettings,
    form: str,
    quiet: bool,
) -> None:
    """Search the ranges that a predictor's parameters declare, by successive halving.

    Only training and validation prompts are used; the test split is cut off before anything runs. The same
    command goes on where it was stopped, and with more --trials where it ended; with --fresh it begins again.
    """
    from popeq.runs.plan import parse_options
    from popeq.tuning.tuner import tune as run_search

    warn_of_broken_plugins()
    record = run_search(
        predictor,
        dataset,
        fixed=parse_options(fixed, flag="--set"),
        search=search,
        settings=settings,
        on_round=None if quiet else _tell,
    )
    print_table(_table(record), form, _notes(record))


def _tell(record: TuningRecord, index: int) -> None:
    trial = record.trials[index]
    last = trial.rounds[-1]
    what = {
        "complete": "complete",
        "stopped": "stopped here",
        "running": "goes on",
        "failed": f"FAILED: {trial.message}",
    }[trial.state]
    score = "" if last.score_db is None else f"{last.score_db:.3f} dB, "
    setting = " ".join(f"{k}={v}" for k, v in trial.parameters.items())
    say(f"trial {index}, {last.budget} {record.search.budget.parameter}: {score}{what} ({setting})", err=True)


def _table(record: TuningRecord) -> Any:
    """One row a trial, the best first: full budgets by score, then how far the others came."""
    import pandas as pd

    def rank(index: int) -> tuple[bool, int, float]:
        trial = record.trials[index]
        score = _number(trial, "score_db")
        return trial.state != "complete", -len(trial.rounds), float("inf") if score is None else score

    rows = []
    for index in sorted(range(len(record.trials)), key=rank):
        trial = record.trials[index]
        rows.append(
            {
                "trial": index,
                "state": trial.state,
                record.search.budget.parameter: trial.rounds[-1].budget if trial.rounds else 0,
                "mean_db": _number(trial, "score_db"),
                "median_db": _number(trial, "median_db"),
                "fits": len(trial.rounds),
                "time_s": sum(r.wall_s for r in trial.rounds),
                **{name: str(trial.parameters[name]) for name in record.search.ranges},
            }
        )
    frame = pd.DataFrame(rows)
    numbers = ["mean_db", "median_db", "time_s"]
    frame[numbers] = frame[numbers].astype(float)
    return frame


def _number(trial: TrialRecord, name: str) -> float | None:
    return getattr(trial.rounds[-1], name) if trial.rounds else None


def _notes(record: TuningRecord) -> list[str]:
    assert record.best is not None
    search, cost = record.search, record.cost
    best = record.trials[record.best].rounds[-1]
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
    return {p for r in record.trials[record.best].rounds for p in r.scores}
