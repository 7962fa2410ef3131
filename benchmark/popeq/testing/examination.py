"""``popeq check``: all checks in one contained process, so that no predictor can harm the caller."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from popeq.contract import PredictorSpec
from popeq.runs.confined import receive_job
from popeq.runs.containment import GIB, contained
from popeq.runs.scrubbed import environment_for
from popeq.runs.settings import RunSettings
from popeq.runs.supervisor import Deadline, how_it_died
from popeq.runs.worker import peak_memory_mb
from popeq.testing.checks import CHECKS, ContractBrokenError
from popeq.testing.subject import Subject


@dataclass(frozen=True)
class Finding:
    """What one check found: ``problem`` is empty if it passed; ``kind`` is equal for one cause."""

    check: str
    asks: str
    problem: str
    wall_s: float
    kind: str = ""


@dataclass(frozen=True)
class Examination:
    """All findings, what fitting on 8 prompts and drawing 3 x 110 samples took, and the peak memory (MiB);
    the measurements are None if the process did not get that far."""

    findings: tuple[Finding, ...]
    fit_s: float | None = None
    sample_s: float | None = None
    peak_memory_mb: float | None = None

    @property
    def passed(self) -> bool:
        """Whether every check was made and passed."""
        return len(self.findings) == len(CHECKS) and not any(f.problem for f in self.findings)


def examine(
    spec: PredictorSpec,
    options: Mapping[str, object],
    settings: RunSettings,
    on_finding: Callable[[Finding], None],
) -> Examination:
    """Make every check of an installed predictor; ``on_finding`` is called as each ends.

    All checks together have ``settings.timeout_s``. Raises UsageError for wrong options.
    """
    Subject.of(spec.name, options)
    found: list[Finding] = []
    measured: dict[str, float] = {}
    memory_bytes = settings.checked().memory_bytes(1)
    with tempfile.TemporaryDirectory(prefix="popeq-check-") as folder:
        report, log = Path(folder, "report.jsonl"), Path(folder, "log.txt")
        report.touch()
        deadline = Deadline(settings.timeout_s)
        deadline.start()
        started = time.monotonic()
        env = environment_for(settings, os.cpu_count() or 1, spec.needs_env)
        with (
            report.open(encoding="utf-8") as lines,
            contained("popeq.testing.examination", log, env, memory_bytes, options.values()) as examined,
        ):

            def watch() -> str:
                nonlocal started
                for content in map(json.loads, lines.read().splitlines()):
                    if "check" in content:
                        found.append(Finding(**content))
                        on_finding(found[-1])
                        started = time.monotonic()
                    else:
                        measured.update(content)
                return "timeout" if deadline.passed else ""

            asked = {"predictor": spec.name, "options": dict(options), "report": str(report)}
            examined.send(json.dumps(asked).encode())
            stopped = examined.wait(watch)
            watch()
            status = examined.process.poll()
        if len(found) < len(CHECKS) and (stopped or not measured):
            check = CHECKS[len(found)]
            if stopped == "timeout":
                why = f"did not end within the {settings.timeout_s:g} s of all checks"
            elif stopped == "memory":
                why = f"took more than {memory_bytes / GIB:.3g} GiB"
            else:
                why = how_it_died(status) if status is not None else "the process ended"
            found.append(Finding(check.name, check.asks, f"{check.asks}; {why}", time.monotonic() - started))
            on_finding(found[-1])
    return Examination(tuple(found), **measured)


def main() -> int:
    """The contained process: reads what to check from its input, writes a line a finding."""
    asked = json.loads(receive_job())
    with Path(asked["report"]).open("a", encoding="utf-8", buffering=1) as report:

        def write(line: Mapping[str, object]) -> None:
            report.write(json.dumps(line) + "\n")

        subject = Subject.of(asked["predictor"], asked["options"])
        for check in CHECKS:
            started = time.perf_counter()
            problem = kind = ""
            try:
                check.run(subject)
            except ContractBrokenError as broken:
                problem, kind = str(broken), broken.kind
            wall_s = time.perf_counter() - started
            write(asdict(Finding(check.name, check.asks, problem, wall_s, kind)))
        with contextlib.suppress(Exception):
            started = time.perf_counter()
            predictor = subject.fit(subject.fresh(), subject.train, subject.validation)
            fitted = time.perf_counter()
            subject.draw(predictor, n=110)
            write({"fit_s": fitted - started, "sample_s": time.perf_counter() - fitted})
        write({"peak_memory_mb": peak_memory_mb()})
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
