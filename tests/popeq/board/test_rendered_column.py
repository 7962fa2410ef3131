"""The column ``rendered_mmd``: there only where it is asked for, and everything else as it was."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import kendalltau, spearmanr

import popeq as package
from popeq.board import kept_scores
from popeq.board import rendered as column
from popeq.board.differences import mean_difference
from popeq.board.leaderboard import COLUMNS, build
from popeq.board.rendered import RENDERED_COLUMNS, with_rendered
from popeq.board.scoring import Scorer
from popeq.errors import UsageError
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE, rendered_mmd, rendered_mmd_batch
from popeq.protocol import PROTOCOL_2, PUBLISHED


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def scored(monkeypatch):
    """How many runs have been scored: by the scores of the protocol, and by ``rendered_mmd``."""
    calls = {"scores": 0, "rendered": 0}
    score, one = Scorer.score, column._score_one

    def counted(name, function):
        def call(*given):
            calls[name] += 1
            return function(*given)

        return call

    monkeypatch.setattr(Scorer, "score", counted("scores", score))
    monkeypatch.setattr(column, "_score_one", counted("rendered", one))
    return calls


def boards(finished, keep=True):
    """The board without the column, and with it."""
    scorer, entries, notes = entries_of([finished.runs_dir], finished.data, keep=keep)
    plain = build(entries, scorer, notes, keep=keep)
    return plain, build(with_rendered(entries, scorer, keep=keep), scorer, notes, keep=keep), scorer


def test_nothing_else_on_the_board_changes(finished):
    plain, also, _ = boards(finished)
    assert list(plain.table) == list(COLUMNS)
    assert set(also.table) == {*COLUMNS, *RENDERED_COLUMNS}
    pd.testing.assert_frame_equal(also.table[list(COLUMNS)], plain.table, check_exact=True)
    assert also.notes[: len(plain.notes)] == plain.notes
    for one, other in zip(plain.entries, also.entries, strict=True):
        assert np.array_equal(other.table.frame[list(one.table.frame)], one.table.frame)
        assert all(other.table.influence[name] is own for name, own in one.table.influence.items())


def test_the_column_is_the_mean_over_prompts_with_an_interval(finished):
    _, also, scorer = boards(finished)
    for entry in also.entries:
        samples = entry.runs[0].samples(scorer.prompt_ids)
        expected = rendered_mmd_batch(samples, [t.responses for t in scorer.targets])
        np.testing.assert_allclose(entry.table.scores("rendered_mmd"), expected, atol=1e-12)
    table = also.table.iloc[: len(also.entries)]
    means = [e.table.scores("rendered_mmd").mean() for e in also.entries]
    np.testing.assert_allclose(table["rendered_mmd_mean"], means)
    assert (table["rendered_mmd_mean_low"] < table["rendered_mmd_mean"]).all()
    assert (table["rendered_mmd_mean"] < table["rendered_mmd_mean_high"]).all()


def test_seeds_are_averaged(finished):
    runs = [finished.runs["random"], finished.runs["random-1"]]
    scorer, entries, _ = entries_of(runs, finished.data)
    (both,) = with_rendered(entries, scorer)
    tables = [column.rendered_table(run, scorer)["rendered_mmd"] for run in runs]
    np.testing.assert_allclose(both.table.scores("rendered_mmd"), np.mean(tables, axis=0), atol=1e-12)


def test_the_reference_line_is_of_all_training_responses(finished):
    _, also, scorer = boards(finished)
    (stage,) = scorer.dataset.stages
    pool = scorer.dataset.pooled(stage.train)
    expected = [rendered_mmd(pool, target.responses) for target in scorer.targets]
    values, influence = also.reference.values("rendered_mmd")
    np.testing.assert_allclose(values, expected, atol=1e-12)
    assert [len(own) for own in influence] == scorer.panels.sizes.tolist()
    line = also.table.set_index("predictor").loc["[training responses]"]
    assert line["rendered_mmd_mean"] == pytest.approx(np.mean(expected))


def test_two_rows_are_compared_by_the_one_inference(finished):
    _, also, scorer = boards(finished)
    a, b = (e.table for e in also.entries[:2])
    found = mean_difference(a, b, "rendered_mmd", scorer.panels)
    assert found.value == pytest.approx(np.mean(a.scores("rendered_mmd") - b.scores("rendered_mmd")))
    parts = zip(a.influence["rendered_mmd"], b.influence["rendered_mmd"], strict=True)
    assert max(np.abs(own - other).max() for own, other in parts) > 0.01, "listeners are part of its error"


def test_the_note_says_the_version_and_how_the_orders_agree(finished, monkeypatch):
    _, also, _ = boards(finished)
    means = [[e.table.scores(name).mean() for e in also.entries] for name in ("rendered_mmd", HEADLINE)]
    (note,) = [text for text in also.notes if text.startswith("rendered_mmd (version 1, not part of the")]
    rho, tau = spearmanr(*means).statistic, kendalltau(*means).statistic
    assert f"over 4 rows: Spearman {rho:.2f}, Kendall {tau:.2f}." in note
    assert "Spearman" not in column.rendered_text(also.entries[:2])
    assert not any("rendered_mmd" in protocol.model_dump_json() for protocol in PUBLISHED)


def test_it_is_kept_apart_and_computed_only_where_it_is_asked_for(finished, scored, monkeypatch):
    package.leaderboard(runs_dir=finished.runs_dir)
    assert scored == {"scores": 4, "rendered": 0}
    _, first, _ = boards(finished)
    assert scored == {"scores": 4, "rendered": 4}, "what was kept without the column is still read"
    _, second, _ = boards(finished)
    assert scored == {"scores": 4, "rendered": 4}
    pd.testing.assert_frame_equal(second.table, first.table, check_exact=True)
    assert second.notes == first.notes
    for one, other in zip(first.entries, second.entries, strict=True):
        pairs = zip(one.table.influence["rendered_mmd"], other.table.influence["rendered_mmd"], strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs)
    monkeypatch.setitem(column.SECONDARY_METRIC_VERSIONS, "rendered_mmd", 2)
    boards(finished)
    assert scored == {"scores": 4, "rendered": 8}, "another version is another score"


def test_other_curves_are_another_place(finished, monkeypatch):
    scorer = Scorer(package.load_dataset(finished.data), PROTOCOL_2)
    run = finished.runs["prior"]
    place = column._place_of(run, scorer)
    assert place == column._place_of(run, scorer)
    assert place != kept_scores.place_of(run.predictions_sha256(), scorer)
    gain = package.metrics.rendered.gain_db
    monkeypatch.setattr(
        package.metrics.rendered, "gain_db", lambda p, f, space: gain(p, f, space) * (1.0 + 1e-9)
    )
    assert place != column._place_of(run, scorer)


def test_a_prompt_with_one_listener_is_refused_in_one_line(finished, tmp_path):
    data = shutil.copytree(finished.data, tmp_path / "data")
    scorer = Scorer(package.load_dataset(data), PROTOCOL_2)
    tested = scorer.prompt_ids[0]
    rows = (data / "responses.csv").read_text(encoding="utf-8").splitlines()
    own = [row for row in rows if row.startswith(f"{tested},")]
    (data / "responses.csv").write_text("\n".join(r for r in rows if r not in own[1:]) + "\n", "utf-8")
    with pytest.raises(UsageError, match=f"prompt {tested} has one listener; rendered_mmd needs at least"):
        with_rendered([], Scorer(package.load_dataset(data), PROTOCOL_2))


def test_the_commands(finished, popeq):
    on = ["--dataset", finished.data, "--with", "rendered_mmd"]
    shown = json.loads(
        popeq("leaderboard", "show", finished.runs_dir, *on, "--format", "json", check=True).stdout
    )
    assert all(row["rendered_mmd_mean"] is not None for row in shown["rows"][:4])
    assert any(note.startswith("rendered_mmd (version 1") for note in shown["notes"])
    text = popeq("leaderboard", "show", finished.runs_dir, *on, "--by", "category", check=True).stdout
    assert f"{shown['rows'][0]['rendered_mmd_mean']:.4f}" in text, "hundredths are too coarse"
    run = finished.runs["prior"].folder
    header, first, *_ = popeq("show", run, *on, "--format", "csv", check=True).stdout.splitlines()
    assert header.split(",")[-1] == "rendered_mmd"
    assert float(first.split(",")[-1])
    split = popeq("show", run, *on, "--by", "category", "--format", "csv", check=True).stdout
    assert split.splitlines()[0].endswith("rendered_mmd_mean_high")
    refused = popeq("leaderboard", "show", finished.runs_dir, *on, "--into", "README.md")
    assert refused.returncode == 2
    assert "out, and --with" in refused.stderr
