"""The inputs by target and fuzzer, and the memory that they took, at the end of a session that fuzzed."""

from __future__ import annotations

from collections import Counter

import pytest

#: Inputs by (target, fuzzer): (taken, refused).
COUNTS = pytest.StashKey[dict[tuple[str, str], Counter[bool | None]]]()
#: The most memory, MiB, of targets that were measured in a process of their own.
PEAKS = pytest.StashKey[dict[str, float]]()


@pytest.fixture
def counts(request: pytest.FixtureRequest) -> dict[tuple[str, str], Counter[bool | None]]:
    """Inputs of this session by (target, fuzzer): how many were taken (True), refused (False) or either."""
    return request.config.stash.setdefault(COUNTS, {})


@pytest.fixture
def peaks(request: pytest.FixtureRequest) -> dict[str, float]:
    """The most memory, MiB, of this session by target, of those that are measured."""
    return request.config.stash.setdefault(PEAKS, {})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    counts = config.stash.get(COUNTS, {})
    if not counts:
        return
    terminalreporter.section("inputs fuzzed")
    terminalreporter.line(f"{'target':24} {'fuzzer':24} {'inputs':>8} {'taken':>8} {'refused':>8}")
    for (target, fuzzer), seen in counts.items():
        terminalreporter.line(f"{target:24} {fuzzer:24} {seen.total():8,} {seen[True]:8,} {seen[False]:8,}")
    terminalreporter.line(f"{'all':49} {sum(seen.total() for seen in counts.values()):8,}")
    for target, peak in config.stash.get(PEAKS, {}).items():
        terminalreporter.line(f"{target}: at most {peak:.0f} MiB in the process that takes the inputs")
