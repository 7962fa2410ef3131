"""Ablate, transfer, ceiling and tables by category, on the committed runs' data set."""

from __future__ import annotations

import numpy as np
import pytest
from tests.conftest import ROOT

import popeq
from popeq.board.categories import groups, split_board
from popeq.board.leaderboard import build
from popeq.board.scoring import Scorer
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.studies.ablate import ablate, collapse
from popeq.studies.transfer import transfer


@pytest.fixture(scope="module")
def made():
    folders = sorted((ROOT / "leaderboard/results/simulated-120").glob("*-prior-*"))
    folders += sorted((ROOT / "leaderboard/results/simulated-120").glob("*-static-flat-*"))
    scorer, entries, _ = entries_of(folders)
    return scorer, sorted(entries, key=lambda e: e.label)


def test_ablation_scores_the_collapsed_samples(made, tmp_path):
    scorer, (prior, flat) = made
    study = ablate([prior, flat], scorer)
    assert list(study.table["predictor"]) == ["prior"]
    assert any("static-flat" in note for note in study.notes)
    points = scorer.score(collapse(prior.runs[0].samples(scorer.prompt_ids), "mean"))
    assert study.table["mean_median"][0] == pytest.approx(np.median(points.scores(HEADLINE)))
    assert study.table["mean_shift"][0] < -0.5
    for name in ("one.svg", "two.svg"):
        study.picture(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_transfer_scores_against_the_other_panel(made):
    scorer, entries = made
    other = popeq.load_dataset("simulated-120-b")
    study = transfer(entries, scorer, other)
    row = study.table.set_index("predictor").loc["prior"]
    samples = entries[0].runs[0].samples(scorer.prompt_ids)
    there = [Scorer(other, scorer.protocol).score(samples).scores(HEADLINE)]
    assert row["there_median"] == pytest.approx(np.median(there[0]))
    assert row["prompts"] == 30


def test_categories_rank_their_own_prompts_and_say_when_they_cannot_tell(made):
    scorer, entries = made
    split = split_board(build(entries, scorer, lines=[]), scorer)
    sizes = {g.name: len(g.keep) for g in groups(scorer)}
    assert sum(sizes.values()) == 30
    for name, own in split.table.groupby("category"):
        frame = entries[0].table.frame
        expected = frame.loc[frame["category"] == name, HEADLINE].median()
        assert own.set_index("predictor").loc["prior", f"{HEADLINE}_median"] == pytest.approx(expected)
        assert any(n.startswith(f"{name}: {sizes[name]}") and "too few" in n for n in split.notes) == (
            sizes[name] < 6
        )
