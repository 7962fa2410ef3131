"""What a measurement of ``make bench`` gives: seconds beside a floor and a peer, as a row of one table."""

from __future__ import annotations

import os
import platform
import timeit
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

Call = Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table.

    ``floor_s`` is the time of a part of the work that an exact method cannot avoid, done by NumPy or SciPy
    (compiled code can take less); ``peer_s`` is that of another implementation. Both are measured beside
    ``seconds`` in the same process. ``least_ratio`` (of ``peer_s`` to ``seconds``), ``most_s`` and ``claim``
    (words, and whether it is true) are limits: ``make bench`` fails beyond them. A limit is worse than every
    figure seen on an idle machine, because ratios differ between processors.
    """

    measurement: str
    size: str
    seconds: float
    floor: str = ""
    floor_s: float | None = None
    peer: str = ""
    peer_s: float | None = None
    least_ratio: float | None = None
    most_s: float | None = None
    claim: tuple[str, bool] | None = None
    figure: str = ""

    @property
    def ratio(self) -> float | None:
        """How many times as long the peer takes; None without a peer."""
        return None if self.peer_s is None else self.peer_s / self.seconds

    @property
    def limit(self) -> tuple[str, bool]:
        """The limit in words, and whether it is met; an empty text and True where there is none."""
        if self.least_ratio is not None:
            return f">= {self.least_ratio:.3g} x", self.ratio is not None and self.ratio >= self.least_ratio
        if self.most_s is not None:
            return f"<= {self.most_s:g} s", self.seconds <= self.most_s
        return self.claim or ("", True)


def least_seconds(calls: Sequence[Call], rounds: int) -> list[float]:
    """Least wall seconds of each call over so many rounds.

    The calls are made in turn, so that other load on the machine falls on all of them alike. With more than
    one round each is first called once without being timed.
    """
    if rounds > 1:
        for call in calls:
            call()
    times = [[timeit.timeit(call, number=1) for call in calls] for _ in range(rounds)]
    return [float(least) for least in np.min(times, axis=0)]


def timed(
    ours: Call, rounds: int, *, floor: Call | None = None, peer: Call | None = None
) -> dict[str, float]:
    """``seconds``, ``floor_s`` and ``peer_s`` of a Row, of those that are given."""
    calls = {"seconds": ours, "floor_s": floor, "peer_s": peer}
    given = {name: call for name, call in calls.items() if call is not None}
    return dict(zip(given, least_seconds(list(given.values()), rounds), strict=True))


def processor() -> str:
    """The name of this machine's processor, its number of cores, and the load of the last minute."""
    names = []
    if (file := Path("/proc/cpuinfo")).is_file():
        lines = file.read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.processor() or platform.machine()
    return f"{name}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def table(rows: Sequence[Row], failures: Sequence[str]) -> str:
    """All rows with their ratios, then the figures in other units, what failed, and the processor."""

    def number(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    cells = [
        {
            "measurement": row.measurement,
            "size": row.size,
            "seconds": number(row.seconds, 4),
            "floor_s": number(row.floor_s, 4),
            "times_floor": number(row.seconds / row.floor_s if row.floor_s else None, 1),
            "floor": row.floor if row.floor_s is not None else "",
            "peer_s": number(row.peer_s, 4),
            "times_faster": number(row.ratio, 1),
            "peer": row.peer if row.peer_s is not None else "",
            "limit": row.limit[0],
            "met": "" if not row.limit[0] else "yes" if row.limit[1] else "NO",
        }
        for row in rows
    ]
    figures = [f"{row.measurement}, {row.size}: {row.figure}" for row in rows if row.figure]
    shown = pd.DataFrame(cells).to_string(index=False) if cells else "nothing was measured"
    failed = [f"FAILED {failure}" for failure in failures]
    return "\n".join([shown, "", *figures, *failed, f"processor: {processor()}"])
