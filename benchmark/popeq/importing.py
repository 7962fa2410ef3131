"""How a plugin announces an importer of somebody else's listening data, and what an importer gives back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from popeq.contract import Parameters, load_object

if TYPE_CHECKING:
    from popeq.dataset import Dataset


@dataclass(frozen=True)
class ImportResult:
    """What an importer made: the data set, and what it dropped, clipped and measured, line by line."""

    dataset: Dataset
    report: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ImporterSpec:
    """How a plugin announces an importer of somebody else's files.

    ``factory`` names a function ``f(*files: Path, parameters) -> ImportResult``, one file for each name in
    ``files``; the command line makes an option of every field of ``parameters``.
    """

    name: str
    summary: str
    factory: str
    files: tuple[str, ...] = ("FILE",)
    parameters: type[Parameters] = Parameters

    def load(self) -> Callable[..., ImportResult]:
        """The importing function."""
        loaded: Callable[..., ImportResult] = load_object(self.factory)
        return loaded
