"""Runs of several protocols: read as they were, never on one board."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from tests.conftest import ROOT

import popeq
from popeq.board.verify import examine
from popeq.errors import UsageError
from popeq.lookup import entries_of, pair_of
from popeq.protocol import PROTOCOL_1, PROTOCOL_2, PUBLISHED
from popeq.runs.folder import Run

GOLDEN = ROOT / "tests" / "golden"
#: A run of each protocol with its headline scores of the two test prompts when it was made, dB.
RUNS = {1: ("run-v3", (2.631224, 4.535981)), 2: ("protocol-2", (2.545650, 4.473404))}


@pytest.fixture(scope="module")
def dataset():
    return popeq.load_dataset(GOLDEN / "data")


@pytest.fixture
def mixed(tmp_path):
    """A folder with a run of each protocol, and the folders' names by protocol."""
    names = {version: f"a-run-{version}" for version in RUNS}
    for version, (folder, _) in RUNS.items():
        shutil.copytree(GOLDEN / folder, tmp_path / names[version])
    return tmp_path, names


@pytest.mark.parametrize("protocol", PUBLISHED, ids=lambda p: p.label)
def test_a_run_of_each_protocol_reads_verifies_and_scores_as_it_did(protocol, dataset):
    folder, scores = RUNS[protocol.version]
    run = Run.open(GOLDEN / folder)
    assert run.record.protocol == protocol
    assert examine(run, dataset).problems == ()
    own = popeq.score(run, dataset)["reflective_kantorovich"]
    np.testing.assert_allclose(own, scores, atol=1e-6)


def test_a_board_of_runs_that_nobody_named_is_of_the_newest_protocol_and_names_the_others(mixed, dataset):
    folder, names = mixed
    board = popeq.leaderboard(dataset=dataset, runs_dir=folder)
    assert [e.record.protocol for e in board.entries] == [PROTOCOL_2]
    (note,) = [note for note in board.notes if "left out" in note]
    assert names[1] in note
    assert f"is under {PROTOCOL_1.label}, the comparison is under {PROTOCOL_2.label}" in note


def test_where_the_newer_run_is_not_complete_the_older_ones_make_the_board(mixed, dataset):
    folder, names = mixed
    newer = Run.open(folder / names[2])
    newer.update(status="failed", prompts_done=1)
    board = popeq.leaderboard(dataset=dataset, runs_dir=folder)
    assert [e.record.protocol for e in board.entries] == [PROTOCOL_1]
    assert any(names[2] in note for note in board.notes)


def test_a_mixture_that_somebody_names_is_never_compared_and_its_order_does_not_count(mixed, dataset):
    folder, names = mixed
    both = [folder / name for name in names.values()]
    for named in ([folder], both, both[::-1]):
        board = popeq.leaderboard(named, dataset)
        assert [e.record.protocol for e in board.entries] == [PROTOCOL_2]
        assert any(names[1] in note and "left out" in note for note in board.notes)
    scorer, entries, _ = entries_of([folder], dataset, protocol=PROTOCOL_1)
    assert [scorer.protocol, *(e.record.protocol for e in entries)] == [PROTOCOL_1, PROTOCOL_1]
    with pytest.raises(UsageError, match=r"is under protocol .*, so it cannot be compared"):
        popeq.compare(*both, dataset)


def test_no_run_chooses_a_protocol_that_is_not_published(mixed, dataset):
    folder, names = mixed
    for version, samples in ((1, 50), (2, 60)):
        run = Run.open(folder / names[version])
        run.update(protocol=run.record.protocol.model_copy(update={"n_samples": samples}))
    with pytest.raises(UsageError, match="are under several protocols"):
        popeq.leaderboard([folder], dataset)


def test_a_predictor_that_is_named_is_compared_by_its_runs_of_the_newest_protocol(mixed, dataset):
    folder, _ = mixed
    popeq.run("prior", dataset, runs_dir=folder)
    _, *sides = pair_of("random", "prior", dataset, folder)
    assert [run.record.protocol for side in sides for run in side.runs] == [PROTOCOL_2, PROTOCOL_2]
