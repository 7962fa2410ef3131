"""JSON Schemas of the files that popeq reads and writes, generated from the models that check them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from popeq.board.signed import BOARD, Board
from popeq.dataset_card import DatasetCard
from popeq.dataset_tables import CARD as DATASET_CARD
from popeq.errors import UnknownNameError
from popeq.runs.card import CARD, Card
from popeq.runs.folder import RECORD
from popeq.runs.record import SCHEMA_VERSION, RunRecord

#: By name: the model, and the file that it is of.
MODELS: dict[str, tuple[type[BaseModel], str]] = {
    "run": (RunRecord, RECORD),
    "card": (Card, CARD),
    "board": (Board, BOARD),
    "dataset": (DatasetCard, DATASET_CARD),
}


def json_schema(name: str) -> dict[str, Any]:
    """The JSON Schema (draft 2020-12) of ``run``, ``card``, ``board`` or ``dataset``.

    It says what a file may hold: names, types, bounds and patterns. What depends on several fields, such as
    the key of a run, is checked by popeq alone. That of a run is of the newest ``schema_version``: older
    files are migrated when they are read.

    Raises UnknownNameError for another name.
    """
    if name not in MODELS:
        raise UnknownNameError("schema", name, MODELS)
    model, file = MODELS[name]
    made = model.model_json_schema()
    if name == "run":
        version = made["properties"]["schema_version"]
        del version["default"], version["type"]
        made["properties"]["schema_version"] = {"const": SCHEMA_VERSION, **version}
        made["required"] = ["schema_version", *made["required"]]
    return {"$schema": GenerateJsonSchema.schema_dialect, **made, "title": file}
