"""What a caller can watch while runs are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from popeq.runs.folder import Run
    from popeq.runs.plan import Plan
    from popeq.runs.record import RunRecord
    from popeq.terminal import Bar


class Reporter:
    """Is called while runs are drawn, from several threads, but one call at a time. Every method does nothing
    until a subclass says otherwise."""

    def planned(self, plans: Sequence[Plan]) -> None:
        """Once, before the first run: every run that was asked for, complete ones among them."""

    def remark(self, text: str) -> None:
        """A line for each run that is drawn again because its code, or what its parameters name, changed
        since a run of the same predictor; that run stays as it is."""

    def started(self, prompts: int, done: int) -> None:
        """Before prompts are drawn: how many there are in the runs that are not complete, and how many of
        them an earlier attempt drew."""

    def prompt_done(self, record: RunRecord, prompt_id: str) -> None:
        """A prompt of a run was drawn."""

    def progress(self, record: RunRecord, line: str) -> None:
        """What a run is at before its prompts: it begins, or a predictor said how far its training is."""

    def ended(self, run: Run, drawn: bool) -> None:
        """A run ended, with whatever status; ``drawn`` is False if it was complete already."""

    def close(self) -> None:
        """Nothing more is drawn."""


class ProgressBar(Reporter):
    """A bar of the prompts drawn, on a terminal alone; ``quiet``: no bar anywhere."""

    def __init__(self, quiet: bool = False) -> None:
        self.quiet = quiet
        self._alike = True
        self._bar: Bar | None = None

    def above(self) -> str:
        """A text that is shown above the bar and kept up to date."""
        return ""

    def planned(self, plans: Sequence[Plan]) -> None:
        """Prompts of one predictor take about the same time, so that the time left can be estimated."""
        self._alike = len({plan.predictor.name for plan in plans}) == 1

    def started(self, prompts: int, done: int) -> None:
        from popeq.terminal import Bar

        hidden = self.quiet or not (prompts or self.above())
        self._bar = Bar("prompts", prompts, done, hidden=hidden, estimate=self._alike, above=self.above)

    def prompt_done(self, record: RunRecord, prompt_id: str) -> None:
        if self._bar is not None:
            self._bar.step()
            self._bar.say(record.predictor.name)

    def progress(self, record: RunRecord, line: str) -> None:
        if self._bar is not None:
            self._bar.say(f"{record.predictor.name}: {line}")

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
        self._bar = None
