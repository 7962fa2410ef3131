"""A run's predictions on disk: small, read by pandas in one line, never more in memory than they may be."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import shutil
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from tests.conftest import write_small_dataset

import popeq as package
from popeq.board.verify import examine
from popeq.errors import InvalidInputError, RunError, UsageError
from popeq.protocol import PROTOCOL_1, PROTOCOL_2
from popeq.runs.folder import Run, kept_to
from popeq.runs.packed import PACKED, PLAIN, pack
from popeq.runs.predictions import read_predictions
from popeq.runs.submission import predictions_csv
from popeq.space import PLANE


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("packed") / "small")


@pytest.fixture(scope="module")
def drawn(data):
    """A run of each protocol."""
    runs = {}
    for protocol in (PROTOCOL_1, PROTOCOL_2):
        folder = data.parent / f"runs-{protocol.version}"
        (runs[protocol.version],) = package.run("random", data, runs_dir=folder, protocol=protocol)
    return runs


@pytest.fixture
def copy(drawn, tmp_path):
    return shutil.copytree(drawn[2].folder, tmp_path / "copy")


def test_a_run_of_300_prompts_as_wide_as_can_be_takes_at_most_one_mebibyte():
    rng = np.random.default_rng(0)
    samples = kept_to(rng.uniform(-6, 6, (300, PROTOCOL_2.n_samples, 2)), 2, PLANE)
    ids = tuple(f"prompt-{i:03d}" for i in range(300))
    assert len(pack(predictions_csv(ids, samples), PACKED)) <= 1 << 20


def test_pandas_reads_a_run_in_one_line_and_finds_what_popeq_does(drawn):
    frame = pd.read_csv(drawn[2].predictions_file)
    assert drawn[2].predictions_file.name == PACKED
    assert list(frame.columns) == ["prompt_id", "sample", "x_db", "y_db"]
    ids = tuple(dict.fromkeys(frame["prompt_id"]))
    expected = drawn[2].samples(ids)
    assert expected.shape == (len(ids), PROTOCOL_2.n_samples, 2)
    assert np.array_equal(frame[["x_db", "y_db"]].to_numpy().reshape(expected.shape), expected)


def test_protocol_2_keeps_what_is_drawn_to_a_hundredth(drawn):
    """The first samples of both runs come from the same numbers of the same generators."""
    ids = ("p08", "p09", "p10", "p11")
    every_digit, kept = (drawn[version].samples(ids) for version in (1, 2))
    assert np.array_equal(kept_to(every_digit, 2, PLANE), kept[:, :110])
    assert not np.array_equal(every_digit, kept[:, :110])


def test_the_hash_is_of_the_text_whatever_compressed_it(copy, data):
    text = bz2.decompress((copy / PACKED).read_bytes())
    record = json.loads((copy / "run.json").read_text())
    assert record["predictions_sha256"] == hashlib.sha256(text).hexdigest()
    (copy / PACKED).write_bytes(bz2.compress(text, 1))
    assert examine(Run.open(copy), package.load_dataset(data)).problems == ()


def test_runs_of_protocol_1_are_kept_as_they_were(drawn, data):
    run = drawn[1]
    assert run.predictions_file.name == PLAIN
    assert hashlib.sha256((run.folder / PLAIN).read_bytes()).hexdigest() == run.record.predictions_sha256
    assert examine(run, package.load_dataset(data)).problems == ()


def test_samples_of_more_decimals_than_the_protocol_keeps_are_refused(copy):
    text = bz2.decompress((copy / PACKED).read_bytes()).decode()
    header, first, rest = text.split("\n", 2)
    finer = "\n".join([header, f"{first.rsplit(',', 1)[0]},0.001", rest])
    (copy / PACKED).write_bytes(bz2.compress(finer.encode()))
    raw = json.loads((copy / "run.json").read_text())
    raw["predictions_sha256"] = hashlib.sha256(finer.encode()).hexdigest()
    (copy / "run.json").write_text(json.dumps(raw))
    with pytest.raises(InvalidInputError, match=r"finer than 0\.01 dB"):
        Run.open(copy).samples(("p08", "p09", "p10", "p11"))


COMPRESSORS = [("bz2", bz2.compress), ("gz", gzip.compress)]


@pytest.mark.parametrize(("ending", "compress"), COMPRESSORS)
def test_compressed_predictions_are_taken_as_plain_ones_are(tmp_path, ending, compress):
    samples = np.random.default_rng(0).uniform(-6, 6, (2, 3, 2))
    text = predictions_csv(("p1", "p2"), samples).encode()
    (tmp_path / f"file.csv.{ending}").write_bytes(compress(text))
    assert np.array_equal(read_predictions(tmp_path / f"file.csv.{ending}", ("p1", "p2"), 3, PLANE), samples)


@pytest.mark.parametrize(("ending", "compress"), COMPRESSORS)
@pytest.mark.parametrize("damage", [lambda c: c[:-9], lambda c: c[:20] + c[24:], lambda c: c + b"more"])
def test_damaged_files_are_refused_in_one_line(tmp_path, copy, ending, compress, damage):
    text = predictions_csv(("p1", "p2"), np.random.default_rng(0).uniform(-6, 6, (2, 3, 2))).encode()
    (tmp_path / "file").write_bytes(damage(compress(text)))
    with pytest.raises(UsageError) as caught:
        read_predictions(tmp_path / "file", ("p1", "p2"), 3, PLANE)
    assert "\n" not in str(caught.value)
    (copy / PACKED).write_bytes(damage((copy / PACKED).read_bytes()))
    with pytest.raises(RunError) as refused:
        Run.open(copy).samples(("p08", "p09", "p10", "p11"))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("ending", "compress"), COMPRESSORS)
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path, copy, data, ending, compress):
    dataset = package.load_dataset(data)
    bomb = compress(bytes(200 << 20))
    (tmp_path / "bomb").write_bytes(bomb)
    (copy / PACKED).write_bytes(bomb)
    tracemalloc.start()
    try:
        with pytest.raises(UsageError, match="unpacks to more than"):
            read_predictions(tmp_path / "bomb", ("p1", "p2"), 3, PLANE)
        with pytest.raises(RunError, match="unpacks to more than"):
            Run.open(copy).samples(("p08", "p09", "p10", "p11"))
        assert examine(Run.open(copy), dataset).problems != ()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20 << 20, "of 200 MiB"
