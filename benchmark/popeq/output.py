"""The one way to the terminal: no text from elsewhere can act on it, whatever the command or the stream.

Names in runs, cards and data sets, prompts, answers of servers, names of files and the errors of libraries
may hold escape sequences, carriage returns or direction marks. All that popeq prints goes through here.
"""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import traceback
import warnings
from types import TracebackType
from typing import TextIO

import click

from popeq import activity
from popeq.plain_text import visible


def say(*lines: str, err: bool = False, nl: bool = True) -> None:
    """Print lines to the output or, with ``err``, to the error stream; a line break inside one becomes a
    blank, so that a name cannot begin a line of its own."""
    _print("\n".join(map(visible, lines)), err, nl)


def say_text(text: str, *, err: bool = False) -> None:
    """Print a text of several lines, such as a table, whose cells cannot break a line any more."""
    _print(plain_lines(text), err)


def _print(text: str, err: bool, nl: bool = True) -> None:
    """Print a text; what is drawn on the terminal makes way for it."""
    with activity.cleared() if _is_terminal(sys.stderr if err else sys.stdout) else contextlib.nullcontext():
        click.echo(text, err=err, nl=nl)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # it is closed
        return False


def plain_lines(text: str) -> str:
    """The text with its line breaks, every other character that acts written as its code."""
    return "\n".join(map(visible, text.split("\n")))


class PlainHelp(click.Command):
    """A command whose help has texts of plugins: names, summaries and defaults."""

    def get_help(self, ctx: click.Context) -> str:
        """The help as plain lines."""
        return plain_lines(super().get_help(ctx))


def say_usage(error: click.ClickException) -> None:
    """What click says of wrong options, on the error stream."""
    shown = io.StringIO()
    error.show(shown)
    say_text(shown.getvalue().rstrip("\n"), err=True)


class _PlainRecord(logging.LogRecord):
    def getMessage(self) -> str:  # noqa: N802
        return plain_lines(super().getMessage())


def make_messages_plain() -> None:
    """Warnings, log lines and tracebacks of libraries go the same way, from here on in this process."""
    if warnings.formatwarning is not _plain_warning:
        warnings.formatwarning = _plain_warning
    logging.setLogRecordFactory(_PlainRecord)
    sys.excepthook = _plain_traceback


_format_warning = warnings.formatwarning


def _plain_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    return plain_lines(_format_warning(message, category, filename, lineno, line))


def _plain_traceback(kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
    say_text("".join(traceback.format_exception(kind, error, where)).rstrip("\n"), err=True)
