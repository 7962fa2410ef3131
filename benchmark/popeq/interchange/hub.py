"""Write a data set in the layout of data sets on the Hugging Face hub, from which popeq reads it back."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import tomli_w

from popeq.atomic import new_folder
from popeq.audio_folder import FEATURES, copy_files, features_table
from popeq.dataset import Dataset
from popeq.dataset_folder import HUB_SECTION, check_new, read_dataset, readme_of, tables_of, with_header
from popeq.dataset_tables import CARD, README
from popeq.errors import RunError, UsageError
from popeq.hub_tables import FULL, write_parts
from popeq.installing import install_hint
from popeq.interchange.croissant import CROISSANT, About, croissant
from popeq.interchange.licences import spdx
from popeq.plain_text import json_text, markdown_text

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))

#: How the hub calls a licence that it does not list: an identifier; the text is below, in README.md.
LICENCE_NAME = "see-readme"


def export_hub(dataset: Dataset, folder: Path, about: About) -> Dataset:
    """Write ``dataset`` into the new ``folder`` and return it as read back.

    The tables become Parquet files (``popeq.hub_tables``), tracks and ``dataset.toml`` are copied, README.md
    gets the header that the hub reads, and ``croissant.json`` describes it all. The second panel is left out,
    because it is another data set; sealed answers are left out too.

    Raises
    ------
    UsageError
        If the data set is a view, ``folder`` is not empty, or pyarrow or PyYAML is missing.
    RunError
        If what was written is not read back as the same revision, or cannot be written.
    """
    if dataset.view:
        raise UsageError(f"{dataset.name}: is a view; export the data set that it is made from")
    check_new(folder)
    card = dataset.card.model_copy(update={"second_panel": None})
    responses = dataset.responses
    if card.sealed_answers is not None:
        responses = responses[~responses["prompt_id"].isin(dataset.test_ids)]
    exported = dataclasses.replace(dataset, card=card, responses=responses)
    with new_folder(folder) as temporary:
        text = tomli_w.dumps(card.model_dump(mode="json", exclude_none=True))
        (temporary / CARD).write_text(text, encoding="utf-8")
        tables = {Path(file).stem: frame for frame, file in tables_of(exported)}
        if len(features := features_table(exported.audio)):
            tables[Path(FEATURES).stem] = features
        parts = {
            name: write_parts(frame, _parts(frame, exported), temporary / name)
            for name, frame in tables.items()
        }
        copy_files(exported.audio, temporary)
        described = croissant(exported, tables, parts, temporary, about)
        (temporary / CROISSANT).write_text(json_text(described, indent=2) + "\n", encoding="utf-8")
        (temporary / README).write_text(_readme(exported, parts), encoding="utf-8", newline="\n")
        if read_dataset(temporary).revision != dataset.revision:
            raise RunError(f"{folder}: the layout does not hold {dataset.name} as it is; nothing was written")
    return read_dataset(folder)


def _parts(frame: pd.DataFrame, dataset: Dataset) -> list[str]:
    """The file of each row of a table: its split, or that of its prompt."""
    if "prompt_id" not in frame or dataset.by_folds:
        return [FULL] * len(frame)
    split = dict(zip(dataset.prompts["prompt_id"], dataset.prompts["split"], strict=True))
    return [str(split[prompt_id]) for prompt_id in frame["prompt_id"]]


def _readme(dataset: Dataset, parts: Mapping[str, Mapping[str, Path]]) -> str:
    """README.md: the header that the hub reads, the data set's own text, and how to load it."""
    try:
        import yaml  # noqa: F401
    except ImportError:
        raise UsageError(f"a README.md for the hub needs PyYAML{install_hint('hub')}") from None
    others, text = readme_of(dataset)
    own = _header(dataset, parts)
    given = others.pop("tags", [])
    tags = [tag for tag in given if tag not in (*own["tags"], "simulated")] if isinstance(given, list) else []
    header = {**own, "tags": [*own["tags"], *tags]}
    header |= {key: value for key, value in others.items() if key not in (*own, "license_name")}
    return with_header(header, f"{text.rstrip()}\n{_layout(dataset, parts)}")


def _header(dataset: Dataset, parts: Mapping[str, Mapping[str, Path]]) -> dict[str, Any]:
    card, count = dataset.card, len(dataset.responses)
    known = spdx(card.licence)
    licence = {"license": known.lower()} if known else {"license": "other", "license_name": LICENCE_NAME}
    simulated = card.simulated
    return {
        "pretty_name": f"{card.title} (simulated)" if simulated else card.title,
        **licence,
        **({"annotations_creators": ["machine-generated"]} if simulated else {}),
        "tags": ["popeq", "equalizer", "audio", *(["simulated"] if simulated else [])],
        "size_categories": [next((name for most, name in _SIZES if count < most), "n>1M")],
        "configs": [
            {
                "config_name": name,
                **({"default": True} if name == "responses" else {}),
                "data_files": [
                    {"split": part, "path": f"{name}/{path.name}"} for part, path in files.items()
                ],
            }
            for name, files in parts.items()
        ],
    }


def _layout(dataset: Dataset, parts: Mapping[str, Mapping[str, Path]]) -> str:
    part = next(iter(parts["responses"]))
    rows = "\n".join(f"| `{name}` | {', '.join(files)} |" for name, files in parts.items())
    audio = "\nThe tracks are in `audio/`, each named by its `audio_id`.\n" if _has_files(dataset) else ""
    sealed = f"\n{markdown_text(dataset.sealed_note)}\n" if dataset.sealed_note else ""
    licence = "" if spdx(dataset.card.licence) else f"Licence: {markdown_text(dataset.card.licence)}\n\n"
    return f"""
{HUB_SECTION}
{licence}## Loading it

| configuration | splits |
|---|---|
{rows}
{audio}{sealed}
```python
from datasets import load_dataset

responses = load_dataset("FOLDER", "responses", split="{part}")
```

FOLDER is this folder, or the name of the repository that holds it. popeq reads the folder as it is
(`popeq data validate FOLDER`, `popeq run prior --dataset FOLDER`); its revision is
`{dataset.revision}`.
`croissant.json` describes the files in the Croissant 1.1 format, with their SHA-256.
"""


def _has_files(dataset: Dataset) -> bool:
    return any(track.file is not None for track in dataset.audio.values())
