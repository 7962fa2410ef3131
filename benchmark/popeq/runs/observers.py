"""Tell the plugins that watch runs: the observer hooks, called one at a time."""

from __future__ import annotations

import threading
import warnings

from popeq.plugins import registry
from popeq.runs.record import RunRecord


class Observers:
    """Calls the observer hooks, one at a time; one that fails costs a warning, not the run."""

    def __init__(self) -> None:
        self._hook = registry().manager.hook
        self._lock = threading.Lock()
        self._started: set[str] = set()

    def _call(self, name: str, **arguments: object) -> None:
        with self._lock:
            try:
                getattr(self._hook, name)(**arguments)
            except Exception as error:
                warnings.warn(f"a plugin's {name} failed: {type(error).__name__}: {error}", stacklevel=2)

    def started(self, record: RunRecord) -> None:
        with self._lock:
            first = record.run_id not in self._started
            self._started.add(record.run_id)
        if first:
            self._call("popeq_run_started", run=record)

    def prompt_done(self, record: RunRecord, prompt_id: str) -> None:
        self._call("popeq_prompt_done", run=record, prompt_id=prompt_id)

    def finished(self, record: RunRecord) -> None:
        self._call("popeq_run_finished", run=record)
