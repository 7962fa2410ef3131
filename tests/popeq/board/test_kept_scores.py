"""Scores are kept by content: found again for the same bytes and code, never for others, never needed."""

from __future__ import annotations

import shutil

import numpy as np
import pandas as pd
import pytest
from tests.conftest import store_text, stored_text

import popeq as package
from popeq.board import kept_scores, reference_lines, split_half
from popeq.board.scoring import NUMBERS, Scorer
from popeq.errors import RunError
from popeq.protocol import PROTOCOL_2
from popeq.remarks import Remark
from popeq.runs.packed import PACKED


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def scored(monkeypatch):
    """How many runs have been scored."""
    calls = []
    score = Scorer.score
    monkeypatch.setattr(Scorer, "score", lambda *given: calls.append(1) or score(*given))
    return calls


def same(one, other):
    pd.testing.assert_frame_equal(one.table, other.table, check_exact=True)
    for a, b in zip(one.entries, other.entries, strict=True):
        pd.testing.assert_frame_equal(a.table.frame, b.table.frame, check_exact=True)
        for name, values in a.table.influence.items():
            assert all(np.array_equal(x, y) for x, y in zip(values, b.table.influence[name], strict=True))
    assert one.notes == other.notes


def test_a_second_board_scores_nothing_and_is_the_same(finished, scored):
    first = package.leaderboard(runs_dir=finished.runs_dir)
    assert len(scored) == 4
    same(package.leaderboard(runs_dir=finished.runs_dir), first)
    assert len(scored) == 4
    same(package.leaderboard(runs_dir=finished.runs_dir, keep=False), first)
    assert len(scored) == 8


def test_reference_lines_are_kept(finished, scored, monkeypatch):
    calls = []
    estimated = reference_lines.estimated_line
    monkeypatch.setattr(
        reference_lines, "estimated_line", lambda *args, **more: calls.append(1) or estimated(*args, **more)
    )
    runs = list(finished.runs.values())
    first = package.leaderboard(runs)
    assert (len(calls), len(scored)) == (2, len(runs))
    second = package.leaderboard(runs)
    same(second, first)
    for a, b in zip(first.lines, second.lines, strict=True):
        assert a.influence.keys() == b.influence.keys() == a.scores.keys()
    assert (len(calls), len(scored)) == (2, len(runs))
    same(package.leaderboard(runs, keep=False), first)
    assert (len(calls), len(scored)) == (4, 2 * len(runs))
    monkeypatch.setattr(split_half, "MOST_PANELS", split_half.MOST_PANELS + 1)
    package.leaderboard(runs)
    assert len(calls) == 6, "lines of other pseudo-panels were read"


def test_flags_are_kept_with_the_scores(finished):
    scorer = Scorer(package.load_dataset(finished.data), PROTOCOL_2)
    samples = finished.runs["prior"].samples(scorer.prompt_ids)
    place = kept_scores.place_of("0" * 64, scorer)
    table = scorer.score(samples)
    scores = {name: table.scores(name) for name in NUMBERS}
    kept_scores.write(place, kept_scores.Numbers(scores, table.influence, ["has ‮seen, it", ""]))
    assert kept_scores.read(place, scorer, NUMBERS).flags == ["has ‮seen, it", ""]


def test_other_content_or_code_is_another_place(finished, monkeypatch):
    data = package.load_dataset(finished.data)
    scorer = Scorer(data, PROTOCOL_2)
    places = {kept_scores.place_of("0" * 64, scorer), kept_scores.place_of("1" * 64, scorer)}
    places.add(kept_scores.place_of("0" * 64, scorer.only([0, 1])))
    places.add(kept_scores.place_of("0" * 64, Scorer(data, PROTOCOL_2.model_copy(update={"grid_cells": 12}))))
    monkeypatch.setattr(kept_scores, "scoring_code", lambda: "changed")
    places.add(kept_scores.place_of("0" * 64, scorer))
    assert len(places) == 5


def test_a_changed_source_is_other_code(tmp_path, monkeypatch):
    (tmp_path / "metrics" / "solver").mkdir(parents=True)
    (tmp_path / "metrics" / "scores.py").write_text("a = 1\n")
    monkeypatch.setattr(kept_scores.popeq, "__file__", str(tmp_path / "__init__.py"))
    before = kept_scores.scoring_code.__wrapped__()
    assert kept_scores.scoring_code.__wrapped__() == before
    (tmp_path / "metrics" / "scores.py").write_text("a = 2\n")
    assert kept_scores.scoring_code.__wrapped__() != before
    (tmp_path / "metrics" / "scores.py").write_text("a = 1\n")
    assert kept_scores.scoring_code.__wrapped__() == before
    (tmp_path / "metrics" / "solver" / "_grid.py").write_text("a = 1\n")
    assert kept_scores.scoring_code.__wrapped__() != before
    (tmp_path / "metrics" / "solver" / "_grid.py").unlink()
    monkeypatch.setenv("POPEQ_SOLVER", "pot")
    assert kept_scores.scoring_code.__wrapped__() != before


@pytest.mark.parametrize("damage", [b"", b"not a zip file", None])
def test_damaged_files_are_computed_again(finished, scored, cache, damage):
    first = package.leaderboard(runs_dir=finished.runs_dir)
    for path in cache.rglob("*.npz"):
        path.write_bytes(path.read_bytes()[:-30] if damage is None else damage)
    same(package.leaderboard(runs_dir=finished.runs_dir), first)
    assert len(scored) == 8


def test_where_nothing_can_be_kept_the_board_is_still_made(finished, scored, cache):
    cache.write_text("a file, not a folder")
    with pytest.warns(Remark, match="nothing is kept for the next command"):
        package.leaderboard(runs_dir=finished.runs_dir)
    assert len(scored) == 4


def test_changed_predictions_are_refused_though_scores_are_kept(finished, tmp_path):
    runs = shutil.copytree(finished.runs_dir, tmp_path / "runs")
    package.leaderboard(runs_dir=runs)
    folder = next(runs.glob(f"*/{PACKED}")).parent
    store_text(folder, stored_text(folder) + "\n")
    with pytest.raises(RunError, match="SHA-256"):
        package.leaderboard(runs_dir=runs)
