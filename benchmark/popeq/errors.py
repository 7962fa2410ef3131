"""Errors that a person can cause or mend: one clear line each, and the exit code the command line gives.

Exit codes of ``popeq``: 0 done, 1 something ran and failed, 2 wrong use or wrong input, 130 interrupted
(docs/runs.md).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from popeq.plain_text import visible


class PopeqError(Exception):
    """Something that popeq can explain in a line; printed without a traceback."""

    exit_code = 1


class RunError(PopeqError):
    """A run could not be made, finished or read for a reason that is not the user's input.

    As text it is one line, whatever the name of its folder holds.
    """

    def __str__(self) -> str:
        return visible(super().__str__())


class ChangedError(RunError):
    """What answers has changed since a run or a kept process began, and its answers are not mixed."""


class PromptsError(RunError):
    """Some prompts of one ``sample`` call failed: a run keeps the others and names these.

    ``failures`` has a line for each, by its place among the call's prompts; it names at least one.
    """

    def __init__(self, failures: Mapping[int, str]) -> None:
        if not failures:
            raise ValueError("a PromptsError names at least one prompt")
        self.failures = dict(sorted(failures.items()))
        place, line = next(iter(self.failures.items()))
        others = len(self.failures) - 1
        more = f"; and {others} more prompt{'s' * (others > 1)} failed" if others else ""
        super().__init__(f"prompt {place + 1}: {line}{more}")


class UsageError(PopeqError):
    """Wrong use or wrong input: says what is wrong, where, and what to do."""

    exit_code = 2


class SealedError(UsageError):
    """Something needs test answers that are kept elsewhere than in the data set's folder."""


class UnknownNameError(UsageError):
    """A name that nothing is registered under; offers the nearest ones."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        if near:
            offer = f"did you mean {' or '.join(repr(n) for n in near)}?"
        else:
            more = f" and {len(known) - 20} more" if len(known) > 20 else ""
            offer = f"known: {', '.join(known[:20]) if known else 'none'}{more}"
        super().__init__(f"no {kind} is called {name!r}; {offer}{' ' + hint if hint else ''}")


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a file; as text it is one line, whatever the file holds.

    ``row`` is the line of the file, the header being line 1.
    """

    file: str
    message: str
    row: int | None = None
    column: str | None = None

    def __str__(self) -> str:
        where = [self.file]
        if self.row is not None:
            where.append(f"row {self.row}")
        if self.column is not None:
            where.append(f"column {self.column}")
        return visible(f"{', '.join(where)}: {self.message}")


class InvalidInputError(UsageError):
    """Everything that is wrong in somebody's files, at once; ``problems`` holds the single ones."""

    shown = 100

    def __init__(self, what: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        lines = [str(p) for p in self.problems[: self.shown]]
        if len(self.problems) > self.shown:
            lines.append(f"... and {len(self.problems) - self.shown} more of the same files")
        super().__init__("\n".join([f"{what}: {len(self.problems)} problem(s)", *lines]))
