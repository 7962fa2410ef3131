"""Plugin with the bundled simulated panels and the importers of listening data."""

from __future__ import annotations

from pathlib import Path

from popeq.contract import DatasetSpec
from popeq.hookspecs import hookimpl
from popeq.importing import ImporterSpec
from popeq_data.importers.options import BandsOptions, CsvOptions, SafeOptions, SocialEqOptions

_HERE = Path(__file__).parent


@hookimpl
def popeq_datasets() -> list[DatasetSpec]:
    """Panels of simulated listeners, used because real data may not be redistributed."""
    large, small = _HERE / "simulated_1200", _HERE / "simulated_120"
    return [
        DatasetSpec(
            "simulated-1200",
            "1,200 prompts, 11 of 400 simulated listeners each",
            large / "data",
            known="popeq_data.simulated_1200.people:known_words",
        ),
        DatasetSpec(
            "simulated-1200-b",
            "the same prompts, 11 others of the same simulated listeners each",
            large / "panel_b",
        ),
        DatasetSpec("simulated-120", "120 prompts, 11 simulated listeners each", small / "data"),
        DatasetSpec(
            "simulated-120-b",
            "the same prompts, 11 other simulated listeners with shifted tastes",
            small / "panel_b",
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
        ImporterSpec(
            "bands",
            "settings of graphic equalisers, tone controls or parametric filters",
            "popeq_data.importers.bands:import_bands",
            ("FILE",),
            BandsOptions,
        ),
    ]
