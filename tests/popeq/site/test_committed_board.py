"""The committed board is what the committed runs give, and the runs verify."""

from __future__ import annotations

import pytest
from tests.bench import claims
from tests.conftest import ROOT
from tests.popeq.board.test_glance import agree

import popeq
from popeq.board.glance import WIDTH, glance
from popeq.board.leaderboard import build
from popeq.board.markdown import markdown, marks
from popeq.board.signed import read_board
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.runs.folder import Run
from popeq.runs.packed import PACKED

RESULTS = ROOT / "leaderboard" / "results"
DATASETS = sorted(p.name for p in RESULTS.iterdir() if p.is_dir())


@pytest.fixture(scope="module")
def scored():
    """Scorer, entries and notes of each committed board, by data set."""
    return {name: entries_of([RESULTS / name]) for name in DATASETS}


@pytest.mark.parametrize("name", DATASETS)
def test_the_readme_shows_what_the_runs_give(name, scored, whole_lines):
    scorer, entries, notes = scored[name]
    board = build(entries, scorer, notes)
    begin, end = marks(name)
    text = (ROOT / "leaderboard" / "README.md").read_text(encoding="utf-8")
    committed = text.split(begin)[1].split(end)[0].strip("\n")
    assert committed == markdown(board), "run 'make board' and commit leaderboard/README.md"
    assert not any("suspicious" in note or "left out" in note for note in board.notes)
    block = glance(board, scorer)
    assert agree(block, board.table) == len(entries)
    assert len(block.split("\n")) <= len(entries) + 12
    assert max(map(len, block.split("\n"))) <= WIDTH


@pytest.mark.parametrize("name", DATASETS)
def test_every_committed_run_is_whole_and_was_drawn_here(name):
    """Identity and files; the board above reads the predictions, which checks their hashes and owners."""
    signed = read_board(RESULTS / name)
    assert signed.dataset is not None
    assert signed.dataset.name == name
    assert all(entry.drawn for entry in signed.runs.values())
    assert {e.run_id for e in signed.runs.values()} == {
        p.parent.name for p in (RESULTS / name).glob("*/run.json")
    }
    for folder in sorted(p.parent for p in (RESULTS / name).glob("*/run.json")):
        run = Run.open(folder)
        assert run.record.status == "complete", folder
        assert run.record.origin == "drawn", folder
        assert run.record.key == run.record.expected_key, folder
        kept = {
            p.name for p in folder.iterdir() if not p.name.startswith(("state-", "log-"))
        }  # not committed
        assert kept <= {"run.json", PACKED, "explanations.jsonl"}


def test_the_page_of_claims_shows_what_the_runs_give(scored):
    page = (ROOT / "docs" / "claims.md").read_text(encoding="utf-8")
    boards = [scored[name][:2] for name in ("simulated-1200", "simulated-120")]
    assert page == claims.inserted(page, boards), (
        "run python -m tests.bench.claims with --into docs/claims.md"
    )
    people = [row for claim in claims.CLAIMS for row in claims.shown(page, claim) if row[0] == "safe-lab"]
    assert people, "lines of real listeners stay, though no run of theirs is committed"
    (line,) = (
        line
        for line in claims.lines(claims.CLAIMS[2], boards[:1])
        if line.a.label == "head-mixture" and line.b.label == "prior"
    )
    folder = RESULTS / "simulated-1200"
    metrics = popeq.compare(folder / "head-mixture", folder / "prior").metrics.set_index("metric")
    assert line.shift.value == pytest.approx(metrics.loc[HEADLINE, "shift"])
    assert line.shift.p_value == pytest.approx(metrics.loc[HEADLINE, "p_value"])


def test_no_listening_data_is_committed_for_sets_that_may_not_be_shared():
    assert all(name.startswith("simulated-") for name in DATASETS)
