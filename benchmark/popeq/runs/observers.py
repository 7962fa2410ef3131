"""Tell those who watch runs: the plugins, through the observer hooks, and the caller's reporter."""

from __future__ import annotations

import threading
import warnings

from popeq.plugins import registry
from popeq.runs.folder import Run
from popeq.runs.record import RunRecord
from popeq.runs.reporting import Reporter


class Observers:
    """Calls hooks and reporter, one call at a time; a hook that fails costs a warning, not the run."""

    def __init__(self, reporter: Reporter) -> None:
        self._hook = registry().manager.hook
        self._reporter = reporter
        self._lock = threading.Lock()
        self._started: set[str] = set()

    def _call(self, name: str, **arguments: object) -> None:
        try:
            getattr(self._hook, name)(**arguments)
        except Exception as error:
            warnings.warn(f"a plugin's {name} failed: {type(error).__name__}: {error}", stacklevel=2)

    def started(self, record: RunRecord) -> None:
        """A stage of a run begins; the hook is called for the first one."""
        with self._lock:
            if record.run_id not in self._started:
                self._started.add(record.run_id)
                self._call("popeq_run_started", run=record)
            self._reporter.progress(record, "loading and fitting")

    def prompt_done(self, record: RunRecord, prompt_id: str) -> None:
        """A prompt was drawn."""
        with self._lock:
            self._call("popeq_prompt_done", run=record, prompt_id=prompt_id)
            self._reporter.prompt_done(record, prompt_id)

    def progress(self, record: RunRecord, line: str) -> None:
        """A predictor said how far its training is; plugins are not called for that."""
        with self._lock:
            self._reporter.progress(record, line)

    def finished(self, run: Run) -> None:
        """A run ended."""
        with self._lock:
            self._call("popeq_run_finished", run=run.record)
            self._reporter.ended(run, True)
