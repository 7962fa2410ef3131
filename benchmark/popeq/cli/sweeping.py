"""``popeq sweep``: draw every run of a sweep's file under one table of progress, then rank them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import (
    CONTAINMENT,
    format_option,
    print_table,
    settings_options,
    warn_of_broken_plugins,
)
from popeq.output import say, say_text
from popeq.runs.reporting import ProgressBar

if TYPE_CHECKING:
    from popeq.runs.folder import Run
    from popeq.runs.plan import Plan
    from popeq.runs.settings import RunSettings


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@settings_options("runs_dir", "jobs", "engine", "scheduler", "timeout_s", "batch_size", *CONTAINMENT, "fresh")
@click.option("--dry-run", is_flag=True, help="Only show what would be drawn.")
@click.option("--quiet", is_flag=True, help="No progress.")
@format_option
def sweep(
    file: Path,
    settings: RunSettings,
    dry_run: bool,
    quiet: bool,
    form: str,
) -> None:
    """Draw every run that FILE describes: predictors x parameters x data sets x seeds.

    What is complete is not drawn again; what was stopped goes on where it was. At the end comes a board for
    each data set. docs/scale.md describes the file.
    """
    from popeq.sweeping import expand, read_sweep
    from popeq.sweeping import sweep as run_sweep

    warn_of_broken_plugins()
    if dry_run:
        planned = SweepTable(settings.runs_dir, quiet=True)
        planned.planned(expand(read_sweep(file), file.parent))
        say_text(planned.above())
        return
    swept = run_sweep(file, settings=settings, reporter=SweepTable(settings.runs_dir, quiet))
    for name, board in swept.boards.items():
        if form in ("text", "markdown"):
            say()
        print_table(board.table, form, board.notes, title=name, keys=2)
    for note in swept.notes:
        say(note, err=form not in ("text", "markdown"))
    if any(run.record.status != "complete" for run in swept.runs):
        raise click.exceptions.Exit(1)


@dataclass
class _Row:
    """One predictor with one set of parameters on one data set: its seeds together."""

    words: tuple[str, str, str]
    prompts: int
    seeds: int = 0
    done: dict[str, Run] = field(default_factory=dict)

    def cells(self) -> list[object]:
        runs = list(self.done.values())
        complete = sum(run.record.status == "complete" for run in runs)
        drawn = sum(run.record.prompts_done for run in runs)
        ended = sum(run.record.status != "unfinished" for run in runs)
        state = "done" if complete == self.seeds else "FAILED" if ended > complete else "to do"
        seconds = sum(run.record.wall_s for run in runs)
        return [
            *self.words,
            f"{complete}/{self.seeds}",
            f"{drawn}/{self.seeds * self.prompts}",
            state,
            seconds,
        ]


class SweepTable(ProgressBar):
    """The table of a sweep: a row for each predictor, set of parameters and data set.

    On a terminal it is above the bar and kept up to date; else a line is printed for each run that ends, and
    the table before and after all.
    """

    def __init__(self, runs_dir: Path, quiet: bool) -> None:
        super().__init__(quiet)
        self.runs_dir = runs_dir
        self.live = sys.stderr.isatty()
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self._row_of: dict[str, _Row] = {}

    def planned(self, plans: Sequence[Plan]) -> None:
        """Make the rows of all runs to be, with those that are there already."""
        from popeq.runs.folder import find_runs
        from popeq.runs.plan import changed_parameters

        super().planned(plans)
        for plan in plans:
            words = (
                plan.predictor.name,
                ", ".join(f"{k}={v}" for k, v in changed_parameters(plan.parameters).items()),
                plan.dataset.name,
            )
            row = self._rows.setdefault(words, _Row(words, len(plan.dataset.test_ids)))
            row.seeds += 1
            self._row_of[plan.key] = row
        for run in find_runs(self.runs_dir)[0]:
            self._note(run)
        if not (self.quiet or self.live):
            say_text(self.above(), err=True)

    def _note(self, run: Run) -> None:
        if run.record.key in self._row_of:
            self._row_of[run.record.key].done[run.record.key] = run

    def remark(self, text: str) -> None:
        if not self.quiet:
            say(text, err=True)

    def ended(self, run: Run, drawn: bool) -> None:
        self._note(run)
        if drawn and not (self.quiet or self.live):
            record = run.record
            say(
                f"{record.status}: {record.predictor.name}, {record.dataset.name}, seed {record.seed}, "
                f"{record.prompts_done}/{record.prompts} prompts, {record.wall_s:.1f} s: {run.folder}",
                err=True,
            )

    def close(self) -> None:
        super().close()
        if not (self.quiet or self.live):
            say_text(self.above(), err=True)

    def above(self) -> str:
        """The table."""
        import pandas as pd

        from popeq.render import render

        names = ["predictor", "parameters", "data set", "runs", "prompts", "state", "time_s"]
        return render(pd.DataFrame([row.cells() for row in self._rows.values()], columns=names), "text")
