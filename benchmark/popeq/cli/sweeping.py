"""``popeq sweep``: draw every run of a sweep's file under one table of progress, then rank them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from popeq.cli.options import (
    containment_options,
    engine_options,
    format_option,
    runs_option,
    warn_of_broken_plugins,
)

if TYPE_CHECKING:
    from popeq.runs.folder import Run
    from popeq.runs.plan import Plan


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@runs_option
@engine_options
@click.option(
    "--timeout",
    "timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    default=3600.0,
    show_default=True,
    help="Seconds that one run may take; then it is killed.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    default=16,
    show_default=True,
    help="Prompts handed to a predictor at once; results do not depend on it.",
)
@containment_options
@click.option("--dry-run", is_flag=True, help="Only show what would be drawn.")
@click.option("--quiet", is_flag=True, help="No progress.")
@format_option
def sweep(
    file: Path,
    runs_dir: Path,
    jobs: int,
    engine: str,
    scheduler: str | None,
    timeout_s: float,
    batch_size: int,
    memory_gb: float | None,
    online: bool,
    pass_env: tuple[str, ...],
    dry_run: bool,
    quiet: bool,
    form: str,
) -> None:
    """Draw every run that FILE describes: predictors x parameters x data sets x seeds.

    What is complete is not drawn again; what was stopped goes on where it was. At the end comes a board for
    each data set. docs/scale.md says what stands in the file.
    """
    from popeq.plugins import registry
    from popeq.render import render
    from popeq.runs.containment import Containment
    from popeq.sweep import expand, read_sweep
    from popeq.sweep import sweep as run_sweep

    warn_of_broken_plugins()
    if dry_run:
        click.echo(Progress(expand(read_sweep(file), file.parent, registry()), runs_dir).text())
        return
    shown: list[Progress] = []

    def on_plans(plans: Sequence[Plan]) -> None:
        shown.append(Progress(plans, runs_dir, live=sys.stderr.isatty() and not quiet))
        if not quiet:
            shown[0].show()

    def on_run(run: Run, drawn: bool) -> None:
        shown[0].ended(run)
        if not quiet and (drawn or shown[0].live):
            shown[0].show(run)

    swept = run_sweep(
        file,
        runs_dir=runs_dir,
        jobs=jobs,
        engine=engine,
        scheduler=scheduler,
        timeout_s=timeout_s,
        batch_size=batch_size,
        progress=not quiet,
        containment=Containment(memory_gb, online, pass_env),
        on_plans=on_plans,
        on_run=on_run,
        on_note=None if quiet else partial(click.echo, err=True),
    )
    if not quiet and not shown[0].live:
        click.echo(shown[0].text(), err=True)
    for name, board in swept.boards.items():
        if form in ("text", "markdown"):
            click.echo(f"\n{name}\n")
        click.echo(render(board.table, form, board.notes))  # type: ignore[arg-type]
    for note in swept.notes:
        click.echo(note, err=form not in ("text", "markdown"))
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
            round(seconds, 1),
        ]


class Progress:
    """The table of a sweep: a row for each predictor, set of parameters and data set. ``live``: redrawn in
    place on a terminal; else a line is printed for each run that ends."""

    def __init__(self, plans: Sequence[Plan], runs_dir: Path, live: bool = False) -> None:
        from popeq.runs.folder import find_runs

        self.live = live
        self._lines = 0
        self._rows: dict[tuple[str, str, str], _Row] = {}
        self._row_of: dict[str, _Row] = {}
        for plan in plans:
            defaults = type(plan.parameters).model_construct().model_dump(mode="json")
            own = {k: v for k, v in plan.parameter_values.items() if v != defaults.get(k)}
            words = (
                plan.spec.name,
                ", ".join(f"{k}={v}" for k, v in own.items()),
                plan.dataset.name,
            )
            row = self._rows.setdefault(words, _Row(words, len(plan.dataset.test_ids)))
            row.seeds += 1
            self._row_of[plan.key] = row
        for run in find_runs(runs_dir)[0]:
            if run.record.key in self._row_of:
                self.ended(run)

    def ended(self, run: Run) -> None:
        """Take note of a run as it is now."""
        self._row_of[run.record.key].done[run.record.key] = run

    def text(self) -> str:
        """The table."""
        from tabulate import tabulate

        head = ["predictor", "parameters", "data set", "runs", "prompts", "state", "time_s"]
        return str(tabulate([row.cells() for row in self._rows.values()], head, disable_numparse=True))

    def show(self, run: Run | None = None) -> None:
        """Print the table, over the last one if live; if not, only a line for the run that ended."""
        if run is not None and not self.live:
            record = run.record
            click.echo(
                f"{record.status}: {record.predictor.name}, {record.dataset.name}, seed {record.seed}, "
                f"{record.prompts_done}/{record.prompts} prompts, {record.wall_s:.1f} s: {run.folder}",
                err=True,
            )
            return
        text = self.text()
        up = f"\x1b[{self._lines}A\x1b[J" if self.live and self._lines else ""
        click.echo(up + text, err=True)
        self._lines = text.count("\n") + 1
