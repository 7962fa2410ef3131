"""Log runs to MLflow while they are drawn: the pattern for a plugin that tells a tracker (docs/trackers.md).

Nothing happens, and MLflow is not imported, unless the variable POPEQ_MLFLOW is set.
"""

from __future__ import annotations

import os
from functools import lru_cache
from typing import TYPE_CHECKING

from popeq.hookspecs import hookimpl

if TYPE_CHECKING:
    from popeq.runs.record import RunRecord
    from popeq_mlflow.tracking import Tracker

#: The variable that switches it on: any value but an empty one and 0.
SWITCH = "POPEQ_MLFLOW"


def tracker() -> Tracker | None:
    """The tracker of this process; None if it is not switched on."""
    return None if os.environ.get(SWITCH, "") in ("", "0") else _tracker()


@lru_cache(maxsize=1)
def _tracker() -> Tracker:
    from popeq_mlflow.tracking import Tracker

    return Tracker()


@hookimpl
def popeq_run_started(run: RunRecord) -> None:
    """Begin a run of MLflow, or go on with the one that a stopped run began."""
    if found := tracker():
        found.started(run)


@hookimpl
def popeq_prompt_done(run: RunRecord) -> None:
    """Count the prompt."""
    if found := tracker():
        found.prompt_done(run)


@hookimpl
def popeq_run_finished(run: RunRecord) -> None:
    """Log what is known at the end, and how it ended."""
    if found := tracker():
        found.finished(run)
