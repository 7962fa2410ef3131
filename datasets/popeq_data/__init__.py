"""Plugin with the bundled simulated panels and the importers of listening data."""

from __future__ import annotations

from pathlib import Path

from popeq.contract import DatasetSpec
from popeq.hookspecs import hookimpl
from popeq.importing import ImporterSpec
from popeq_data.importers.options import CsvOptions, SafeOptions, SocialEqOptions

_PANELS = Path(__file__).parent / "simulated_120"


@hookimpl
def popeq_datasets() -> list[DatasetSpec]:
    """Two panels of simulated listeners, used because real data may not be redistributed."""
    return [
        DatasetSpec("simulated-120", "120 prompts, 11 simulated listeners each", _PANELS / "data"),
        DatasetSpec(
            "simulated-120-b",
            "the same prompts, 11 other simulated listeners with shifted tastes",
            _PANELS / "panel_b",
        ),
    ]


@hookimpl
def popeq_importers() -> list[ImporterSpec]:
    """Importers of data that each user has to download."""
    return [
        ImporterSpec(
            "safe",
            "SAFE-DB equaliser settings (25 columns, no header)",
            "popeq_data.importers.safe:import_safe",
            ("CSV",),
            SafeOptions,
        ),
        ImporterSpec(
            "socialeq",
            "SocialEQ / SocialFX equaliser contributions (CSV or Parquet)",
            "popeq_data.importers.socialeq:import_socialeq",
            ("FILE",),
            SocialEqOptions,
        ),
        ImporterSpec(
            "csv",
            "your own prompts and responses",
            "popeq_data.importers.plain_csv:import_csv",
            ("PROMPTS", "RESPONSES"),
            CsvOptions,
        ),
    ]
