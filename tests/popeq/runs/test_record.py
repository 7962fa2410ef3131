"""run.json: migrations in a chain, clear refusals. Old run folders: tests/popeq/board/test_golden_runs.py."""

from __future__ import annotations

import json

import pytest
from tests.conftest import ROOT, write_small_dataset

from popeq.contract import Parameters, PredictorSpec
from popeq.dataset_folder import read_dataset
from popeq.errors import RunError, UsageError
from popeq.protocol import PROTOCOL_1
from popeq.runs.folder import EXPLANATIONS, Run
from popeq.runs.plan import make_plans
from popeq.runs.record import MIGRATIONS, SCHEMA_VERSION, RunRecord, migrate, read_record


def test_migrations_are_chained_one_version_at_a_time(monkeypatch):
    assert [*MIGRATIONS] == list(range(1, SCHEMA_VERSION))
    monkeypatch.setitem(MIGRATIONS, 1, lambda raw: {**raw, "second": True})
    monkeypatch.setitem(MIGRATIONS, 2, lambda raw: {"third": raw["second"]})
    monkeypatch.setitem(MIGRATIONS, 3, lambda raw: raw | {"fourth": True})
    assert migrate({"schema_version": 1}, "x") == {"schema_version": 4, "third": True, "fourth": True}


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


@pytest.mark.parametrize("name", ["../../escaped", "/tmp/escaped", "\x00", "..", ""])
def test_a_run_id_that_would_leave_its_folder_is_refused(tmp_path, name):
    """'popeq submit' makes a folder of that name, and anybody may have written the file."""
    content = json.loads((ROOT / "tests" / "golden" / "run-v2" / "run.json").read_text())
    path = tmp_path / "run.json"
    path.write_text(json.dumps(content | {"run_id": name}))
    with pytest.raises(RunError, match=r"field run_id: .*must be a name for a folder"):
        read_record(path)


def test_a_parameter_that_json_cannot_keep_is_refused_before_anything_runs(tmp_path):
    class Loose(Parameters):
        spread: float = 1.0

    spec = PredictorSpec("loose", "loose", "nowhere:Nothing", parameters=Loose)
    dataset = read_dataset(write_small_dataset(tmp_path / "data"))
    with pytest.raises(UsageError, match=r"^loose: its parameters must be plain JSON values"):
        make_plans([spec], dataset, PROTOCOL_1, [0], {"spread": "inf"})


def test_explanations_may_hold_any_text_and_other_files_are_refused(tmp_path):
    run = Run(tmp_path, read_record(ROOT / "tests" / "golden" / "run-v2" / "run.json"))
    assert run.explanations() == {}
    explained = {"prompt_id": "p08", "nearest": "one\u2028two\x85three\rfour"}
    line = json.dumps(explained, ensure_ascii=False) + "\n"
    (tmp_path / EXPLANATIONS).write_bytes(line.encode())
    assert run.explanations() == {"p08": explained}
    for content in (b"{", b"\xff", b"[]", b"{}", b'{"prompt_id": []}', b"[" * 3000):
        (tmp_path / EXPLANATIONS).write_bytes(content)
        with pytest.raises(RunError, match=r"explanations\.jsonl: cannot be read"):
            run.explanations()


def test_every_field_says_what_it_is():
    def undescribed(model, where=""):
        for name, field in model.model_fields.items():
            inner = field.annotation
            if hasattr(inner, "model_fields"):
                yield from undescribed(inner, f"{where}{name}.")
            elif not field.description:
                yield f"{where}{name}"

    assert list(undescribed(RunRecord)) == []


def test_a_model_is_called_by_name_size_quantisation_and_hash():
    raw = json.loads((ROOT / "tests" / "golden" / "run-v2" / "run.json").read_text())
    raw["predictor"]["described"] = {
        "model": "/srv/models/tiny",
        "parameters": 134515008,
        "quantisation": "Q4_1",
    }
    raw["predictor"]["identity"] = {"model": "sha256:" + "0123456789abcdef" * 4}
    assert RunRecord.model_validate(raw).model == "tiny (135M, Q4_1, 01234567)"
