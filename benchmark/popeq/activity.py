"""What a command is at: a line on the terminal once it has taken a while, and nothing anywhere else.

A bar (``popeq.terminal.Bar``) takes the line's place. Nothing is shown where the error stream is no terminal.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from popeq.terminal import ActivityLine, Bar

Item = TypeVar("Item")

#: A command that takes longer shows the line.
_AFTER_S = 1.5
_EVERY_S = 0.25


class _State:
    """The one line of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.what = ""
        self.line: ActivityLine | None = None
        self.held = 0
        self.bar: Bar | None = None

    def clear(self) -> None:
        """Take the line off the terminal."""
        if self.line is not None:
            self.line.stop()
        self.line = None


_state = _State()


@contextmanager
def shown(name: str) -> Iterator[None]:
    """In this block, which is the command ``name``, the line is shown after ``_AFTER_S`` seconds."""
    if not sys.stderr.isatty():
        yield
        return
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(name, ended), daemon=True)
    watch.start()
    try:
        yield
    finally:
        ended.set()
        watch.join()
        with _state.lock:
            _state.clear()


def _watch(name: str, ended: threading.Event) -> None:
    wait_s = _AFTER_S
    while not ended.wait(wait_s):
        wait_s = _EVERY_S
        with _state.lock:
            if _state.held or ended.is_set():
                continue
            text = f"{name}: {_state.what}" if _state.what else name
            if _state.line is None:
                from popeq.terminal import ActivityLine

                _state.line = ActivityLine(text)
            _state.line.say(text)


def hold(bar: Bar | None = None) -> None:
    """Something else is on the terminal, a bar or a question, until ``release``."""
    with _state.lock:
        _state.clear()
        _state.held += 1
        _state.bar = bar


def release() -> None:
    """The terminal is free again."""
    with _state.lock:
        _state.held = max(_state.held - 1, 0)
        _state.bar = None


@contextmanager
def cleared() -> Iterator[None]:
    """In this block, which prints to the terminal, neither the line nor the bar is on it."""
    with _state.lock:
        _state.clear()
        bar = _state.bar
        if bar is not None:
            bar.hide()
        try:
            yield
        finally:
            if bar is not None:
                bar.start()


@contextmanager
def doing(what: str) -> Iterator[None]:
    """In this block the line says ``what``, such as ``loading a model``, if nothing around it says more."""
    if _state.what:
        yield
        return
    _state.what = what
    try:
        yield
    finally:
        _state.what = ""


def counted(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items; the line says how many of them there were, such as ``scoring runs 3/12``."""
    if _state.what or not what:
        yield from items
        return
    try:
        _state.what = f"{what} 0/{total}"
        for done, item in enumerate(items, 1):
            yield item
            _state.what = f"{what} {done}/{total}"
    finally:
        _state.what = ""
