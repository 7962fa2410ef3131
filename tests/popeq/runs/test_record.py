"""run.json: a golden file that must read for ever, migrations in a chain, clear refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from popeq.errors import RunError
from popeq.runs.record import SCHEMA_VERSION, RunRecord, migrate, read_record

GOLDEN = sorted((Path(__file__).parent / "golden").glob("run-v*.json"))


def test_there_is_a_golden_file_for_every_schema_version():
    assert [p.name for p in GOLDEN] == [f"run-v{v}.json" for v in range(1, SCHEMA_VERSION + 1)]


@pytest.mark.parametrize("path", GOLDEN, ids=lambda p: p.name)
def test_old_files_read_for_ever(path):
    found = read_record(path)
    assert found.schema_version == SCHEMA_VERSION
    assert found.predictor.name == "prior"
    assert found.dataset.simulated is True
    assert found.protocol.n_samples == 110
    assert found.predictions_sha256


def test_migrations_are_chained_one_version_at_a_time():
    steps = {
        1: lambda raw: {**raw, "second": True},
        2: lambda raw: {**{k: v for k, v in raw.items() if k != "second"}, "third": raw["second"]},
    }
    assert migrate({"schema_version": 1}, "x", steps, 3) == {"schema_version": 3, "third": True}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "cannot be read"),
        ("[]", "is not a JSON object"),
        ("{}", "has no schema_version"),
        ('{"schema_version": 99}', "schema version 99 is newer"),
        ('{"schema_version": 1}', "field run_id: Field required"),
    ],
)
def test_what_is_no_record_is_refused_in_one_line(tmp_path, content, says):
    path = tmp_path / "run.json"
    path.write_text(content)
    with pytest.raises(RunError) as caught:
        read_record(path)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_field_says_what_it_is():
    def undescribed(model, where=""):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                yield from undescribed(inner, f"{where}{name}.")
            elif not field.description:
                yield f"{where}{name}"

    assert list(undescribed(RunRecord)) == []


def test_a_stand_in_model_is_called_one():
    raw = json.loads(GOLDEN[0].read_text())
    raw["predictor"]["described"] = {"model": "tiny", "stand_in": True}
    assert RunRecord.model_validate(raw).model == "tiny (stand-in)"
