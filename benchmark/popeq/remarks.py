"""Remarks: what popeq does without on this machine, each said once, in a line on the error stream."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from typing import Any

_said: set[str] = set()
_one_at_a_time = threading.Lock()


class Remark(UserWarning):
    """A line for the person who runs popeq: results are the same, but something is missing here."""


def remark(line: str) -> None:
    """Warn with a line, unless this process has said the same before."""
    with _one_at_a_time:
        known = line in _said
        _said.add(line)
    if not known:
        warnings.warn(line, Remark, stacklevel=3)


@contextlib.contextmanager
def as_lines() -> Iterator[None]:
    """In this block a remark is shown as ``popeq: LINE``, not as a warning with a place in the code."""
    with warnings.catch_warnings():
        others = warnings.showwarning

        def show(message: Any, category: Any, *place: Any, **more: Any) -> None:
            if isinstance(message, Remark):
                from popeq.output import say  # which imports what only commands need

                say(f"popeq: {message}", err=True)
            else:
                others(message, category, *place, **more)

        warnings.simplefilter("always", Remark)
        warnings.showwarning = show
        yield
