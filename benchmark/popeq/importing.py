"""How a plugin announces an importer of listening data, and what an importer returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from popeq.contract import Parameters, load_object

if TYPE_CHECKING:
    from popeq.dataset import Dataset


@dataclass(frozen=True)
class ImportResult:
    """A data set and the report of what was read, dropped, clipped and measured, by label."""

    dataset: Dataset
    report: Mapping[str, Any] = field(default_factory=dict)

    def lines(self, bullet: str = "") -> Iterator[str]:
        """The report as lines of text; ``bullet`` is put before each."""
        for label, value in self.report.items():
            if isinstance(value, Mapping):
                yield f"{bullet}{label}:"
                yield from (f"  {bullet}{reason}: {count}" for reason, count in value.items())
            else:
                yield f"{bullet}{label}: {value}"

    def readme(self, importer: str) -> str:
        """The README.md of the data set, Markdown: what it is, its licence, its sizes, and the report."""
        card, responses = self.dataset.card, self.dataset.responses
        made_by = "**Simulated**: no real listener." if card.simulated else "Settings made by real listeners."
        lines = [
            f"# {card.label}",
            "",
            f"{card.title}. Version {card.version}.",
            "",
            f"Made by `popeq data import {importer}`. {made_by}",
            "",
            f"- Licence: {card.licence}",
            f"- Cite: {card.citation}",
            f"- {len(self.dataset.prompts)} prompts, {len(responses)} responses of "
            f"{responses['listener_id'].nunique()} listeners",
            "",
            "## What the importer reported",
            "",
            *self.lines("- "),
        ]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True)
class ImporterSpec:
    """How a plugin announces an importer of files that it does not own.

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
