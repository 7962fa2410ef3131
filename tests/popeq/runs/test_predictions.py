"""Predictions from files: what is right is kept to the last bit, what is wrong is named with its rows."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from popeq.errors import InvalidInputError, UsageError
from popeq.parquet_table import check_version
from popeq.runs.predictions import points_of, prediction_table, read_predictions
from popeq.space import PLANE

IDS, N = ("p1", "p2"), 3


def frame(**changes) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    points = rng.uniform(-6, 6, (6, 2))
    table = {
        "prompt_id": ["p1"] * 3 + ["p2"] * 3,
        "sample": [0, 1, 2] * 2,
        "x_db": points[:, 0],
        "y_db": points[:, 1],
    }
    return pd.DataFrame(table | changes)


def write(table: pd.DataFrame, path):
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False)
    return path


def read(path):
    return read_predictions(path, IDS, N, PLANE)


def problems_of(path) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        read(path)
    return [str(p) for p in caught.value.problems]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_values_are_read_exactly_whatever_the_order_of_rows(tmp_path, ending):
    table = frame()
    shuffled = write(table.sample(frac=1, random_state=3), tmp_path / f"file.{ending}")
    expected = table[["x_db", "y_db"]].to_numpy().reshape(2, 3, 2)
    assert np.array_equal(read(shuffled), expected)


def test_parquet_of_other_plain_types_is_read(tmp_path):
    table = frame(x_db=np.array([1, 2, 3, -1, -2, -3], dtype=np.int8), y_db=np.arange(6, dtype=np.float32))
    table["sample"] = table["sample"].astype(np.uint8)
    assert read(write(table, tmp_path / "file.parquet"))[1, 2].tolist() == [-3.0, 5.0]


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_everything_wrong_is_named_at_once_with_its_row(tmp_path, ending):
    table = frame()
    table.loc[0, "x_db"] = 6.001
    table.loc[1, "y_db"] = np.inf
    table.loc[2, "sample"] = 7
    table.loc[3, "prompt_id"] = "p3"
    table.loc[5, "sample"] = 1
    found = "\n".join(problems_of(write(table, tmp_path / f"file.{ending}")))
    first = 2 if ending == "csv" else 1  # the header is a line of a CSV file
    for line in (
        f"row {first}: (6.001, {table.loc[0, 'y_db']:g}) dB is outside the box [-6.0, -6.0]..[6.0, 6.0]",
        f"row {first + 1}, column y_db: inf is not a finite number",
        f"row {first + 2}, column sample: '7' is not a whole number from 0 to 2",
        f"row {first + 3}, column prompt_id: 'p3' is not to be predicted in this data set (1 row(s))",
        f"row {first + 5}, column sample: sample 1 of 'p2' is already in row {first + 4}",
        "prompt 'p1' lacks sample 2",
        "prompt 'p2' lacks samples 0, 2",
    ):
        assert f"file.{ending}, {line}" in found or f"file.{ending}: {line}" in found
    assert len(found.splitlines()) == 7


def test_nothing_is_filled_in(tmp_path):
    table = frame()
    table.loc[0, "x_db"] = np.nan
    assert problems_of(write(table, tmp_path / "a.csv")) == [
        "a.csv, row 2, column x_db: is empty; needs a number"
    ]
    assert problems_of(write(table, tmp_path / "a.parquet")) == [
        "a.parquet, row 1, column x_db: is empty; needs a number"
    ]
    assert problems_of(write(frame()[:3], tmp_path / "b.csv")) == ["b.csv: prompt 'p2' lacks all its samples"]


@pytest.mark.parametrize(
    "text",
    [
        "1_0",
        "\uff11",
        "\u0661",
        "0x1",
        "1,5",
        "1.0.0",
        "one",
        "1e400",
        "nan",
        "-inf",
        "Infinity",
        "1" * 65,
        "0." + "0" * 63,
    ],
)
def test_only_plain_numbers_are_numbers(tmp_path, text):
    table = frame().astype({"x_db": object})
    table.loc[0, "x_db"] = text
    (found,) = problems_of(write(table, tmp_path / "a.csv"))
    assert "row 2, column x_db" in found


@pytest.mark.parametrize("text", ["-1", "1.0", "00", "+1", " ", "1e0", "9999999999999"])
def test_samples_are_counted_in_plain_whole_numbers(tmp_path, text):
    table = frame().astype({"sample": object})
    table.loc[0, "sample"] = text
    found = problems_of(write(table, tmp_path / "a.csv"))
    assert any("row 2, column sample" in line for line in found)


def test_rows_beyond_those_that_can_be_named_are_not_read(tmp_path):
    header = "prompt_id,sample,x_db,y_db\n"
    (tmp_path / "a.csv").write_text(header + "p1,0,0,0\n" * 20_000, encoding="utf-8")
    found = problems_of(tmp_path / "a.csv")
    assert "a.csv, row 114: has more than 112 rows" in found
    assert len(found) < 120


def test_a_header_of_many_columns_is_one_problem(tmp_path):
    (tmp_path / "a.csv").write_text(",".join(f"c{i}" for i in range(100_000)) + "\n", encoding="utf-8")
    assert problems_of(tmp_path / "a.csv") == ["a.csv, row 1: has 100000 columns; 2000 at most are read"]


@pytest.mark.parametrize("fifth", ["", "1", "mine"])
def test_a_fifth_column_is_refused_with_or_without_a_name(tmp_path, fifth):
    header, *rows = frame().to_csv(index=False).splitlines()
    (tmp_path / "a.csv").write_text("\n".join([f"{header},{fifth}", *(f"{r},1" for r in rows)]), "utf-8")
    assert "unknown column" in problems_of(tmp_path / "a.csv")[0]
    (tmp_path / "a.csv").write_text("\n".join([header, *(f"{r},{fifth}" for r in rows)]), "utf-8")
    assert "has 5 fields where the header has 4" in problems_of(tmp_path / "a.csv")[0]


def test_memory_is_not_taken_for_samples_that_are_not_there():
    table = prediction_table(b"prompt_id,sample,x_db,y_db\np0,0,1,1\n", "a.csv", 10**9)
    ids = tuple(f"p{i}" for i in range(10_000))
    with pytest.raises(InvalidInputError, match="has 1 rows; 1000000000 are asked for"):
        points_of(table, ids, 100_000, PLANE, "wrong")


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"sample": None}, "column sample: the column is missing"),
        ({"extra": 1}, "column extra: unknown column"),
        ({"sample": [0.0, 1.0, 2.0] * 2}, "column sample: holds double; needs whole numbers"),
        ({"x_db": ["1"] * 6}, "column x_db: holds"),
        ({"prompt_id": [b"p1"] * 6}, "column prompt_id: holds binary; needs text"),
    ],
)
def test_parquet_of_another_schema_is_refused(tmp_path, columns, says):
    table = frame().assign(**columns)
    table = table.drop(columns=[c for c, v in columns.items() if v is None])
    assert any(says in line for line in problems_of(write(table, tmp_path / "a.parquet")))


def test_parquet_with_an_extension_type_is_not_unpacked(tmp_path):
    storage = pa.array([b"p1"] * 6, pa.binary())
    typed = pa.ExtensionArray.from_storage(pa.opaque(pa.binary(), "x", "y"), storage)
    rest = pa.Table.from_pandas(frame()[["sample", "x_db", "y_db"]], preserve_index=False)
    parquet.write_table(rest.add_column(0, "prompt_id", typed), tmp_path / "a.parquet")
    assert "needs text" in problems_of(tmp_path / "a.parquet")[0]


def test_files_that_are_too_large_or_unpack_to_too_much_are_not_read(tmp_path):
    (tmp_path / "big.csv").write_bytes(b"x" * (1 << 20) + b"y" * 512 * 6 + b"z")
    with pytest.raises(UsageError, match=r"\d+ at most are read; 3 samples of 2 prompts do not take more"):
        read(tmp_path / "big.csv")
    bomb = pd.concat([frame()] * 40_000, ignore_index=True)
    write(bomb, tmp_path / "bomb.parquet")
    parquet.write_table(
        pa.Table.from_pandas(bomb, preserve_index=False),
        tmp_path / "bomb.parquet",
        use_dictionary=False,
        compression="zstd",
        compression_level=19,
    )
    size = (tmp_path / "bomb.parquet").stat().st_size
    if size < 1 << 20:
        assert "unpacks to" in problems_of(tmp_path / "bomb.parquet")[0]
    else:
        with pytest.raises(UsageError, match="at most"):
            read(tmp_path / "bomb.parquet")


@pytest.mark.parametrize("rows", [6, 5000])
def test_a_value_stored_once_for_every_row_does_not_fill_the_memory(tmp_path, rows):
    zeros = np.zeros(rows, dtype=np.int32)
    ids = pa.DictionaryArray.from_arrays(zeros, ["x" * 300_000])
    table = pa.table({"prompt_id": ids, "sample": zeros, "x_db": zeros, "y_db": zeros})
    parquet.write_table(table, tmp_path / "bomb.parquet", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 20
    pool, before = pa.proxy_memory_pool(pa.default_memory_pool()), pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        (found,) = problems_of(tmp_path / "bomb.parquet")
    finally:
        pa.set_memory_pool(before)
    assert "unpacks to more than" in found
    assert 0 < pool.max_memory() < 1 << 27  # 5,000 rows of it are 1.5 GB


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"\x80\x04K\x01."])
def test_what_is_no_table_is_refused(tmp_path, content):
    for name in ("a.csv", "a.parquet"):
        (tmp_path / name).write_bytes(content)
        assert problems_of(tmp_path / name)


@pytest.mark.parametrize("what", ["nowhere.csv", "folder"])
def test_what_cannot_be_read_is_one_line(tmp_path, what):
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError) as caught:
        read(tmp_path / what)
    assert "\n" not in str(caught.value)


def test_a_pyarrow_that_files_can_make_run_code_is_refused():
    for old in ("0.14.0", "13.0.0", "14.0.0"):
        with pytest.raises(UsageError, match="CVE-2023-47248"):
            check_version(old)
    for new in ("14.0.1", "15.0.0", "26.0.1", "27.0.0.dev5"):
        check_version(new)


@settings(max_examples=150)
@given(st.data())
def test_any_single_change_is_seen_or_makes_no_difference(tmp_path_factory, data):
    """A cell replaced by anything: either the samples are the same, or other valid ones, or it is refused."""
    table = frame().astype(object)
    row = data.draw(st.integers(0, 5))
    column = data.draw(st.sampled_from(list(table.columns)))
    table.loc[row, column] = data.draw(st.text(st.characters(codec="utf-8"), max_size=8))
    path = write(table, tmp_path_factory.mktemp("f") / "a.csv")
    try:
        samples = read(path)
    except (InvalidInputError, UsageError):
        return
    assert samples.shape == (2, 3, 2)
    assert PLANE.contains(samples).all()
    changed = samples != frame()[["x_db", "y_db"]].to_numpy().reshape(2, 3, 2)
    assert changed.sum() <= 1
