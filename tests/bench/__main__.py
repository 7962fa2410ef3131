"""``python -m tests.bench [NAME...]``: measure, and print the table of ratios, whatever fails.

The exit status is 1 if a measurement failed or a limit is not met. ``--small`` measures the small forms that
``make test`` runs, whose times mean nothing. NAME is a part of the name of a measurement, ``sampling`` say.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence

from tests.bench import fine_tuning, sampling, scale, scoring
from tests.bench.ratios import Row, processor, table

#: Called with whether the whole form is wanted.
Measurement = Callable[[bool], Iterator[Row]]
MEASUREMENTS: tuple[Measurement, ...] = (
    *scoring.MEASUREMENTS,
    *scale.MEASUREMENTS,
    *fine_tuning.MEASUREMENTS,
    *sampling.MEASUREMENTS,
)


def measure(measurements: Sequence[Measurement], whole: bool) -> int:
    """Print the table of these measurements; 1 if one failed or a limit is not met, else 0."""
    rows: list[Row] = []
    failures: list[str] = []
    print(f"processor at the start: {processor()}", flush=True)
    for measurement in measurements:
        print(f"measuring {measurement.__name__}", file=sys.stderr, flush=True)
        try:
            for row in measurement(whole):
                rows.append(row)  # one at a time: what was measured before a failure is kept
        except Exception as error:
            traceback.print_exc()
            reason = (str(error).splitlines() or [""])[0]
            failures.append(f"{measurement.__name__}: {type(error).__name__}: {reason}")
    print(table(rows, failures))
    missed = [
        " ".join(filter(None, [row.measurement, f"({row.size})", row.peer]))
        for row in rows
        if not row.limit[1]
    ]
    if missed:
        print(f"limits not met: {', '.join(missed)}")
    return 1 if failures or missed else 0


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--small", action="store_true")
    asked = parser.parse_args(argv)
    chosen = [m for m in MEASUREMENTS if not asked.names or any(n in m.__name__ for n in asked.names)]
    if not chosen:
        parser.error(f"no measurement is called {' or '.join(asked.names)}")
    return measure(chosen, not asked.small)


if __name__ == "__main__":
    sys.exit(main())
