"""The printed JSON Schemas: every committed file fits, what is wrong does not."""

from __future__ import annotations

import copy
import json
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.conftest import CARD as SMALL_CARD
from tests.conftest import ROOT
from tests.test_repository import tracked

from popeq.errors import UnknownNameError
from popeq.interchange.schemas import MODELS, json_schema
from popeq.runs.record import SCHEMA_VERSION, migrate

GOLDEN = ROOT / "tests" / "golden"
GOOD_CARD = {
    "authors": ["Ada"],
    "contact": "ada@example.org",
    "kind": "other",
    "training_data": "nothing",
    "links": ["https://example.org/paper"],
    "claim": {"method": "m", "dataset": "d", "scores": {"kantorovich_mean": 1.5}},
}


@cache
def validator(name: str) -> Any:
    schema = json_schema(name)
    kind = jsonschema.validators.validator_for(schema)
    assert kind is jsonschema.Draft202012Validator
    kind.check_schema(schema)
    return kind(schema)


def committed(file: str) -> list[Path]:
    return [path for path in tracked() if path.name == file]


def newest(path: Path) -> dict[str, Any]:
    return migrate(json.loads(path.read_text(encoding="utf-8")), str(path))


def test_every_committed_file_fits():
    runs, boards, cards = (committed(name) for name in ("run.json", "board.json", "dataset.toml"))
    for path in runs:
        validator("run").validate(newest(path))
    for path in boards:
        validator("board").validate(json.loads(path.read_text(encoding="utf-8")))
    for path in cards:
        validator("dataset").validate(tomllib.loads(path.read_text(encoding="utf-8")))
    assert (len(runs) > 100, len(boards) >= 2, len(cards) >= 6) == (True, True, True)
    for path in committed("card.json"):
        validator("card").validate(json.loads(path.read_text(encoding="utf-8")))
    validator("card").validate(GOOD_CARD)


def test_the_schema_of_a_run_is_of_the_newest_version():
    raw = json.loads((GOLDEN / "run-v3" / "run.json").read_text(encoding="utf-8"))
    assert not validator("run").is_valid(raw)
    assert validator("run").is_valid(migrate(raw, "run-v3"))
    assert json_schema("run")["properties"]["schema_version"]["const"] == SCHEMA_VERSION


def good(name: str) -> dict[str, Any]:
    board = ROOT / "leaderboard" / "results" / "simulated-120" / "board.json"
    return {
        "run": lambda: newest(GOLDEN / "run-v4" / "run.json"),
        "card": lambda: copy.deepcopy(GOOD_CARD),
        "board": lambda: json.loads(board.read_text(encoding="utf-8")),
        "dataset": lambda: tomllib.loads(SMALL_CARD.format(name="small")),
    }[name]()


@pytest.mark.parametrize(
    ("name", "place", "wrong"),
    [
        ("run", "status", "finished"),
        ("run", "prompts_done", "twelve"),
        ("run", "predictor.code.sha256", "0123"),
        ("run", "protocol.n_samples", 0),
        ("run", "answers", {"drawn": -1, "rejected": 0}),
        ("run", "surprise", 1),
        ("card", "authors", []),
        ("card", "kind", "magic"),
        ("card", "claim.scores", {"kantorovich_mean": -1}),
        ("card", "claim.scores", {"accuracy": 1}),
        ("card", "trust", "reproduced"),
        ("board", "schema_version", 2),
        ("board", "dataset", {"name": "x"}),
        ("board", "surprise", 1),
        ("dataset", "name", "Not a name"),
        ("dataset", "simulated", "perhaps"),
        ("dataset", "sealed_answers", "abc"),
        ("dataset", "space", {"x_db": [1.0]}),
        ("dataset", "space", {"unit": "phon"}),
        ("dataset", "titel", "x"),
    ],
)
def test_what_is_wrong_does_not_fit_and_popeq_refuses_it_too(name, place, wrong):
    content = good(name)
    assert validator(name).is_valid(content)
    *above, last = place.split(".")
    part = content
    for key in above:
        part = part[key]
    part[last] = wrong
    assert not validator(name).is_valid(content)
    with pytest.raises(ValueError, match="validation error"):
        MODELS[name][0].model_validate_json(json.dumps(content))


@pytest.mark.parametrize("name", MODELS)
def test_every_field_that_is_required_is_needed(name):
    content = good(name)
    for key in json_schema(name).get("required", []):
        less = {k: v for k, v in content.items() if k != key}
        assert not validator(name).is_valid(less), key


def test_the_command_prints_what_the_function_gives(popeq_inside):
    for name in MODELS:
        assert json.loads(popeq_inside("schema", name).stdout) == json_schema(name)
    result = popeq_inside("schema", "boards")
    assert result.returncode == 2
    assert "did you mean 'board'" in result.stderr
    with pytest.raises(UnknownNameError):
        json_schema("")
