"""Read and write the tracks of a data set folder: descriptors in features.csv, files in audio/."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from popeq.contract import Audio
from popeq.csv_table import csv_bytes
from popeq.errors import Problem
from popeq.hub_tables import has_table, read_either

FEATURES, FOLDER = "features.csv", "audio"
SUFFIXES = (".wav", ".flac", ".ogg")


def read_audio(folder: Path, asked: set[str] | None, problems: list[Problem]) -> dict[str, Audio]:
    """Descriptors and file of each track, by ``audio_id``; {} if the folder has neither.

    ``asked`` are the audio ids of the prompts (None: they could not be read). If there is a features.csv,
    each of them must have a row; a file in audio/ is named by its id. Problems are added to ``problems``.
    """
    files = _files(folder / FOLDER, asked, problems)
    features: dict[str, dict[str, float]] = {}
    if has_table(folder, FEATURES):
        # Any column may follow audio_id: descriptors have the names that their maker gave them.
        table = read_either(folder, FEATURES, ("audio_id",), None, others="numbers")
        if table.columns == ("audio_id",):
            table.problem("needs a column for at least one descriptor", 1)
        names = [name for name in table.columns if name != "audio_id"]
        for row in table.rows:
            audio_id = row.cells["audio_id"]
            table.unique(audio_id, row, "audio_id", repr(audio_id))
            features[audio_id] = {c: table.number(row.cells[c], row, c) for c in names}
        if asked is not None and table.columns and not table.broken:
            for audio_id in sorted(asked - set(features)):
                table.problem(f"has no row for the audio_id {audio_id!r} of prompts.csv", column="audio_id")
        problems.extend(table.problems)
    known = set(features) | set(files)
    if asked is not None:
        known &= asked
    return {a: Audio(features.get(a, {}), files.get(a)) for a in sorted(known)}


def write_audio(audio: Mapping[str, Audio], folder: Path) -> None:
    """Write features.csv and copy the files, if there are any."""
    table = features_table(audio)
    if len(table):
        (folder / FEATURES).write_bytes(csv_bytes(table))
    copy_files(audio, folder)


def features_table(audio: Mapping[str, Audio]) -> pd.DataFrame:
    """The descriptors of tracks, a row for each ``audio_id``; no rows if there are none."""
    features = pd.DataFrame({a: dict(track.features) for a, track in sorted(audio.items())}, dtype=float).T
    if not len(features.columns):
        return pd.DataFrame()
    return features.sort_index(axis=1).rename_axis("audio_id").reset_index()


def copy_files(audio: Mapping[str, Audio], folder: Path) -> None:
    """Copy the files of tracks into ``audio/`` of a folder, if there are any."""
    for audio_id, track in audio.items():
        if track.file is not None:
            (folder / FOLDER).mkdir(exist_ok=True)
            shutil.copyfile(track.file, folder / FOLDER / f"{audio_id}{track.file.suffix.lower()}")


def _files(folder: Path, asked: set[str] | None, problems: list[Problem]) -> dict[str, Path]:
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        where = f"{FOLDER}/{path.name}"
        if path.name.startswith("."):
            continue
        if path.suffix.lower() not in SUFFIXES:
            problems.append(Problem(where, f"is not one of {', '.join(SUFFIXES)}"))
        elif path.stem in files:
            problems.append(Problem(where, f"the audio_id {path.stem!r} has two files"))
        elif asked is not None and path.stem not in asked:
            problems.append(Problem(where, "is not the audio_id of any prompt"))
        else:
            files[path.stem] = path
    return files
