"""Inputs that know the formats: good files with a few things changed, to get past the first check."""

from __future__ import annotations

import bz2
import contextlib
import copy
import csv
import gzip
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import tomli_w
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy
from pyarrow import parquet

from popeq.runs.record import RunRecord
from tests.fuzz import served
from tests.fuzz.targets import CARD, DATASET, Entry, Ground, answers_of_the_tested, one_folder, one_input

_NUMBERS = "0 -0.0 1 6 6.0000000000000001 6.01 -7 1e-320 1e308 1e999 nan -inf 1_0 0x1 1,5 +1 00 99999999999"
_NAMES = "p1 p3 p4 P3 l1 l2 a1 ../x x/y . \u202ep3 \u00e9 e\u0301 train test validation expert fold x_db"
_ODD = ["", " ", "\uff11", "\r", "a\rb", 'a"b', "\n", "\0", "p3\0", "\x1b[31m", "x" * 101]
_SHARP = [*_NUMBERS.split(), *_NAMES.split(), *_ODD]
ENCODINGS = st.sampled_from(["utf-8"] * 9 + ["utf-8-sig", "utf-16"])
CELLS = st.one_of(
    st.sampled_from(_SHARP),
    st.floats().map(repr),
    st.integers(-3, 9).map(str),
    st.text(st.characters(codec="utf-8"), max_size=6),
)
_TEXT = st.one_of(st.sampled_from(_SHARP), st.text(max_size=6))  # surrogates too
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 99),
    st.sampled_from([2**31, 2**63, -(2**64), 10**400, 1e308, 5e-324, float("nan"), float("inf"), -0.0]),
    st.floats(),
    _TEXT,
    st.sampled_from(
        ["https://example.org/a", "javascript:x", "2026-01-01T00:00:00Z", "drawn", "reproduced", "a" * 2001]
    ),
)
VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)


def edited(seeds: Sequence[bytes]) -> SearchStrategy[bytes]:
    """A seed with bytes cut out, put in or changed, or any bytes at all."""

    @st.composite
    def strategy(draw: DrawFn) -> bytes:
        content = bytearray(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(1, 4))):
            start = draw(st.integers(0, len(content)))
            end = min(len(content), start + draw(st.integers(0, 6)))
            content[start:end] = draw(st.binary(max_size=6))
        return bytes(content)

    return strategy() | st.binary(max_size=64)


@st.composite
def _tables(draw: DrawFn, good: bytes, names: SearchStrategy[str]) -> bytes:
    """A CSV file with some cells, rows or columns changed, written in some dialect."""
    rows = list(csv.reader(io.StringIO(good.decode())))
    for _ in range(draw(st.integers(0, 3))):
        kind = draw(st.sampled_from(["cell", "cell", "cell", "drop", "twice", "column", "name", "short"]))
        if not rows or not rows[0]:
            break
        i, j = draw(st.integers(0, len(rows) - 1)), draw(st.integers(0, len(rows[0]) - 1))
        if kind == "cell":
            rows[i][j : j + 1] = [draw(CELLS)]
        elif kind == "drop":
            del rows[i]
        elif kind == "twice":
            rows.insert(draw(st.integers(0, len(rows))), list(rows[i]))
        elif kind == "column":
            rows = [row[:j] + row[j + 1 :] for row in rows]
        elif kind == "name":
            rows[0][j : j + 1] = [draw(names)]
        else:
            rows[i] = rows[i][:j]
    out = io.StringIO()
    dialect = {
        "delimiter": draw(st.sampled_from(",,,,,,,,,,;\t")),
        "lineterminator": draw(st.sampled_from(["\n", "\n", "\r\n", "\r"])),
        "quoting": draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    }
    csv.writer(out, **dialect).writerows(rows)
    return out.getvalue().encode(draw(ENCODINGS))


def csv_predictions(good: bytes) -> SearchStrategy[bytes]:
    return _tables(good, st.sampled_from(["prompt_id", "sample", "x_db", "y_db", "X_db", ""]) | CELLS)


#: Columns of a Parquet file: the plain values, and types of other kinds.
Columns = dict[str, tuple[list[Any], list[pa.DataType]]]
_TEXTS = [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()), pa.string_view()]


@st.composite
def parquet_predictions(draw: DrawFn) -> bytes:
    """A Parquet file of predictions."""
    count = draw(st.sampled_from([6, 6, 6, 0, 5, 7]))
    ids, numbers = (["p3"] * 3 + ["p4"] * 3 + ["p4"])[:count], ([0, 1, 2] * 3)[:count]
    values = draw(st.lists(st.floats(-6, 6), min_size=2 * count, max_size=2 * count))
    plain: Columns = {
        "prompt_id": (ids, _TEXTS),
        "sample": (numbers, [pa.int64(), pa.uint8(), pa.int16(), pa.float64(), pa.decimal128(5, 0)]),
        "x_db": (values[:count], [pa.float64(), pa.float32(), pa.float16()]),
        "y_db": (values[count:], [pa.float64(), pa.float32(), pa.string()]),
    }
    return draw(_parquet_files(plain, count))


@st.composite
def parquet_responses(draw: DrawFn) -> bytes:
    """A Parquet file of the responses of a data set."""
    count = draw(st.sampled_from([8, 8, 8, 0, 7, 9]))
    values = draw(st.lists(st.floats(-6, 6), min_size=2 * count, max_size=2 * count))
    plain: Columns = {
        "prompt_id": ([f"p{1 + i % 4}" for i in range(count)], _TEXTS),
        "listener_id": ([f"l{i // 4}" for i in range(count)], _TEXTS),
        "x_db": (values[:count], [pa.float64(), pa.float32(), pa.int64()]),
        "y_db": (values[count:], [pa.float64(), pa.float32(), pa.string()]),
    }
    return draw(_parquet_files(plain, count))


@st.composite
def _parquet_files(draw: DrawFn, plain: Columns, count: int) -> bytes:
    """A Parquet file of plain or other types, in some of the many ways to write one."""
    columns: dict[str, pa.Array] = {}
    strange = [
        [None] * count,
        ["\0"] * count,
        [b"\xff"] * count,
        [[1]] * count,
        [{"a": 1}] * count,
        [True] * count,
    ]
    for name, (own, types) in plain.items():
        kind = draw(st.sampled_from(["plain"] * 8 + ["other", "hole", "number", "strange", "absent"]))
        column = list(own)
        if kind == "absent":
            continue
        if kind in ("hole", "number") and column:
            place = draw(st.integers(0, count - 1))
            column[place] = (
                None if kind == "hole" else draw(st.sampled_from([float("nan"), 7, -1, 2**40, 1e300]))
            )
        try:
            if kind == "strange":
                columns[name] = pa.array(draw(st.sampled_from(strange)))
            else:
                columns[name] = pa.array(column, draw(st.sampled_from(types)) if kind == "other" else None)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            columns[name] = pa.array([str(value) for value in column])
    table = pa.table(columns) if columns else pa.table({"x": [1]})
    if draw(st.booleans()) and columns:
        table = table.select(draw(st.permutations(table.column_names)))
    out = io.BytesIO()
    parquet.write_table(
        table,
        out,
        compression=draw(st.sampled_from(["none", "snappy", "gzip", "zstd", "lz4", "brotli"])),
        use_dictionary=draw(st.booleans()),
        data_page_version=draw(st.sampled_from(["1.0", "2.0"])),
        row_group_size=draw(st.sampled_from([1, 4, 100])),
        store_schema=draw(st.booleans()),
        write_statistics=draw(st.booleans()),
        version=draw(st.sampled_from(["1.0", "2.4", "2.6"])),
    )
    content = out.getvalue()
    if draw(st.booleans()):
        return content
    return draw(edited([content]))


def _places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for key, own in inner for place in _places(own, (*here, key)))]


@st.composite
def _changed(draw: DrawFn, good: Mapping[str, Any], values: SearchStrategy[Any] = VALUES) -> Any:
    """The document with a few values replaced, left out or put in."""
    content: Any = copy.deepcopy(dict(good))
    for _ in range(draw(st.integers(0, 3))):
        places = _places(content)
        place = draw(st.sampled_from(places))
        if not place:
            if draw(st.integers(0, 9)) == 0:
                content = draw(values)
            elif isinstance(content, dict):
                content[draw(_TEXT)] = draw(values)
            continue
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        if draw(st.integers(0, 3)) == 0:
            del parent[place[-1]]
        else:
            parent[place[-1]] = draw(values)
    return content


def _json_text(draw: DrawFn, content: Any) -> bytes:
    text = json.dumps(content, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 2])))
    return text.encode(draw(ENCODINGS), "surrogatepass")


@st.composite
def cards(draw: DrawFn) -> bytes:
    """card.json with a few things changed."""
    return _json_text(draw, draw(_changed(CARD)))


@st.composite
def records(draw: DrawFn, good: Mapping[str, Any]) -> bytes:
    """run.json with a few things changed; often with the key that then belongs to it."""
    content = draw(_changed(good))
    if isinstance(content, dict) and draw(st.booleans()):
        content["origin"] = draw(st.sampled_from(["drawn", "submitted"]))
        with contextlib.suppress(ValueError):
            content["key"] = RunRecord.model_validate(content | {"schema_version": 2}).expected_key
    return _json_text(draw, content)


@st.composite
def data_sets(draw: DrawFn) -> bytes:
    """A data set folder with one or two of its files changed."""
    files = dict(DATASET)
    for name in draw(st.lists(st.sampled_from(list(DATASET)), min_size=1, max_size=2, unique=True)):
        change = draw(st.integers(0, 9))
        if change == 0:
            del files[name]
            break
        if name.endswith(".toml"):
            files[name] = draw(_cards_of_data())
        else:
            files[name] = draw(
                _tables(files[name], st.sampled_from(["fold", "split", "audio_id", "group"]) | CELLS)
            )
    return one_input(files)


@st.composite
def _cards_of_data(draw: DrawFn) -> bytes:
    ends = [5e-324, 1e-9, 5, 6, 999.5, 1e9, 1e30, 1e160, 1e308, 10**30]
    bounds = st.one_of(
        st.lists(st.one_of(st.integers(-9, 9), st.floats()), max_size=3),
        st.tuples(st.sampled_from([-end for end in ends]), st.sampled_from(ends)).map(list),
    )
    good = {
        "name": "tiny",
        "version": "1",
        "title": "for fuzzing",
        "licence": "MIT",
        "citation": "nobody",
        "simulated": True,
        "space": {"x_db": [-6.0, 6.0], "y_db": [-6.0, 6.0], "unit": "dB"},
    }
    if draw(st.booleans()):
        good["space"]["x_db"] = draw(bounds)  # type: ignore[index]
    values = st.one_of(
        st.booleans(),
        st.integers(),
        st.floats(),
        CELLS,
        bounds,
        st.dictionaries(CELLS, st.integers(), max_size=2),
    )
    content = draw(_changed(good, values))
    return tomli_w.dumps(content if isinstance(content, dict) else good).encode("utf-8", "surrogatepass")


_KINDS = ["f"] * 4 + ["l", "d", "p", "s"]
_FILES = [
    "run.json",
    "card.json",
    "predictions.csv",
    "predictions.csv.bz2",
    "board.json",
    "setup.py",
    "explanations.jsonl",
]
_LEADS = [b"/dev/zero", b"/dev/null", b"new", b".", b"run.json", b"../../before/tiny", b"nowhere"]


@st.composite
def result_folders(draw: DrawFn, good: Sequence[Entry], record: Mapping[str, Any]) -> bytes:
    """A run that is sent with a few files changed, added, replaced by links, pipes or folders, or renamed."""
    entries = list(good)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(entries) - 1)) if entries else 0
        change = draw(
            st.sampled_from(["drop", "kind", "add", "content", "record", "card", "rename", "folder"])
        )
        if not entries or change == "add":
            name = draw(st.sampled_from(_FILES) | _TEXT)
            folder = draw(st.sampled_from(["new/", "new/", "other/", "", "new/more/"]))
            entries.append((draw(st.sampled_from(_KINDS)), f"{folder}{name}", draw(st.binary(max_size=20))))
            continue
        kind, path, content = entries[place]
        if change == "drop":
            del entries[place]
        elif change == "kind":
            kind = draw(st.sampled_from("ldps"))
            size = draw(st.sampled_from([0, 70_000, 1 << 31, 1 << 39]))
            entries[place] = (
                kind,
                path,
                str(size).encode() if kind == "s" else draw(st.sampled_from(_LEADS)),
            )
        elif change == "content":
            entries[place] = (kind, path, draw(edited([content])))
        elif change == "rename":
            entries[place] = (kind, f"new/{draw(st.sampled_from(_FILES))}", content)
        elif change == "folder":
            name = draw(
                st.sampled_from(["a b", "\x1b[31m", "`", ".new", "new.tmp", "x" * 250, "\u202e"]) | _TEXT
            )
            entries = [(k, p.replace("new/", f"{name}/", 1), c) for k, p, c in entries]
        else:
            made = draw(records(record) if change == "record" else cards())
            entries = [e for e in entries if not e[1].endswith(f"/{change.replace('record', 'run')}.json")]
            entries.append(("f", f"new/{change.replace('record', 'run')}.json", made))
    return one_folder(entries)


def strategies(ground: Ground) -> dict[str, SearchStrategy[bytes]]:
    """For each target, inputs that know its format."""
    good, *_ = ground.targets()[0].seeds()
    stored, sent = ground.run.content(), ground.sent_files()
    return {
        "predictions.csv": csv_predictions(good),
        "predictions.parquet": parquet_predictions(),
        "predictions.csv.gz": csv_predictions(good).map(gzip.compress) | edited([gzip.compress(good)]),
        "stored predictions.csv": csv_predictions(stored),
        "stored predictions.csv.bz2": csv_predictions(stored).map(bz2.compress)
        | edited([bz2.compress(stored)]),
        "run.json": records(ground.record),
        "card.json": cards(),
        "data set folder": data_sets(),
        "responses.parquet": parquet_responses(),
        "sealed answers.csv": _tables(answers_of_the_tested(), CELLS),
        "answers of servers": served.responses(),
        "results folder": result_folders(sent, json.loads({e[1]: e[2] for e in sent}["new/run.json"])),
    }
