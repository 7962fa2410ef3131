"""What the command line shows while runs are drawn."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from popeq.runs.reporting import Reporter

if TYPE_CHECKING:
    from tqdm import tqdm

    from popeq.runs.folder import Run
    from popeq.runs.record import RunRecord


class ProgressBar(Reporter):
    """A bar of the prompts drawn, on a terminal alone; ``quiet``: no bar anywhere."""

    def __init__(self, quiet: bool = False) -> None:
        self._hidden = True if quiet else None
        self._bar: tqdm | None = None

    def started(self, prompts: int, done: int) -> None:
        from tqdm import tqdm

        self.close()
        self._bar = tqdm(total=prompts, initial=done, unit="prompt", disable=self._hidden)

    def prompt_done(self, record: RunRecord, prompt_id: str) -> None:
        if self._bar is not None:
            self._bar.update()

    def progress(self, record: RunRecord, line: str) -> None:
        if self._bar is not None:
            self._bar.set_postfix_str(f"{record.predictor.name}: {line}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar = None


class RunLines(ProgressBar):
    """The bar, and a line for each run that ends."""

    def remark(self, text: str) -> None:
        click.echo(text)

    def ended(self, run: Run, drawn: bool) -> None:
        from tqdm import tqdm

        with tqdm.external_write_mode(file=sys.stdout):
            click.echo("\n".join(_lines(run, drawn)))


def _lines(run: Run, drawn: bool) -> list[str]:
    record = run.record
    name = record.predictor.name
    data = f"{record.dataset.name}{' (simulated)' if record.dataset.simulated else ''}"
    if record.status == "complete":
        how = f"drawn in {record.wall_s:.1f} s" if drawn else "complete already"
        return [f"{name}: {record.prompts} prompts of {data}, {how}: {run.folder}"]
    lines = [f"{name}: FAILED, {record.prompts_done} of {record.prompts} prompts of {data}: {run.folder}"]
    for failure in record.failures:
        where = f" (see {run.folder / failure.detail})" if failure.detail else ""
        lines.append(f"  {failure.stage}: {failure.kind}: {failure.message}{where}")
    return lines
