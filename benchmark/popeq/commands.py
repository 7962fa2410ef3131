"""How a plugin announces a command of the program ``popeq``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from popeq.contract import load_object
from popeq.errors import UsageError
from popeq.installing import install_hint

if TYPE_CHECKING:
    import click


@dataclass(frozen=True)
class CommandSpec:
    """How a plugin announces ``popeq NAME``; ``factory`` ("module:command") is imported when it is called.

    ``extra`` names the popeq extra that brings what the command imports.
    """

    name: str
    summary: str
    factory: str
    extra: str | None = None

    def load(self) -> click.Command:
        """The click command. Raises UsageError if what it imports is missing, with what to install."""
        try:
            command: click.Command = load_object(self.factory)
        except ImportError as error:
            raise UsageError(
                f"popeq {self.name}: cannot be loaded: {error}{install_hint(self.extra)}"
            ) from None
        return command
