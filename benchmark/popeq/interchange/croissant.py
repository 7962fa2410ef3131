"""Describe a data set in Croissant 1.1 with the responsible-AI vocabulary: only what popeq knows of it.

Sources: mlcommons.org/croissant/1.1 and mlcommons.org/croissant/RAI/1.0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from popeq.audio_folder import FOLDER, SUFFIXES
from popeq.board.people import people_note
from popeq.content_hash import file_sha256
from popeq.dataset import Dataset
from popeq.dataset_tables import CARD
from popeq.interchange.licences import licence_url

CROISSANT = "croissant.json"
CONFORMS_TO = ("http://mlcommons.org/croissant/1.1", "http://mlcommons.org/croissant/RAI/1.0")
_TERMS = (
    *(
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
        "fileObject",
    ),
    *("fileProperty", "fileSet", "format", "includes", "isArray", "isLiveDataset", "jsonPath", "key", "md5"),
    *("parentField", "path", "recordSet", "references", "regex", "repeated", "replace", "samplingRate"),
    *("separator", "source", "subField", "transform"),
)
#: The context that the specification recommends (its appendix 1), with the responsible-AI prefix.
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{name: f"cr:{name}" for name in _TERMS},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "name": {"@container": "@language"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_COLUMNS = {
    "prompt_id": "identifier of the prompt",
    "text": "the sentence",
    "category": "what kind of sentence it is",
    "basis": "what the prompt is based on",
    "split": "train, validation or test",
    "fold": "the fold in which the prompt is tested",
    "audio_id": "the track that was heard",
    "panel": "the group of listeners who were asked",
    "listener_id": "who chose the setting",
    "x_db": "first coordinate of the setting, dB",
    "y_db": "second coordinate of the setting, dB",
    "group": "the group that the listener belongs to",
}
_TABLES = {
    "prompts": "The sentences, one a row.",
    "responses": "The settings that listeners chose, one a row.",
    "listeners": "The listeners, one a row.",
    "features": "Descriptors of the tracks, one track a row.",
}


@dataclass(frozen=True)
class About:
    """What Croissant asks for and a data set folder does not say: address, makers, date of publication."""

    url: str | None = None
    creators: Sequence[str] = ()
    published: str | None = None

    @property
    def missing(self) -> list[str]:
        """The properties of schema.org that Croissant requires and that are not given."""
        given = {"url": self.url, "creator": self.creators, "datePublished": self.published}
        return [name for name, value in given.items() if not value]


def croissant(
    dataset: Dataset,
    tables: Mapping[str, pd.DataFrame],
    parts: Mapping[str, Mapping[str, Path]],
    folder: Path,
    about: About,
) -> dict[str, Any]:
    """The Croissant document (JSON-LD) of a data set in the layout of the hub.

    Parameters
    ----------
    tables, parts
        The tables by name, and the files of each by split.
    folder
        Where the files lie; paths are relative to it.
    """
    card = dataset.card
    given = {
        "url": about.url,
        "creator": [{"@type": "sc:Person", "name": name} for name in about.creators],
        "datePublished": about.published,
    }
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": list(CONFORMS_TO),
        "name": card.name,
        "description": f"{card.title} (simulated listeners)" if card.simulated else card.title,
        "version": card.version,
        "license": licence_url(card.licence) or card.licence,
        "citeAs": card.citation,
        **{name: value for name, value in given.items() if value},
        "keywords": ["equalizer", "listener preference", *(["simulated"] if card.simulated else [])],
        "isLiveDataset": False,
        **{f"rai:{name}": value for name, value in responsible_ai(dataset).items()},
        "distribution": [*_files(parts, folder), *_sound_files(folder)],
        "recordSet": [_record_set(name, frame) for name, frame in tables.items()],
    }


def responsible_ai(dataset: Dataset) -> dict[str, Any]:
    """The properties of the responsible-AI vocabulary that follow from the data set, by name."""
    card, space = dataset.card, dataset.space
    known: dict[str, Any] = {}
    if card.simulated:
        known["dataCollection"] = (
            "Simulated: a program drew the responses, and no real listener took part. README.md says how."
        )
        known["dataCollectionType"] = ["Others: simulation by a program"]
        known["personalSensitiveInformation"] = ["None: the listeners are simulated."]
    else:
        known["dataCollection"] = (
            "Each response is a setting that a listener chose for a sentence. README.md says how they were "
            "collected."
        )
        columns = "listener_id and group" if len(dataset.listeners) else "listener_id"
        known["personalSensitiveInformation"] = [f"Columns about a person: {columns}."]
    known["dataAnnotationProtocol"] = (
        "A response is one listener's setting (x_db, y_db) of a two-dimensional equaliser control for one "
        f"sentence: x from {space.x_low_db:g} to {space.x_high_db:g} dB, y from {space.y_low_db:g} to "
        f"{space.y_high_db:g} dB, steps of {space.step_db:g} dB, pair of curves {space.curves!r} of popeq."
    )
    counts = dataset.responses.groupby("prompt_id").size().to_numpy()
    least, most = int(np.min(counts)), int(np.max(counts))
    known["annotationsPerItem"] = (
        f"{least} responses to each prompt" if least == most else f"{least} to {most} responses to a prompt"
    )
    if len(dataset.listeners):
        groups = dataset.listeners["group"].value_counts().sort_index()
        listed = ", ".join(f"{name} ({count})" for name, count in groups.items())
        known["annotatorDemographics"] = [f"Listeners by group: {listed}."]
    known["dataUseCases"] = [
        "Testing predictors of the distribution of settings that listeners choose for a sentence, on the "
        + (
            "folds of the prompts."
            if dataset.by_folds
            else "test prompts; training and validation are given."
        )
    ]
    known["dataLimitations"] = [
        *(
            ["A good score shows agreement with the program that drew the responses, not with people."]
            if card.simulated
            else []
        ),
        people_note(dataset, dataset.test_ids),
        *([dataset.sealed_note] if dataset.sealed_note else []),
    ]
    known["dataReleaseMaintenancePlan"] = [
        f"Version {card.version}. The SHA-256 over the content (revision of popeq) is {dataset.revision}."
    ]
    return known


def _files(parts: Mapping[str, Mapping[str, Path]], folder: Path) -> list[dict[str, Any]]:
    found = [_file(folder / CARD, folder, "application/toml")]
    for name, files in parts.items():
        found += [_file(path, folder, "application/x-parquet") for path in files.values()]
        found.append(
            {
                "@type": "cr:FileSet",
                "@id": f"{name}-files",
                "name": f"{name}-files",
                "description": f"Every Parquet file of the table {name}.",
                "encodingFormat": "application/x-parquet",
                "includes": f"{name}/*.parquet",
            }
        )
    return found


def _file(path: Path, folder: Path, kind: str) -> dict[str, Any]:
    place = path.relative_to(folder).as_posix()
    return {
        "@type": "cr:FileObject",
        "@id": place,
        "name": place,
        "contentUrl": place,
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": kind,
        "sha256": file_sha256(path),
    }


def _sound_files(folder: Path) -> list[dict[str, Any]]:
    kinds = [s for s in SUFFIXES if (folder / FOLDER).is_dir() and any((folder / FOLDER).glob(f"*{s}"))]
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"audio-{suffix[1:]}",
            "name": f"audio-{suffix[1:]}",
            "description": "The tracks, each named by its audio_id.",
            "encodingFormat": f"audio/{suffix[1:]}",
            "includes": f"{FOLDER}/*{suffix}",
        }
        for suffix in kinds
    ]


def _record_set(table: str, frame: pd.DataFrame) -> dict[str, Any]:
    fields = []
    for column in map(str, frame.columns):
        kind = "sc:Text"
        if column == "fold":
            kind = "sc:Integer"
        elif frame[column].dtype.kind == "f":
            kind = "sc:Float"
        about = _COLUMNS.get(column, "a descriptor" if table == "features" else "a grouping of the prompts")
        source = {"fileSet": {"@id": f"{table}-files"}, "extract": {"column": column}}
        fields.append(
            {
                "@type": "cr:Field",
                "@id": f"{table}/{column}",
                "name": f"{table}/{column}",
                "description": about,
                "dataType": kind,
                "source": source,
            }
        )
    return {
        "@type": "cr:RecordSet",
        "@id": table,
        "name": table,
        "description": _TABLES[table],
        "field": fields,
    }
