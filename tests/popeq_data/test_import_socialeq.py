"""SocialEQ: a header that is a name short, the same data as Parquet, and the figures of the real file."""

from __future__ import annotations

import csv
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from popeq.dataset_folder import write_dataset
from popeq.eq import log_frequency
from popeq.errors import InvalidInputError, UsageError
from popeq.installing import pip_install
from popeq_data.importers.options import SocialEqOptions
from popeq_data.importers.socialeq import import_socialeq

BANDS = [20.0 * 1.19**i for i in range(40)]
HEADER = ["descriptor", "audio_id", "ratings_consistency", *(f"RSC_{f:.0f}Hz_band" for f in BANDS)]
FEW = SocialEqOptions(min_responses=1)


def row(word, tilt, language="English", consistency=0.5):
    return [word, language, 8, consistency, *(tilt * log_frequency(BANDS))]


@pytest.fixture
def rows():
    return [row("warm", -1.0), row("Warm ", -0.5), row("bright", 1.0), row("cálido", -1.0, "Spanish")]


def as_parquet(rows, path, **broken):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = {
        "id": [str(i) for i in range(len(rows))],
        "text": [r[0] for r in rows],
        "param_keys": [[name.split("_")[1] for name in HEADER[3:]] for _ in rows],
        "param_values": [[float(v) for v in r[4:]] for r in rows],
        "extra": [str({"lang": r[1], "ratings_consistency": float(r[3])}) for r in rows],
    }
    columns |= broken
    pq.write_table(pa.table({name: values for name, values in columns.items() if values is not None}), path)
    return path


def test_words_become_sentences_and_curves_points(rows, write_csv, tmp_path):
    result = import_socialeq(write_csv([HEADER, *rows]), FEW)
    data = result.dataset
    assert list(data.prompts["text"]) == ["make it sound bright", "make it sound warm"]
    assert result.report["rows dropped"] == {"not in English": 1}
    # A tilt of 1 per unit of u, at 3 dB per unit, but for the flat end above the last band.
    assert data.points("word-bright")[0] == pytest.approx([0.0, 3.0], abs=0.2)
    assert data.points("word-warm")[1, 1] == pytest.approx(data.points("word-warm")[0, 1] / 2, abs=1e-3)
    assert data.responses["listener_id"].is_unique
    assert write_dataset(data, tmp_path / "out", "card").revision == data.revision


def test_options_choose_language_consistency_and_scale(rows, write_csv):
    steady = [row("loud", 1.0, consistency=0.9), row("soft", 3.0, consistency=0.8)]
    path = write_csv([HEADER, *rows, *steady])
    chosen = SocialEqOptions(min_responses=1, min_consistency=0.7, db_per_unit=6)
    result = import_socialeq(path, chosen)
    assert list(result.dataset.prompts["prompt_id"]) == ["word-loud", "word-soft"]
    assert result.report["share of responses clipped"] == 0.5
    assert result.dataset.points("word-soft")[0, 1] == 6.0
    with pytest.raises(UsageError, match="English, Spanish"):
        import_socialeq(path, SocialEqOptions(language="Klingon"))
    with pytest.raises(UsageError, match="--min-responses"):
        import_socialeq(path, SocialEqOptions())


def test_all_languages_are_groups_of_the_listeners(rows, write_csv, tmp_path):
    path = write_csv([HEADER, *rows, row("warm", -2.0, "spanish")])
    data = import_socialeq(path, SocialEqOptions(min_responses=1, language="all")).dataset
    assert data.name == "socialeq-all"
    assert data.listener_groups == ("English", "Spanish")
    by_word = {p.prompt.text: p.groups for p in data.labelled(data.test_ids)}
    assert by_word["make it sound warm"] == ("English", "English", "Spanish")
    assert by_word["make it sound cálido"] == ("Spanish",)
    written = write_dataset(data, tmp_path / "out", "card")
    assert written.listener_groups == data.listener_groups
    assert import_socialeq(path, FEW).dataset.listener_groups == ()


def test_every_problem_is_reported_at_once(rows, write_csv):
    rows[0].pop(1)
    rows[1][3] = "high"
    rows[2][10] = "nan"
    with pytest.raises(InvalidInputError) as caught:
        import_socialeq(write_csv([HEADER, *rows]), FEW)
    assert [(p.row, p.column) for p in caught.value.problems] == [
        (2, None),
        (3, "ratings consistency"),
        (4, HEADER[9]),
    ]
    assert "has 43 fields; needs 44" in str(caught.value)


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ([*HEADER[:1], "language", *HEADER[1:]], "44 names"),
        (HEADER[:20], "20 names"),
        ([*HEADER[:3], *HEADER[:2:-1]], "rising"),
        ([*HEADER[:3], *["gain"] * 40], "RSC_20Hz_band"),
    ],
)
def test_other_headers_are_refused(rows, write_csv, header, message):
    with pytest.raises(InvalidInputError, match=message):
        import_socialeq(write_csv([header, *rows]), FEW)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b",,,\n", "header"), (b"caf\xe9", "UTF-8"), (b"PAR1no", "Parquet")],
)
def test_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "eq.csv"
    path.write_bytes(content)
    if message == "Parquet":
        pytest.importorskip("pyarrow")
    with pytest.raises(InvalidInputError, match=message):
        import_socialeq(path, FEW)


def test_a_header_alone_and_no_file_are_refused(write_csv, tmp_path):
    with pytest.raises(InvalidInputError, match="no rows"):
        import_socialeq(write_csv([HEADER]), FEW)
    with pytest.raises(InvalidInputError, match="the file is missing"):
        import_socialeq(tmp_path / "none.csv", FEW)


def test_parquet_is_the_same_data(rows, write_csv, tmp_path):
    by_csv = import_socialeq(write_csv([HEADER, *rows]), FEW).dataset
    assert import_socialeq(as_parquet(rows, tmp_path / "eq.parquet"), FEW).dataset.revision == by_csv.revision
    written_out = {
        "param_keys": [str([name.split("_")[1] for name in HEADER[3:]])] * len(rows),
        "param_values": [str([float(v) for v in r[4:]]) for r in rows],
    }
    path = as_parquet(rows, tmp_path / "no-suffix", **written_out)
    assert import_socialeq(path, FEW).dataset.revision == by_csv.revision


def test_extra_is_read_and_never_run(rows, tmp_path):
    trap = tmp_path / "trap"
    extra = [f"__import__('pathlib').Path({str(trap)!r}).touch()", "{'lang': 'English'}", "[1]", "{"]
    with pytest.raises(InvalidInputError) as caught:
        import_socialeq(as_parquet(rows, tmp_path / "eq.parquet", extra=extra), FEW)
    assert [(p.row, p.column) for p in caught.value.problems] == [(i, "extra") for i in (1, 2, 3, 4)]
    assert not trap.exists()


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ({"extra": None}, "column extra: the column is missing"),
        ({"param_values": [[1.0]] * 4}, "has 1 values for 40 keys"),
        ({"param_values": [[float("nan")] * 40] * 4}, "not a finite number"),
        ({"param_keys": [["a", "b"]] * 4}, "rising frequency"),
    ],
)
def test_parquet_of_another_layout_is_refused(rows, tmp_path, broken, message):
    with pytest.raises(InvalidInputError, match=message):
        import_socialeq(as_parquet(rows, tmp_path / "eq.parquet", **broken), FEW)


def test_parquet_without_pyarrow_says_what_to_install(tmp_path, monkeypatch):
    path = tmp_path / "eq.parquet"
    path.write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match=re.escape(pip_install("parquet"))) as caught:
        import_socialeq(path, FEW)
    assert "\n" not in str(caught.value)


def test_the_real_file_as_parquet_is_the_same_data(socialeq_csv: Path, tmp_path):
    with socialeq_csv.open(encoding="utf-8", newline="") as stream:
        header, *rows = csv.reader(stream)
    keys = [[name.split("_")[1] for name in header[3:]]] * len(rows)
    path = as_parquet(rows, tmp_path / "eq.parquet", param_keys=keys)
    again = import_socialeq(path, SocialEqOptions()).dataset
    assert again.revision == import_socialeq(socialeq_csv, SocialEqOptions()).dataset.revision


@pytest.mark.parametrize(("least", "words"), [(11, 13), (8, 23), (4, 47), (1, 388)])
def test_words_of_the_real_file(socialeq_csv, least, words):
    report = import_socialeq(socialeq_csv, SocialEqOptions(min_responses=least)).report
    assert report["rows read"] == 918
    assert report["prompts"] == words
    assert sum(report["rows dropped"].values()) + report["responses kept"] == 918
    assert report["share of responses clipped"] < 0.0075


def test_a_third_is_clipped_at_4_db_per_unit(socialeq_csv):
    chosen = SocialEqOptions(min_responses=1, db_per_unit=4)
    assert import_socialeq(socialeq_csv, chosen).report["share of responses clipped"] == pytest.approx(
        0.35, abs=0.03
    )


def test_figures_of_the_real_file(socialeq_csv, panel_distance):
    data = import_socialeq(socialeq_csv, SocialEqOptions()).dataset
    assert len(data.stages) == 5
    clouds = [data.points(p) for p in data.test_ids]
    means = np.concatenate([np.tile(c.mean(axis=0), (len(c), 1)) for c in clouds])
    points = np.concatenate(clouds)
    within = ((points - means) ** 2).sum(axis=0)
    np.testing.assert_allclose(np.sqrt(within / (len(points) - len(clouds))), [2.3, 2.9], atol=0.15)
    between = 1 - within / ((points - points.mean(axis=0)) ** 2).sum(axis=0)
    np.testing.assert_allclose(between, [0.34, 0.35], atol=0.01)
    assert np.mean(np.sign(points[:, 1]) != np.sign(means[:, 1])) == pytest.approx(0.24, abs=0.03)
    panels = [c for c in clouds if len(c) >= 22]
    many = [c for c in clouds if len(c) >= 11]
    pool = np.concatenate(many)
    uniform = np.random.default_rng(0).uniform(-6, 6, (4000, 2))
    assert len(panels) == 5
    assert panel_distance([(c, c) for c in panels], disjoint=True) == pytest.approx(2.39, abs=0.2)
    assert panel_distance([(a, b) for a in many for b in many if a is not b]) == pytest.approx(4.02, abs=0.2)
    assert panel_distance([(c, pool) for c in many]) == pytest.approx(3.26, abs=0.2)
    assert panel_distance([(c, uniform) for c in many]) == pytest.approx(3.61, abs=0.2)


def test_the_pair_of_curves_is_the_data_sets(rows, write_csv):
    result = import_socialeq(write_csv([HEADER, *rows]), SocialEqOptions(min_responses=1, curves="beosonic"))
    data = result.dataset
    assert data.space.curves == result.report["curves"] == "beosonic"
    assert data.card.version == "1-3-db-per-unit-beosonic"
    assert data.card.title == "SocialEQ contributions, English, 3 dB per unit, curves beosonic"
    # A tilt of 1 per unit of u: the shelves on both ends move it to the edge.
    x, y = data.points("word-bright")[0]
    assert y > 4 > abs(x)
    assert result.report["share of variance explained by the plane"] < 0.9
    with pytest.raises(UsageError, match="no pair of curves is called 'beo'"):
        import_socialeq(write_csv([HEADER, *rows]), SocialEqOptions(curves="beo"))
