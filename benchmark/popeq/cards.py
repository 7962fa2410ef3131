"""The README.md card that an imported data set gets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from popeq.dataset import Dataset


def import_card(dataset: Dataset, importer: str, report: Mapping[str, Any]) -> str:
    """Markdown: what the data set is, whose it is, and everything that the importer reported."""
    card = dataset.card
    lines = [
        f"# {card.label}",
        "",
        f"{card.title}. Version {card.version}.",
        "",
        f"Made by `popeq data import {importer}`. "
        + ("**Simulated**: no real listener." if card.simulated else "Settings made by real listeners."),
        "",
        f"- Licence: {card.licence}",
        f"- Cite: {card.citation}",
        f"- {len(dataset.prompts)} prompts, {len(dataset.responses)} responses of "
        f"{dataset.responses['listener_id'].nunique()} listeners",
        "",
        "## What the importer reported",
        "",
    ]
    for label, value in report.items():
        if isinstance(value, Mapping):
            lines.append(f"- {label}:")
            lines += [f"  - {reason}: {count}" for reason, count in value.items()]
        else:
            lines.append(f"- {label}: {value}")
    return "\n".join(lines) + "\n"
