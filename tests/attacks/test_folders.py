"""Attacks on folders of runs, met by the commands that people run there."""

from __future__ import annotations

import bz2
import os
import re
import shutil
import tracemalloc
from pathlib import Path

import pytest

from popeq.board.publishing import publish
from popeq.board.signed import read_board
from popeq.dataset_folder import read_dataset
from popeq.errors import PopeqError, UsageError
from popeq.lookup import entries_of
from popeq.runs.folder import Run
from popeq.verifying import verify
from tests.attacks.world import PROTOCOL, World
from tests.conftest import write_small_dataset
from tests.forger import Forger


def added(world: World, **more: object) -> Path:
    return world.forger.run(world.board, **more)


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        ({"name": "prior", "seed": 7}, "is a method of the maintainers"),
        ({"name": "hers", "seed": 7}, "is a method of Alice <alice@example.org>"),
        ({"name": "knn"}, "is that of 20250101T000000Z-knn-0, which is there already"),
        ({"name": "mine", "card": None}, "board.json does not list the run"),
        ({"name": "mine", "origin": "submitted", "key": "0" * 64}, "is not the SHA-256"),
    ],
)
def test_verify_and_boards_refuse_what_takes_from_others(world, attack, says):
    run = added(world, **attack)
    found = verify([world.board], world.dataset)
    said = [note for note in found.notes if note.startswith(run.name)]
    assert not found.ok
    assert len(said) == 1
    assert re.search(says, said[0])
    assert set(found.table.loc[found.table["run"] != run.name, "verified"]) == {"yes"}
    if "SHA" not in says:
        with pytest.raises(UsageError, match=says):
            entries_of([world.board], world.dataset)


def test_submit_refuses_what_takes_from_others(world, tmp_path):
    own = Forger(world.dataset, PROTOCOL)
    for name, seed, protocol, says in (
        ("prior", 7, PROTOCOL, "is a method of the maintainers"),
        ("hers", 7, PROTOCOL, "is a method of Alice"),
        ("knn", 0, PROTOCOL, "is that of 20250101T000000Z-knn-0"),
        ("mine", 0, PROTOCOL.model_copy(update={"n_samples": 5}), "is not custom protocol"),
    ):
        forger = Forger(world.dataset, protocol)
        run = forger.run(tmp_path / "runs", name, seed=seed)
        with pytest.raises(UsageError, match=says):
            publish(Run.open(run), world.dataset, None, world.board.parent)
    other = read_dataset(write_small_dataset(tmp_path / "data", seed=4, prompts=16))
    run = Forger(other, PROTOCOL).run(tmp_path / "runs", "mine")
    with pytest.raises(UsageError, match=r"board\.json: is of revision"):
        publish(Run.open(run), other, None, world.board.parent)
    run = own.run(tmp_path / "runs", "mine", seed=1)
    seen, target = publish(Run.open(run), world.dataset, None, world.board.parent)
    assert seen.trust == "scored"
    assert verify([world.board], world.dataset).ok
    assert target.is_dir()


def test_links_devices_and_pipes_are_refused_before_they_are_read(world):
    """A read of any of them would not end, or would lead elsewhere."""
    for number, (file, make) in enumerate(
        (
            ("card.json", lambda path: path.symlink_to("/dev/zero")),
            ("card.json", os.mkfifo),
            ("predictions.csv", os.mkfifo),
            ("run.json", os.mkfifo),
            ("run.json", lambda path: path.symlink_to("/dev/zero")),
        )
    ):
        run = added(world, name=f"mine-{number}")
        (run / file).unlink()
        make(run / file)
        with pytest.raises(PopeqError, match=f"{file}: is "):
            Run.open(run)
        found = verify([world.board], world.dataset)
        assert not found.ok
        assert any(file in note for note in found.notes)
        shutil.rmtree(run)
    assert verify([world.board], world.dataset).ok


def test_labels_are_the_boards(world):
    entries = {e.label: e.trust for e in entries_of([world.board], world.dataset)[1]}
    assert entries == {"knn": "drawn", "prior": "drawn", "flat": "drawn", "hers": "scored"}
    board = read_board(world.board)
    assert board.signed
    for sent in (world.published("hers-0"), world.published("knn-0")):
        shutil.copytree(sent, world.clone / "alone" / sent.name)
    alone = {e.label: e.trust for e in entries_of([world.clone / "alone"], world.dataset)[1]}
    assert alone == {"knn": "scored", "hers": "scored"}, "nothing in a run gives a label"


def test_a_bomb_that_its_own_protocol_allows_is_not_unpacked(world):
    large = PROTOCOL.model_copy(update={"n_samples": 100_000})
    run = world.forger.run(world.board, "mine", protocol=large)
    (run / "predictions.csv").write_bytes(bz2.compress(bytes(100 << 20)))
    tracemalloc.start()
    try:
        world.refused("column protocol: is not custom protocol")
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def test_a_run_is_the_same_from_inside_its_folder(world, monkeypatch):
    """Its name, and what is beside it, count for its label."""
    monkeypatch.chdir(world.published("knn-0"))
    found = verify(["."], world.dataset)
    assert found.ok, found.notes
    assert found.table["trust"].tolist() == ["drawn"]


def test_a_folder_whose_name_is_no_text_is_a_line_of_the_table(world):
    run = world.forger.run(world.board, "mine", points=world.forger.samples(3))
    run.rename(run.with_name("20260101T000000Z-\udc80mine"))
    found = verify([world.board], world.dataset)
    assert "20260101T000000Z-\\udc80mine" in list(found.table["run"])
