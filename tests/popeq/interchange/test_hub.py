"""The layout of the Hugging Face hub: read back as the same revision, and read by other libraries."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import mlcroissant
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from tests.conftest import ROOT, write_small_dataset

import popeq
from popeq.content_hash import file_sha256
from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset
from popeq.errors import InvalidInputError, RunError, UsageError
from popeq.interchange.croissant import About
from popeq.interchange.hub import export_hub
from popeq.sealing import seal

pytestmark = [
    pytest.mark.filterwarnings("ignore:ConjunctiveGraph is deprecated"),
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
]
ABOUT = About("https://x.example/data", ("Ada", "Grace"), "2026-11-30")


def in_panels(folder: Path) -> Path:
    """Folds and panels, groupings with empty cells, listeners with groups, and another box."""
    write_small_dataset(folder, folds=True)
    prompts = pd.read_csv(folder / "prompts.csv", dtype=str)
    panel = np.where(prompts["prompt_id"] < "p06", "a", "b")
    prompts = prompts.assign(panel=panel, basis="crowd", mood="calm, or not", où="x")
    prompts.loc[3, "basis"] = ""
    prompts.rename(columns={"où": "place"}).to_csv(folder / "prompts.csv", index=False)
    responses = pd.read_csv(folder / "responses.csv", dtype=str)
    responses["listener_id"] += np.where(responses["prompt_id"] < "p06", "", "-Ünit b")
    responses.loc[0, "x_db"] = "-0.0"
    responses.loc[1, "x_db"] = "0.30000000000000004"
    responses.to_csv(folder / "responses.csv", index=False)
    listeners = sorted(responses["listener_id"].unique())
    table = pd.DataFrame({"listener_id": listeners, "group": ["one", "two"] * 5})
    table.to_csv(folder / "listeners.csv", index=False)
    card = (folder / "dataset.toml").read_text().replace("simulated = true", "simulated = false")
    card += 'groupings = ["mood", "place"]\n[space]\nx_db = [-9, 9]\ny_db = [-6, 6]\nstep_db = 0.5\n'
    (folder / "dataset.toml").write_text(card + 'curves = "shelves:120:8000"\n')
    return folder


def with_tracks(folder: Path) -> Path:
    """Descriptors and files of tracks."""
    write_small_dataset(folder)
    prompts = pd.read_csv(folder / "prompts.csv", dtype=str)
    prompts.assign(audio_id=[f"t{i % 3}" for i in range(12)]).to_csv(folder / "prompts.csv", index=False)
    rows = [f"t{i},{i / 3!r},1e-05,{10**i}" for i in range(3)]
    (folder / "features.csv").write_text("\n".join(["audio_id,brightness,b,level", *rows]) + "\n")
    (folder / "audio").mkdir()
    for i, suffix in enumerate((".wav", ".flac", ".OGG")):
        (folder / "audio" / f"t{i}{suffix}").write_bytes(b"sound" * i)
    return folder


MAKERS = {"split": write_small_dataset, "panels": in_panels, "tracks": with_tracks}


def same(a: Dataset, b: Dataset) -> None:
    assert a.revision == b.revision
    assert a.card.model_copy(update={"second_panel": None}) == b.card
    assert [(s.name, s.train, s.validation, s.test) for s in a.stages] == [
        (s.name, s.train, s.validation, s.test) for s in b.stages
    ]
    assert {k: v.features for k, v in a.audio.items()} == {k: v.features for k, v in b.audio.items()}


@pytest.mark.parametrize("name", ["simulated-120", "simulated-1200", "simulated-120-b", "simulated-tracks"])
def test_bundled_data_sets_are_read_back_as_they_are(tmp_path, name):
    original = popeq.load_dataset(name)
    export_hub(original, tmp_path / "out", About())
    same(original, popeq.load_dataset(tmp_path / "out"))
    assert not list((tmp_path / "out").rglob("*.csv"))


@pytest.mark.parametrize("kind", MAKERS)
def test_a_data_set_of_any_kind_is_read_back_as_it_is_twice(tmp_path, kind):
    original = read_dataset(MAKERS[kind](tmp_path / "in"))
    once = export_hub(original, tmp_path / "once", ABOUT)
    same(original, once)
    same(original, export_hub(once, tmp_path / "twice", ABOUT))
    for file in (tmp_path / "once").rglob("*"):
        if file.is_file() and file.suffix != ".json":
            assert (
                tmp_path / "twice" / file.relative_to(tmp_path / "once")
            ).read_bytes() == file.read_bytes()
    if kind == "panels":
        assert once.prompts["basis"].isna().sum() == 1
        assert 0.30000000000000004 in set(once.responses["x_db"])


def test_a_sealed_data_set_keeps_its_answers_to_itself(tmp_path):
    seal(read_dataset(write_small_dataset(tmp_path / "in")), tmp_path / "sealed", tmp_path / "answers.csv")
    opened = read_dataset(tmp_path / "sealed", tmp_path / "answers.csv")
    export_hub(opened, tmp_path / "out", About())
    back = read_dataset(tmp_path / "out")
    assert back.sealed
    assert back.revision == opened.revision
    assert not (tmp_path / "out" / "responses" / "test.parquet").exists()
    assert read_dataset(tmp_path / "out", tmp_path / "answers.csv").revision == opened.revision


def test_what_the_layout_cannot_hold_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="is a view"):
        export_hub(popeq.load_dataset("simulated-120@folds-5"), tmp_path / "out", About())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").write_text("")
    small = read_dataset(write_small_dataset(tmp_path / "in"))
    with pytest.raises(UsageError, match="not empty"):
        export_hub(small, tmp_path / "full", About())
    monkeypatch.setattr("popeq.interchange.hub.read_dataset", lambda _: popeq.load_dataset("simulated-120"))
    with pytest.raises(RunError, match="does not hold small as it is"):
        export_hub(small, tmp_path / "out", About())
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("kind", MAKERS)
def test_croissant_validates_and_gives_every_row(tmp_path, kind):
    original = read_dataset(MAKERS[kind](tmp_path / "in"))
    out = tmp_path / "out"
    export_hub(original, out, ABOUT)
    read = mlcroissant.Dataset(out / "croissant.json")
    assert read.metadata.ctx.issues.errors == set()
    assert read.metadata.ctx.issues.warnings == set()
    assert read.metadata.ctx.conforms_to.value == "http://mlcommons.org/croissant/1.1"
    assert [c.name for c in read.metadata.creators] == ["Ada", "Grace"]
    rows = list(read.records("responses"))
    found = sorted((r["responses/prompt_id"].decode(), r["responses/x_db"]) for r in rows)
    assert found == sorted(zip(original.responses["prompt_id"], original.responses["x_db"], strict=True))
    sets = {r.id for r in read.metadata.record_sets}
    assert sets == {"prompts", "responses"} | {"panels": {"listeners"}, "tracks": {"features"}}.get(
        kind, set()
    )
    document = json.loads((out / "croissant.json").read_text())
    for file in document["distribution"]:
        if file["@type"] == "cr:FileObject":
            assert file["sha256"] == file_sha256(out / file["contentUrl"])
    simulated = kind != "panels"
    assert ("Simulated" in document["rai:dataCollection"]) == simulated
    assert ("agreement with the program" in " ".join(document["rai:dataLimitations"])) == simulated
    assert document["rai:annotationsPerItem"] == "5 responses to each prompt"
    assert original.revision in document["rai:dataReleaseMaintenancePlan"][0]


def test_a_broken_croissant_file_would_be_seen(tmp_path):
    export_hub(read_dataset(write_small_dataset(tmp_path / "in")), tmp_path / "out", ABOUT)
    path = tmp_path / "out" / "croissant.json"
    document = json.loads(path.read_text())
    document["recordSet"][0]["field"][0]["source"]["fileSet"]["@id"] = "nowhere"
    path.write_text(json.dumps(document))
    with pytest.raises(mlcroissant.ValidationError):
        mlcroissant.Dataset(path)


LOAD = """
import json, sys
import datasets
found = {}
for word in sys.argv[1:]:
    folder, name = word.split(":")
    loaded = datasets.load_dataset(folder, name)
    found[word] = {split: rows.to_list() for split, rows in loaded.items()}
print(json.dumps([datasets.__file__, found]))
"""


def test_hugging_faces_own_library_loads_it(tmp_path):
    panels = read_dataset(in_panels(tmp_path / "in"))
    export_hub(panels, tmp_path / "panels", About())
    split = read_dataset(write_small_dataset(tmp_path / "small"))
    export_hub(split, tmp_path / "split", About())
    words = ("split:prompts", "split:responses", "panels:prompts", "panels:responses", "panels:listeners")
    result = subprocess.run(
        [sys.executable, "-c", LOAD, *words],
        cwd=tmp_path,  # the repository has a folder of the same name as the library
        env={**os.environ, "HF_HOME": str(tmp_path / "home"), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    file, found = json.loads(result.stdout.splitlines()[-1])
    assert not Path(file).is_relative_to(ROOT / "datasets")
    sizes = {name: len(rows) for name, rows in found["split:prompts"].items()}
    assert sizes == {"train": 6, "validation": 2, "test": 4}
    answers = [tuple(row.values()) for row in found["split:responses"]["test"]]
    expected = split.responses[split.responses["prompt_id"].isin(split.test_ids)]
    assert answers == list(expected.itertuples(index=False, name=None))
    assert all(list(found[f"panels:{name}"]) == ["full"] for name in ("prompts", "responses", "listeners"))
    prompts = found["panels:prompts"]["full"]
    assert [row["fold"] for row in prompts] == [i % 3 for i in range(12)]
    assert prompts[3]["basis"] is None
    answers = [tuple(row.values()) for row in found["panels:responses"]["full"]]
    assert answers == list(panels.responses.itertuples(index=False, name=None))


def test_the_readme_has_the_header_of_the_hub(tmp_path):
    folder = write_small_dataset(tmp_path / "in")
    (folder / "README.md").write_text("---\nlicense: wrong\n---\n\n# Of its own\n\nText.\n")
    card = (folder / "dataset.toml").read_text().replace('"MIT"', '"ask: me\\nfirst"')
    (folder / "dataset.toml").write_text(card)
    export_hub(read_dataset(folder), tmp_path / "out", About())
    _, header, text = (tmp_path / "out" / "README.md").read_text().split("---\n", 2)
    about = yaml.safe_load(header)
    assert (about["license"], about["license_name"]) == ("other", "see-readme")
    assert "\nLicence: ask: me first\n" in text
    assert "simulated" in about["tags"]
    assert about["annotations_creators"] == ["machine-generated"]
    assert [c["config_name"] for c in about["configs"]] == ["prompts", "responses"]
    assert text.startswith("\n# Of its own\n\nText.\n")
    assert "license: wrong" not in text
    for licence, known in (("mit", "mit"), ("CC-BY-4.0", "cc-by-4.0")):
        (folder / "dataset.toml").write_text(card.replace("ask: me\\nfirst", licence))
        out = tmp_path / known
        export_hub(read_dataset(folder), out, About())
        assert yaml.safe_load((out / "README.md").read_text().split("---\n")[1])["license"] == known
        assert json.loads((out / "croissant.json").read_text())["license"].lower().endswith(f"{known}.html")


MARKER = "<!-- popeq data export -->"


@pytest.mark.parametrize(
    "text",
    [
        "---\n\nA rule first.\n\n---\n\nAnd one more.\n",
        "---\n- a list\n---\n\nText.\n",
        "---\n{broken: [\n---\n\nText.\n",
        "---\n---\n\nText.\n",
        "---\nwhen: 2026-13-45\n---\n\nText.\n",
        "---\nno end: of it\n",
        f"# Title\n\nThe marker `{MARKER}` in a sentence.\n\nMore.\n",
        f"    {MARKER}\n\nMore.\n",
        "# Title\n\n---\nkey: value\n---\n\nMore.\n",
    ],
)
def test_a_readme_keeps_its_text(tmp_path, text):
    folder = write_small_dataset(tmp_path / "0")
    (folder / "README.md").write_text(text)
    for i in range(2):
        export_hub(read_dataset(tmp_path / f"{i}"), tmp_path / f"{i + 1}", About())
    first, second = ((tmp_path / name / "README.md").read_text() for name in "12")
    assert first == second
    assert f"\n---\n\n{text}\n{MARKER}\n" in first
    seal(read_dataset(tmp_path / "2"), tmp_path / "sealed", tmp_path / "answers.csv")
    assert f"\n---\n\n{text}\n## Sealed answers\n" in (tmp_path / "sealed" / "README.md").read_text()


def test_a_readme_keeps_the_other_keys_of_its_header(tmp_path):
    folder = write_small_dataset(tmp_path / "0")
    (folder / "README.md").write_text(
        "---\nlanguage: [en, no]\nlicense: wrong\nlicense_name: wrong\nextra_gated_prompt: |\n  Ask\n  me.\n"
        "tags: [music, popeq, simulated, 3]\nsize_categories: wrong\nsince: 2026-01-02\n---\n\nText.\n"
    )
    expected = {"language": ["en", False], "extra_gated_prompt": "Ask\nme.\n", "license": "mit"}
    for i in range(2):
        export_hub(read_dataset(tmp_path / f"{i}"), tmp_path / f"{i + 1}", About())
        header = yaml.safe_load((tmp_path / f"{i + 1}" / "README.md").read_text().split("---\n")[1])
        assert header | expected == header
        assert "license_name" not in header
        assert header["tags"] == ["popeq", "equalizer", "audio", "simulated", "music", 3]
        assert header["size_categories"] == ["n<1K"]
        assert str(header["since"]) == "2026-01-02"
    seal(read_dataset(tmp_path / "2"), tmp_path / "sealed", tmp_path / "answers.csv")
    sealed = yaml.safe_load((tmp_path / "sealed" / "README.md").read_text().split("---\n")[1])
    assert sealed | expected == sealed
    assert "configs" not in sealed


@pytest.fixture
def out(tmp_path) -> Path:
    folder = tmp_path / "out"
    export_hub(read_dataset(with_tracks(tmp_path / "in")), folder, About())
    return folder


def problems(folder: Path) -> str:
    with pytest.raises(InvalidInputError) as caught:
        read_dataset(folder)
    return str(caught.value)


def change(path: Path, **columns: object) -> None:
    table = pq.read_table(path)
    for name, values in columns.items():
        table = table.drop_columns([name]) if name in table.column_names else table
        if values is not None:
            table = table.append_column(name, pa.array(values))
    pq.write_table(table, path)


def test_what_is_wrong_in_parquet_is_named(out):
    change(out / "responses" / "test.parquet", x_db=["1"] * 20)
    assert "responses/test.parquet, column x_db: holds string; needs numbers" in problems(out)
    change(out / "responses" / "test.parquet", x_db=[9.0] * 20)
    assert "responses/*.parquet, row 41, column x_db: 9 is outside [-6, 6] dB" in problems(out)
    change(out / "prompts" / "test.parquet", extra=["x"] * 4)
    assert "prompts/test.parquet, column extra: unknown column" in problems(out)
    change(out / "prompts" / "test.parquet", extra=None, text=None)
    assert "prompts/test.parquet, column text: the column is missing" in problems(out)
    (out / "prompts" / "test.parquet").write_bytes(b"PAR1 no")
    assert "prompts/test.parquet: is not a Parquet file that can be read" in problems(out)


def test_files_of_a_table_have_the_same_columns(out):
    change(out / "prompts" / "test.parquet", basis=["x"] * 4)
    assert "prompts/test.parquet: has other columns than the files before it" in problems(out)


def test_features_are_numbers_and_no_table_is_there_twice(out):
    change(out / "features" / "full.parquet", level=["loud"] * 3)
    assert "features/full.parquet, column level: holds string; needs numbers" in problems(out)
    change(out / "features" / "full.parquet", level=[float("nan"), 1.0, 2.0])
    assert "features/*.parquet, row 1, column level: nan is not a finite number" in problems(out)
    (out / "features.csv").write_text("audio_id,level\n")
    assert "features/*.parquet: is there beside features.csv; remove one of them" in problems(out)


@pytest.mark.parametrize("table", ["prompts", "responses", "features"])
@pytest.mark.parametrize("whole", [True, False])
def test_files_of_other_names_are_not_left_out(out, table, whole):
    for i, file in enumerate(sorted((out / table).iterdir()) if whole else []):
        file.rename(out / table / f"data-{i}.parquet")
    (out / table / "data-0.parquet").touch()
    (out / table / "data-1.PARQUET").touch()
    (out / table / ".data-1.parquet").touch()
    with pytest.raises(InvalidInputError) as caught:
        read_dataset(out)
    assert [str(problem) for problem in caught.value.problems] == [
        f"{table}/data-0.parquet: has a name that is not read; a table's files are train.parquet, "
        "validation.parquet, test.parquet or full.parquet"
    ]


def test_a_table_in_csv_may_have_a_folder_of_its_name(tmp_path):
    folder = write_small_dataset(tmp_path / "in")
    (folder / "prompts").mkdir()
    (folder / "prompts" / "raw.parquet").touch()
    assert len(read_dataset(folder).prompts) == 12


def test_a_link_in_place_of_a_file_is_not_read(out, tmp_path):
    file = out / "responses" / "test.parquet"
    file.rename(tmp_path / "elsewhere.parquet")
    file.symlink_to(tmp_path / "elsewhere.parquet")
    assert "responses/test.parquet: is a link; only plain files are read" in problems(out)


def test_the_command_says_what_it_left_out(tmp_path, popeq_inside):
    out = tmp_path / "out"
    result = popeq_inside("data", "export", "simulated-120", out, "--to", "hub", "--creator", "Ada")
    assert result.returncode == 0, result.stderr
    assert "revision 20d2b95be214" in result.stdout
    assert "left out: second_panel" in result.stdout
    assert "croissant.json has no url, datePublished, which Croissant 1.1 requires" in result.stdout
    assert popeq_inside("data", "validate", out).returncode == 0
    again = popeq_inside("data", "export", "simulated-120", out, "--to", "hub")
    assert (again.returncode, again.stderr.count("\n")) == (2, 1)
    wrong = popeq_inside("data", "export", "simulated-120-b", tmp_path / "b", "--to", "hub", "--url", "me/x")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    assert "--url 'me/x' must be an http:// or https:// address" in wrong.stderr
    more = ("--creator", "A", "--url", "https://x.example", "--published", "2026-11-30")
    result = popeq_inside("data", "export", "simulated-120-b", tmp_path / "b", "--to", "hub", *more)
    assert "croissant.json has no" not in result.stdout
