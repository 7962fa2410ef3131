"""What the command line shows while runs are drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from popeq.output import say
from popeq.runs.reporting import ProgressBar

if TYPE_CHECKING:
    from popeq.runs.folder import Run


class RunLines(ProgressBar):
    """The bar, and a line for each run that ends."""

    def remark(self, text: str) -> None:
        say(text)

    def ended(self, run: Run, drawn: bool) -> None:
        say(*_lines(run, drawn))


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
