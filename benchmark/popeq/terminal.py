"""The progress bar and the line of what a command is at, on a terminal alone."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from popeq import activity
from popeq.output import plain_lines
from popeq.plain_text import visible


class Bar(Progress):
    """A bar of ``total`` units on the error stream, and above it what ``above`` gives; begins at once.

    Nothing is shown where the error stream is no terminal, or if ``hidden``. ``estimate`` shows the time that
    is left, for units that all take the same time.
    """

    def __init__(
        self,
        unit: str,
        total: float,
        done: int = 0,
        *,
        hidden: bool = False,
        estimate: bool = True,
        above: Callable[[], str] = lambda: "",
    ) -> None:
        console = Console(stderr=True)
        self._above = above
        super().__init__(
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn(unit),
            TimeElapsedColumn(),
            *([TimeRemainingColumn()] if estimate else []),
            TextColumn("{task.description}", markup=False),
            console=console,
            disable=hidden or not console.is_terminal,
            redirect_stdout=sys.stdout.isatty(),  # else what is printed would not reach its file or pipe
        )
        self._task = self.add_task("", total=total, completed=done)
        self._holds = True
        activity.hold(self)
        self.start()

    def hide(self) -> None:
        """Take the bar off the terminal until ``start``."""
        if not self.disable:
            self.live.transient = True
            super().stop()
            self.live.transient = False

    def stop(self) -> None:
        """Nothing more is shown; the bar stays as it is."""
        super().stop()
        if self._holds:
            self._holds = False
            activity.release()

    def get_renderables(self) -> Iterable[RenderableType]:
        """The text above, and the bar."""
        if text := self._above():
            yield Text(plain_lines(text))
        yield from super().get_renderables()

    def step(self) -> None:
        """One unit more is done."""
        self.advance(self._task)

    def at(self, done: float) -> None:
        """So many units are done."""
        self.update(self._task, completed=done)

    def say(self, line: str) -> None:
        """Show a line beside the bar."""
        self.update(self._task, description=visible(line))


class ActivityLine(Progress):
    """One line on the error stream with a text and the time since it began; gone when it is stopped."""

    def __init__(self, line: str) -> None:
        super().__init__(
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self.add_task(visible(line), total=None)
        self.start()

    def say(self, line: str) -> None:
        """Show another text."""
        self.update(self._task, description=visible(line))
