"""Run folders of every schema version, as old popeqs wrote them: read, verified, scored, on one board."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from tests.conftest import ROOT

import popeq
from popeq.board.verify import examine
from popeq.errors import RunError
from popeq.runs.folder import Run
from popeq.runs.record import SCHEMA_VERSION

GOLDEN = ROOT / "tests" / "golden"
FOLDERS = [GOLDEN / f"run-v{version}" for version in range(1, SCHEMA_VERSION + 1)]
#: Headline scores of the two test prompts when the folders were made, dB: what a score means is a promise.
SCORES = {1: (1.474198, 4.946619), 2: (2.073414, 2.797042), 3: (2.631224, 4.535981)}
SCORES[4] = (2.682504, 4.416337)


@pytest.fixture(scope="module")
def dataset():
    return popeq.load_dataset(GOLDEN / "data")


def test_there_is_a_folder_for_every_schema_version():
    assert sorted(GOLDEN.glob("run-v*")) == FOLDERS
    for version, folder in enumerate(FOLDERS, 1):
        assert json.loads((folder / "run.json").read_text())["schema_version"] == version


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_an_old_run_reads_verifies_and_scores_as_it_did(folder, dataset):
    run = Run.open(folder)
    assert run.record.schema_version == SCHEMA_VERSION
    assert run.record.origin == "drawn"
    assert examine(run, dataset).problems == ()
    scores = popeq.score(run, dataset)["reflective_kantorovich"]
    np.testing.assert_allclose(scores, SCORES[int(folder.name.removeprefix("run-v"))], atol=1e-6)


def test_old_runs_are_on_one_board(dataset):
    board = popeq.leaderboard(FOLDERS, dataset)
    ranked = board.table[board.table["rank"] > 0]
    assert sorted(ranked["predictor"]) == ["icl-zero", "prior", "random", "static-preset"]
    assert set(ranked["trust"]) == {"scored"}


def test_a_run_of_a_newer_popeq_is_refused_in_one_line_and_left_out_of_boards(tmp_path, dataset):
    for folder in FOLDERS:
        shutil.copytree(folder, tmp_path / folder.name)
    newer = tmp_path / FOLDERS[-1].name
    raw = json.loads((newer / "run.json").read_text())
    (newer / "run.json").write_text(json.dumps(raw | {"schema_version": SCHEMA_VERSION + 1, "new": {}}))
    with pytest.raises(RunError) as caught:
        Run.open(newer)
    line = (
        f"{newer / 'run.json'}: schema version {SCHEMA_VERSION + 1} is newer than this popeq reads "
        f"({SCHEMA_VERSION}); upgrade popeq"
    )
    assert str(caught.value) == line
    board = popeq.leaderboard(dataset=dataset, runs_dir=tmp_path)
    assert len(board.entries) == len(FOLDERS) - 1
    shown = line.replace(f"{tmp_path}/", "")
    assert f"left out: {shown}" in board.notes
