"""Scores by whether a training prompt turns on the same word, on committed runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.bench.seen_words import main, seen, table

import popeq
from popeq.errors import UsageError

BOARD = Path(__file__).parents[2] / "leaderboard" / "results" / "simulated-120"


def runs_of(folder, *names):
    folder.mkdir()
    for name in names:
        run = sorted(BOARD.glob(f"*-{name}-????????"))[0]
        (folder / run.name).symlink_to(run)
    return folder


def test_a_word_is_seen_if_a_training_prompt_turns_on_it():
    data = popeq.load_dataset("simulated-120")
    groups = dict(zip(data.test_ids, seen(data.test_ids).tolist(), strict=True))
    assert (len(groups), sum(groups.values())) == (30, 8)
    assert groups["instrument-warm-02"]
    assert not groups["sound-dark-01"], "its family has no training prompt at all"
    assert not groups["sound-shrill-01"], "of the family of 'sharp', but another word"


def test_the_table_parts_the_prompts_and_compares_with_prior(tmp_path, capsys):
    rows = {row["predictor"]: row for row in table(runs_of(tmp_path / "runs", "prior", "knn"))}
    assert rows["prior"]["seen - prior"] == rows["prior"]["unseen - prior"] == ""
    knn = rows["knn"]
    for name, count in (("seen", 8), ("unseen", 22)):
        column = f"{name} ({count})"
        more, error = map(float, knn[f"{name} - prior"].split(" ± "))
        assert more == pytest.approx(float(knn[column]) - float(rows["prior"][column]), abs=0.011)
        assert 0 < error < 1
    whole = (8 * float(knn["seen (8)"]) + 22 * float(knn["unseen (22)"])) / 30
    run = next(iter((tmp_path / "runs").glob("*-knn-*")))
    assert whole == pytest.approx(popeq.score(run)["reflective_kantorovich"].mean(), abs=0.01)
    assert main([str(runs_of(tmp_path / "other", "knn"))]) == 2
    assert "holds no complete run of prior" in capsys.readouterr().err
    with pytest.raises(UsageError):
        table(tmp_path / "nowhere")
