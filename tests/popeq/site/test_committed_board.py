"""The committed board is what the committed runs give, and the runs verify."""

from __future__ import annotations

import pytest
from tests.conftest import ROOT

import popeq
from popeq.board.markdown import markdown, marks
from popeq.runs.folder import Run
from popeq.runs.packed import PACKED

RESULTS = ROOT / "leaderboard" / "results"
DATASETS = sorted(p.name for p in RESULTS.iterdir() if p.is_dir())


@pytest.mark.parametrize("name", DATASETS)
def test_the_readme_shows_what_the_runs_give(name, whole_lines):
    board = popeq.leaderboard([RESULTS / name])
    begin, end = marks(name)
    text = (ROOT / "leaderboard" / "README.md").read_text(encoding="utf-8")
    committed = text.split(begin)[1].split(end)[0].strip("\n")
    assert committed == markdown(board), "run 'make board' and commit leaderboard/README.md"
    assert not any("suspicious" in note or "left out" in note for note in board.notes)


@pytest.mark.parametrize("name", DATASETS)
def test_every_committed_run_is_whole_and_was_drawn_here(name):
    """Identity and files; the board above reads the predictions, which checks their hashes."""
    for folder in sorted(p.parent for p in (RESULTS / name).glob("*/run.json")):
        run = Run.open(folder)
        assert run.record.status == "complete", folder
        assert run.record.origin == "drawn", folder
        assert run.record.key == run.record.expected_key, folder
        kept = {
            p.name for p in folder.iterdir() if not p.name.startswith(("state-", "log-"))
        }  # not committed
        assert kept <= {"run.json", PACKED, "explanations.jsonl"}


def test_no_listening_data_is_committed_for_sets_that_may_not_be_shared():
    assert all(name.startswith("simulated-") for name in DATASETS)
