"""Ablate, transfer, ceiling and tables by category, on the committed runs' data set."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from tests.conftest import ROOT, write_small_dataset

import popeq
from popeq.board.comparison import compare_entries
from popeq.board.groupings import groups, split_board
from popeq.board.leaderboard import build
from popeq.board.scoring import Scorer
from popeq.errors import UsageError
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.protocol import PROTOCOL_1
from popeq.runs.folder import find_runs
from popeq.studies.ablate import ablation, collapse, edge_study
from popeq.studies.ceiling import ceiling_study
from popeq.studies.sizes import size_study
from popeq.studies.transfer import shared_sentences, transfer_study

pytestmark = pytest.mark.usefixtures("readable_pictures")


@pytest.fixture(scope="module")
def made():
    """One run of each: seed 0 of the committed ones."""
    runs = find_runs(ROOT / "leaderboard" / "results" / "simulated-120")[0]
    wanted = [r for r in runs if r.record.predictor.name in ("prior", "static-flat") and r.record.seed == 0]
    scorer, entries, _ = entries_of(wanted)
    return scorer, sorted(entries, key=lambda e: e.label)


def test_ablation_scores_the_collapsed_samples(made, tmp_path):
    scorer, (prior, flat) = made
    study = ablation([prior, flat], scorer)
    assert list(study.table["predictor"]) == ["prior"]
    assert any("static-flat" in note for note in study.notes)
    points = scorer.score(collapse(prior.runs[0].samples(scorer.prompt_ids), "mean"))
    assert study.table["mean_mean"][0] == pytest.approx(np.mean(points.scores(HEADLINE)))
    assert study.table["mean_shift"][0] < -0.5
    for name in ("one.svg", "two.svg"):
        study.picture(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_sizes_compare_each_method_with_its_smallest_model(made, tmp_path):
    scorer, (prior, flat) = made

    def sized(entry, name, parameters):
        described = {"model": f"model-{parameters}", "parameters": parameters}
        predictor = entry.record.predictor.model_copy(update={"name": name, "described": described})
        (run,) = entry.runs[:1]
        run = dataclasses.replace(run, record=run.record.model_copy(update={"predictor": predictor}))
        return dataclasses.replace(entry, label=f"{name} ({parameters})", runs=(run,))

    small, large = sized(flat, "icl", 1_000_000), sized(prior, "icl", 2_000_000)
    study = size_study([large, sized(prior, "other", 5), small, prior], scorer)
    assert study.table["model"].tolist() == ["model-1000000 (1M)", "model-2000000 (2M)", "model-5 (5)"]
    assert study.table["mean"].tolist() == pytest.approx([flat.mean, prior.mean, prior.mean])
    assert study.table["shift"].tolist() == pytest.approx(
        [np.nan, prior.mean - flat.mean, np.nan], nan_ok=True
    )
    metrics = compare_entries(prior, flat, scorer).metrics.set_index("metric").loc[HEADLINE]
    assert study.table["p_value"][1] == pytest.approx(metrics["p_value"])
    for name in ("one.svg", "two.svg"):
        study.picture(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    drawn = (tmp_path / "one.svg").read_text()
    assert "training responses" in drawn
    assert "prior" in drawn
    asked = large.record.predictor.model_copy(update={"parameters": {"k": 2}})
    run = dataclasses.replace(large.runs[0], record=large.record.model_copy(update={"predictor": asked}))
    others = size_study([dataclasses.replace(large, runs=(run,)), small], scorer).table
    assert others["predictor"].tolist() == ["icl", "icl (k=2)"]
    assert others["shift"].isna().all()
    by = size_study([large, small], scorer, by="category").table
    assert set(by["category"]) == {group.name for group in groups(scorer, "category")}
    with pytest.raises(UsageError, match="no row has a model"):
        size_study([prior, flat], scorer)


def test_transfer_scores_against_the_other_panel(made):
    scorer, entries = made
    other = popeq.load_dataset("simulated-120-b")
    study = transfer_study(entries, scorer, other)
    row = study.table.set_index("predictor").loc["prior"]
    samples = entries[0].runs[0].samples(scorer.prompt_ids)
    there = [Scorer(other, scorer.protocol).score(samples).scores(HEADLINE)]
    assert row["there_mean"] == pytest.approx(np.mean(there[0]))
    assert row["prompts"] == 30


def test_every_number_there_is_that_of_a_scorer_of_the_other_data_set(made):
    """The diagnostics too: they compare the samples with the listeners that they are scored against."""
    scorer, entries = made
    other = popeq.load_dataset("simulated-120-b")
    samples = entries[0].runs[0].samples(scorer.prompt_ids)
    shared = shared_sentences(scorer, other)
    assert shared.keep == tuple(range(30))
    found, expected = (s.score(samples).frame for s in (shared.there, Scorer(other, scorer.protocol)))
    pd.testing.assert_frame_equal(found, expected, check_exact=True)
    here = shared.here.score(samples).frame
    assert not np.allclose(here["spread_ratio"], expected["spread_ratio"])
    part = shared.only([3, 7]).there.score(samples[[3, 7]]).frame
    pd.testing.assert_frame_equal(part, expected.iloc[[3, 7]].reset_index(drop=True), check_exact=True)


def test_a_scorer_cannot_be_changed(made):
    scorer, _ = made
    with pytest.raises(dataclasses.FrozenInstanceError):
        scorer.dataset = popeq.load_dataset("simulated-120-b")
    with pytest.raises(ValueError, match="at least one prompt"):
        scorer.only([])


def test_categories_rank_their_own_prompts_and_say_when_they_cannot_tell(made):
    scorer, entries = made
    split = split_board(build(entries, scorer, lines=[]), scorer, "category")
    sizes = {g.name: len(g.keep) for g in groups(scorer, "category")}
    assert sum(sizes.values()) == 30
    for name, own in split.table.groupby("category"):
        frame = entries[0].table.frame
        expected = frame.loc[frame["category"] == name, HEADLINE].mean()
        assert own.set_index("predictor").loc["prior", f"{HEADLINE}_mean"] == pytest.approx(expected)
        assert any(n.startswith(f"{name}: {sizes[name]}") and "too few" in n for n in split.notes) == (
            sizes[name] < 6
        )


def test_edges_group_the_prompts_by_their_listeners_at_an_edge(made):
    """Against listeners counted by hand, and scores taken from the entries' own tables."""
    scorer, entries = made
    study = edge_study(entries, scorer)
    at_edge = [np.mean(np.any(np.abs(t.responses) >= 5.5, axis=1)) for t in scorer.targets]
    order = np.argsort(at_edge, kind="stable")
    table = study.table.set_index(["listeners", "predictor"])
    for name, keep in (("far from the edge", order[:10]), ("between", order[10:20]), ("near", order[20:])):
        row = table.loc[(name, "prior")]
        frame = entries[0].table.frame.iloc[keep]
        assert row["edge_share"] == pytest.approx(np.mean([at_edge[i] for i in keep]))
        assert row["standard_mean"] == pytest.approx(frame["kantorovich"].mean())
        assert row["reflective_mean"] == pytest.approx(frame[HEADLINE].mean())
        assert row["prompts"] == 10
    shares = table["edge_share"].to_numpy()
    assert (np.diff(shares) >= 0).all()


def test_ceiling_falls_with_the_panel_and_stands_where_the_board_has_it(made, monkeypatch, whole_lines):
    monkeypatch.setattr("popeq.studies.ceiling.PANELS", (5, 11, 88))
    scorer, entries = made
    study = ceiling_study(scorer)
    table = study.table.set_index(["line", "how"])
    assert {line for line, _ in table.index} == {
        "perfect predictor",
        "fresh panel of 11",
        "half against half",
    }
    perfect = table.loc["perfect predictor"].iloc[0]
    assert perfect[f"{HEADLINE}_mean_low"] < perfect[f"{HEADLINE}_mean"] < perfect[f"{HEADLINE}_mean_high"]
    board = build(entries, scorer).table.set_index("predictor")
    assert perfect[f"{HEADLINE}_mean"] == board.loc["[perfect predictor]", f"{HEADLINE}_mean"]
    half = table.loc["half against half"].iloc[0]
    fresh = table.loc["fresh panel of 11"][f"{HEADLINE}_mean"]
    assert perfect[f"{HEADLINE}_mean"] < fresh.min() <= fresh.max() < half[f"{HEADLINE}_mean"]
    (note,) = [note for note in study.notes if note.startswith("A perfect predictor against panels")]
    curve = [float(word) for word in note.split(": ")[1].split(" dB")[0].split(", ")]
    assert len(curve) == 3
    assert curve == sorted(curve, reverse=True)
    assert curve[1] == pytest.approx(perfect[f"{HEADLINE}_mean"], abs=0.02), "the prompts have 11 listeners"
    assert curve[2] < 0.6 * curve[1], "88 listeners are far nearer to their population than 11"
    assert any("SIMULATED" in note for note in study.notes)


def test_ceiling_needs_two_disjoint_groups(tmp_path):
    folder = write_small_dataset(tmp_path / "few")
    lines = (folder / "responses.csv").read_text().splitlines()
    kept = [line for line in lines if ",l3," not in line and ",l4," not in line]
    (folder / "responses.csv").write_text("\n".join(kept))
    data = popeq.load_dataset(folder)
    with pytest.raises(UsageError, match="3 listeners; disjoint halves need 4"):
        ceiling_study(Scorer(data, PROTOCOL_1))
