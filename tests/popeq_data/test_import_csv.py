"""Your own two CSV files, and how the plugin announces its importers."""

from __future__ import annotations

import subprocess
import sys

import pytest

import popeq_data
from popeq.dataset_folder import write_dataset
from popeq.errors import InvalidInputError
from popeq_data.importers.options import CsvOptions
from popeq_data.importers.plain_csv import import_csv

PROMPTS = [
    ["prompt_id", "text", "category", "fold"],
    ["p1", "make it warm", "word", 0],
    ["p2", "more bass", "word", 1],
]
RESPONSES = [
    ["prompt_id", "listener_id", "x_db", "y_db"],
    ["p1", "ann@example.org", 1.5, -9],
    ["p1", "bob@example.org", 0, 2],
    ["p2", "ann@example.org", -0.5, 1],
    ["p2", "bob@example.org", 2, 6],
]


@pytest.fixture
def files(write_csv):
    return write_csv(PROMPTS, "mine.csv"), write_csv(RESPONSES, "theirs.csv")


def test_card_clipping_and_report(files, tmp_path):
    chosen = CsvOptions(name="my-set", title="Mine", licence="CC0-1.0", citation="Me", simulated=True)
    result = import_csv(*files, chosen)
    card = result.dataset.card
    assert (card.name, card.title, card.licence, card.citation) == ("my-set", "Mine", "CC0-1.0", "Me")
    assert card.simulated
    assert result.dataset.points("p1").tolist() == [[1.5, -6.0], [0.0, 2.0]]
    assert result.report["share of responses clipped"] == 0.25
    assert (result.report["prompts"], result.report["listeners"], result.report["responses kept"]) == (
        2,
        2,
        4,
    )
    written = write_dataset(result.dataset, tmp_path / "out", "card")
    assert written.revision == result.dataset.revision
    assert written.space.high.tolist() == [6.0, 6.0]


def test_points_outside_can_be_refused(files):
    with pytest.raises(InvalidInputError, match=r"theirs.csv, row 2, column y_db: -9 is outside"):
        import_csv(*files, CsvOptions(outside="refuse"))


def test_listeners_can_be_hashed(files):
    once, again, other = (
        import_csv(*files, CsvOptions(hash_listeners=True, salt=salt)).dataset.responses
        for salt in ("a", "a", "")
    )
    assert once.equals(again)
    assert not set(once["listener_id"]) & set(other["listener_id"])
    assert not once["listener_id"].str.contains("@").any()


def test_problems_name_the_users_own_files(write_csv):
    prompts = write_csv([*PROMPTS, ["p1", "", "word", "x"]], "mine.csv")
    responses = write_csv([*RESPONSES, ["p3", "eve", "loud", 1]], "theirs.csv")
    with pytest.raises(InvalidInputError) as caught:
        import_csv(prompts, responses, CsvOptions())
    found = {(p.file, p.row, p.column) for p in caught.value.problems}
    mine, theirs = str(prompts), str(responses)
    assert {(mine, 4, "prompt_id"), (mine, 4, "text"), (mine, 4, "fold"), (theirs, 6, "x_db")} <= found


def test_missing_files_and_folders_are_refused(files, tmp_path):
    with pytest.raises(InvalidInputError, match="the file is missing"):
        import_csv(tmp_path / "none.csv", files[1], CsvOptions())
    with pytest.raises(InvalidInputError, match="is a folder"):
        import_csv(files[0], tmp_path, CsvOptions())


def test_importers_are_announced_and_load():
    specs = {spec.name: spec for spec in popeq_data.popeq_importers()}
    assert set(specs) == {"safe", "socialeq", "csv"}
    for spec in specs.values():
        assert callable(spec.load())
        assert spec.parameters().model_dump()
        assert all(f.description for f in spec.parameters.model_fields.values())
    assert specs["csv"].files == ("PROMPTS", "RESPONSES")


def test_panels_are_announced():
    assert {d.name: d.path.name for d in popeq_data.popeq_datasets()} == {
        "simulated-1200": "data",
        "simulated-1200-b": "panel_b",
        "simulated-120": "data",
        "simulated-120-b": "panel_b",
    }


def test_announcing_imports_nothing_heavy():
    heavy = "{'pandas', 'scipy', 'pyarrow', 'matplotlib', 'torch'}"
    code = f"import sys, popeq_data; popeq_data.popeq_importers(); assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
