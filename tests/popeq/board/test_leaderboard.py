"""The board recomputes, ranks, tests and refuses."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy.stats import wilcoxon
from tests.conftest import write_small_dataset
from tests.stored import store, text_of

import popeq as package
import popeq.board.leaderboard as leaderboard_module
from popeq.board.entries import Entry
from popeq.board.leaderboard import COLUMNS
from popeq.board.reference_lines import reference_lines
from popeq.board.scoring import PromptTable, Scorer
from popeq.errors import InvalidInputError, RunError, UsageError
from popeq.metrics import HEADLINE, SCORES, reflective_kantorovich
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.statistics import hodges_lehmann


@pytest.fixture(scope="module")
def board(finished):
    return package.leaderboard(runs_dir=finished.runs_dir)


def row(board, name):
    (found,) = board.table[board.table["predictor"] == name].to_dict(orient="records")
    return found


def test_the_table_has_its_columns_and_the_lines_stand_last(board):
    assert tuple(board.table.columns) == COLUMNS
    assert list(board.table["predictor"])[-2:] == ["[perfect predictor]", "[fresh panel of 11]"]
    assert board.table["rank"].isna().tolist() == [False] * 4 + [True] * 2
    medians = board.table[f"{HEADLINE}_median"].to_numpy()[:4]
    assert (np.diff(medians) >= 0).all()
    assert set(board.table["dataset"]) == {"small (simulated)"}
    assert any("SIMULATED" in note for note in board.notes)


def test_every_cell_of_a_row_can_be_had_by_hand(board, finished):
    data = package.load_dataset(finished.data)
    by_prompt = {
        name: np.array(
            [
                reflective_kantorovich(s, data.points(p))
                for p, s in zip(data.test_ids, finished.runs[name].samples(data.test_ids), strict=True)
            ]
        )
        for name in ("random", "prior", "static-flat", "static-best")
    }
    against = {n: v - by_prompt["prior"] for n, v in by_prompt.items() if n != "prior"}
    p = {n: wilcoxon(d).pvalue for n, d in against.items()}
    worst = 0.0
    for rank, name in enumerate(sorted(p, key=p.__getitem__)):
        worst = max(worst, min(1.0, (3 - rank) * p[name]))
        found = row(board, name)
        assert found["p_holm"] == pytest.approx(worst)
        assert found["shift"] == pytest.approx(hodges_lehmann(against[name]).value)
        assert found[f"{HEADLINE}_median"] == pytest.approx(np.median(by_prompt[name]))
        assert found[f"{HEADLINE}_mean"] == pytest.approx(np.mean(by_prompt[name]))
    assert np.isnan(row(board, "prior")["p_holm"])
    for name in by_prompt:
        found = row(board, name)
        for score in (HEADLINE, "kantorovich"):
            for aggregate in ("median", "mean"):
                value = found[f"{score}_{aggregate}"]
                assert found[f"{score}_{aggregate}_low"] < value < found[f"{score}_{aggregate}_high"]


def test_the_board_does_not_change_when_made_again(board, finished):
    again = package.leaderboard(runs_dir=finished.runs_dir)
    assert again.table.drop(columns="time_s").equals(board.table.drop(columns="time_s"))


def test_several_processes_make_the_same_board(finished):
    chosen = [finished.runs["random"], finished.runs["static-best"]]
    one, two = (package.leaderboard(chosen, finished.data, jobs=jobs, keep=False) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    assert one.notes == two.notes


def test_without_a_prior_run_the_prior_is_drawn_for_the_reference(finished):
    chosen = [finished.runs["random"], finished.runs["static-best"]]
    found = package.leaderboard(chosen, finished.data)
    assert found.table["p_holm"].notna().sum() == 2
    assert found.table["shift"].notna().sum() == 2


def test_seeds_of_one_predictor_share_a_row(finished):
    both = package.leaderboard([finished.runs["random"], finished.runs["random-1"]], finished.data)
    (found,) = both.table[both.table["rank"].notna()].to_dict(orient="records")
    assert found["seeds"] == "0,1"
    single = [package.score(finished.runs[n])[HEADLINE].to_numpy() for n in ("random", "random-1")]
    assert found[f"{HEADLINE}_mean"] == pytest.approx(np.mean(single))


def test_a_rows_interval_moves_prompts_and_listeners(board, finished):
    """The interval is that of the crossed bootstrap, recomputed here; without listeners it is another."""
    from popeq.seeding import generator
    from popeq.statistics import crossed_weights, score_interval

    data = package.load_dataset(finished.data)
    scorer = Scorer(data, DEFAULT_PROTOCOL)
    table = scorer.score(finished.runs["random"].samples(data.test_ids))
    draws = crossed_weights(scorer.listeners, 2000, generator("leaderboard", "bootstrap"))
    found = row(board, "random")
    printed = [found[f"{HEADLINE}_mean_low"], found[f"{HEADLINE}_mean_high"]]
    crossed = score_interval(table.scores(HEADLINE), table.influence[HEADLINE], draws, statistic=np.mean)
    alone = score_interval(table.scores(HEADLINE), None, draws, statistic=np.mean)
    assert printed == pytest.approx(crossed[1:])
    assert abs(printed[1] - alone[2]) > 0.01


def entry_of(scores, label, scorer, template):
    """An entry with made-up headline scores."""
    frame = template.frame.copy()
    frame[HEADLINE] = scores
    return Entry(label, (), PromptTable(frame, template.influence))


def test_rows_are_sorted_by_the_median_and_contradictions_are_told(finished, monkeypatch):
    """a has the lower median, b the lower mean and nearly every prompt: the board says that they disagree."""
    data = package.load_dataset(write_small_dataset(finished.data.parent / "wide", prompts=40))
    scorer = Scorer(data, DEFAULT_PROTOCOL)
    n = len(data.test_ids)
    template = scorer.score(np.zeros((n, 110, 2)))
    a = np.where(np.arange(n) < n // 2 + 1, 1.0, 4.0) + np.linspace(0, 0.1, n)
    b = np.where(np.arange(n) < n // 2 + 1, 1.2, 1.25) + np.linspace(0, 0.1, n)
    b[: n // 4] = 0.5
    entries = [entry_of(scores, name, scorer, template) for name, scores in (("b", b), ("a", a))]
    assert np.median(a) < np.median(b)
    assert np.mean(a) > np.mean(b)
    monkeypatch.setattr(Entry, "record", property(lambda _: finished.runs["random"].record))
    monkeypatch.setattr(leaderboard_module, "mixed_seeds", lambda _: [])
    found = leaderboard_module.build(
        [Entry(e.label, (finished.runs["random"],), e.table) for e in entries], scorer
    )
    assert list(found.table["predictor"])[:2] == ["a", "b"]
    assert any("sort and test disagree: a stands before b" in note for note in found.notes)


def test_skill_is_left_out_where_prior_is_not_surely_above_the_perfect_line(board):
    room = (
        row(board, "prior")[f"{HEADLINE}_median_low"]
        > row(board, "[perfect predictor]")[f"{HEADLINE}_median"]
    )
    if room:
        assert row(board, "prior")["skill"] == pytest.approx(0.0)
        assert row(board, "[perfect predictor]")["skill"] == pytest.approx(1.0)
    else:
        assert board.table["skill"].isna().all()


def test_runs_that_were_only_found_are_left_out_by_name(finished, tmp_path):
    root = tmp_path / "runs"
    shutil.copytree(finished.runs["prior"].folder, root / finished.runs["prior"].folder.name)
    other = write_small_dataset(tmp_path / "data", seed=2)
    (stranger,) = package.run("random", other, runs_dir=root)
    found = package.leaderboard(dataset=finished.data, runs_dir=root)
    assert found.table["predictor"].iloc[0] == "prior"
    assert any(note.startswith(f"left out: {stranger.folder}: is of small revision") for note in found.notes)


def test_a_broken_run_that_was_only_found_costs_itself(finished, tmp_path):
    root = shutil.copytree(finished.runs_dir, tmp_path / "runs")
    broken = root / finished.runs["random"].folder.name / "run.json"
    broken.write_text("{")
    found = package.leaderboard(runs_dir=root)
    assert len(found.table) == 3 + 2
    assert any(note.startswith(f"left out: {broken}: cannot be read") for note in found.notes)
    with pytest.raises(RunError, match="cannot be read"):
        package.leaderboard([broken.parent])


def test_seeds_that_differ_between_rows_are_told(finished):
    runs = [finished.runs[n] for n in ("random", "random-1", "prior")]
    found = package.leaderboard(runs, finished.data)
    assert any("different seeds" in note and "random: 0,1" in note for note in found.notes)


def test_runs_of_another_revision_are_refused_by_name(finished, tmp_path):
    other = write_small_dataset(tmp_path / "data", seed=2)
    (stranger,) = package.run("random", other, runs_dir=tmp_path / "runs")
    with pytest.raises(UsageError) as caught:
        package.leaderboard([finished.runs["prior"], stranger])
    assert str(stranger.folder) in str(caught.value)
    assert str(finished.runs["prior"].folder) not in str(caught.value)
    assert "revision" in str(caught.value)
    with pytest.raises(UsageError, match="revision"):
        package.compare(finished.runs["prior"], stranger)


def test_runs_of_another_protocol_are_refused_by_name(finished, tmp_path):
    protocol = DEFAULT_PROTOCOL.model_copy(update={"n_samples": 22})
    (stranger,) = package.run("random", finished.data, runs_dir=tmp_path, protocol=protocol)
    with pytest.raises(UsageError, match=f"{stranger.folder.name}: is under custom protocol"):
        package.leaderboard([finished.runs["prior"], stranger])


def test_runs_of_several_data_sets_need_a_choice(finished, tmp_path):
    other = write_small_dataset(tmp_path / "data", name="other")
    (stranger,) = package.run("random", other, runs_dir=tmp_path / "runs")
    with pytest.raises(UsageError, match=r"several data sets \(other, small\).*--dataset"):
        package.leaderboard([finished.runs_dir, tmp_path / "runs"])
    chosen = package.leaderboard([finished.runs["random"], stranger], other)
    assert set(chosen.table["dataset"]) == {"other (simulated)"}


def test_a_data_set_that_has_moved_is_found_with_its_new_folder(finished, tmp_path):
    data = shutil.copytree(finished.data, tmp_path / "old")
    (run,) = package.run("random", data, runs_dir=tmp_path / "runs")
    data.rename(tmp_path / "new")
    with pytest.raises(UsageError, match="give its folder with --dataset"):
        package.leaderboard([run])
    assert len(package.leaderboard([run], tmp_path / "new").table) == 3


def test_predictions_that_were_touched_are_refused(finished, tmp_path):
    folder = shutil.copytree(finished.runs["prior"].folder, tmp_path / "run")
    store(folder, text_of(folder).replace(",0,", ",1,", 1))
    with pytest.raises(RunError, match="SHA-256 differs"):
        package.leaderboard([folder])
    found = json.loads((folder / "run.json").read_text())
    import hashlib

    found["predictions_sha256"] = hashlib.sha256(text_of(folder).encode()).hexdigest()
    (folder / "run.json").write_text(json.dumps(found))
    with pytest.raises(InvalidInputError, match="needs the samples 0 to 659, each once"):
        package.leaderboard([folder], finished.data)


def test_score_gives_all_scores_by_prompt_and_takes_plain_arrays(finished):
    data = package.load_dataset(finished.data)
    run = finished.runs["prior"]
    frame = package.score(run)
    assert list(frame["prompt_id"]) == list(data.test_ids)
    assert frame[list(SCORES)].notna().all().all()
    again = package.score(run.samples(data.test_ids), data)
    assert frame.equals(again)
    with pytest.raises(ValueError, match=r"shape \(4, n, 2\)"):
        package.score(np.zeros((3, 5, 2)), data)


def test_compare_is_antisymmetric_and_sorted_by_difference(finished):
    forth = package.compare("random", "static-flat", runs_dir=finished.runs_dir)
    back = package.compare(finished.runs["static-flat"].folder, finished.runs["random"])
    np.testing.assert_allclose(forth.metrics["shift"], -back.metrics["shift"])
    np.testing.assert_allclose(forth.metrics["p_value"], back.metrics["p_value"])
    np.testing.assert_array_equal(forth.metrics["a_better"], back.metrics["b_better"])
    assert (np.diff(forth.prompts["difference"].abs()) <= 0).all()
    assert forth.prompts["text"].iloc[0].startswith("make it sound")


def test_compare_takes_two_seeds_of_one_predictor_and_refuses_one_run_twice(finished):
    seeds = package.compare(finished.runs["random"], finished.runs["random-1"])
    assert len(seeds.prompts) == 4
    both = package.compare("random", "prior", finished.data, runs_dir=finished.runs_dir)
    assert len(both.prompts) == 4
    with pytest.raises(UsageError, match="two different runs"):
        package.compare("prior", "prior", runs_dir=finished.runs_dir)
    with pytest.raises(UsageError, match="did you mean 'prior'"):
        package.compare("pryor", "random", runs_dir=finished.runs_dir)


def test_reference_lines_come_near_the_truth_of_a_known_population(tmp_path, whole_lines):
    """Draw fresh panels and large samples of the very population: the lines must foretell their scores."""
    rng = np.random.default_rng(0)
    centres, n_prompts = rng.normal(0, 2, (24, 2)), 24

    def population(p, n):
        return np.clip(centres[p] + rng.normal(0, 2.3, (n, 2)), -6, 6)

    folder = write_small_dataset(tmp_path / "known")
    prompts, responses = ["prompt_id,text,category,split"], ["prompt_id,listener_id,x_db,y_db"]
    for p in range(n_prompts + 1):
        prompts.append(f"p{p:02d},text {p},known,{'test' if p < n_prompts else 'train'}")
        own = population(p % n_prompts, 11)
        responses += [f"p{p:02d},l{j},{x!r},{y!r}" for j, (x, y) in enumerate(own.tolist())]
    (folder / "prompts.csv").write_text("\n".join(prompts))
    (folder / "responses.csv").write_text("\n".join(responses))
    data = package.load_dataset(folder)
    scorer = Scorer(data, DEFAULT_PROTOCOL)
    lines = {line.name: line for line in reference_lines(scorer)}
    for name, size in (("perfect predictor", DEFAULT_PROTOCOL.n_samples), ("fresh panel of 11", 11)):
        for score in (HEADLINE, "kantorovich"):
            truth = [
                t.score(population(p, size)).values[score]
                for p, t in enumerate(scorer.targets)
                for _ in range(3)
            ]
            estimate = float(np.mean(lines[name].scores[score]))
            assert estimate == pytest.approx(np.mean(truth), rel=0.1), (name, score)


def test_too_few_listeners_give_no_reference_lines(finished, tmp_path):
    folder = shutil.copytree(finished.data, tmp_path / "few")
    lines = (folder / "responses.csv").read_text().splitlines()
    (folder / "responses.csv").write_text("\n".join(x for x in lines if ",l3," not in x and ",l4," not in x))
    (run,) = package.run("random", folder, runs_dir=tmp_path / "runs")
    found = package.leaderboard([run])
    assert len(found.table) == 1
    assert any("No reference lines" in note for note in found.notes)


def test_a_row_that_knows_the_answers_is_called_suspicious(finished, tmp_path):
    """A run whose predictions are the listeners' own points: below what even the population scores."""
    import hashlib

    data = package.load_dataset(finished.data)
    folder = shutil.copytree(finished.runs["prior"].folder, tmp_path / "leak")
    rows = ["prompt_id,sample,x_db,y_db"]
    for p in data.test_ids:
        own = data.points(p)
        rows += [
            f"{p},{i},{own[i % 5, 0]!r},{own[i % 5, 1]!r}".replace("np.float64(", "").replace(")", "")
            for i in range(DEFAULT_PROTOCOL.n_samples)
        ]
    text = "\n".join(rows) + "\n"
    store(folder, text)
    found = json.loads((folder / "run.json").read_text())
    found["predictions_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "run.json").write_text(json.dumps(found))
    board = package.leaderboard([folder], finished.data)
    assert any(note.startswith("suspicious: prior") for note in board.notes)


def test_every_format_of_the_command_tells_the_same(finished, popeq):
    def show(form):
        shown = popeq("leaderboard", "show", finished.runs_dir, "--format", form, env={"COLUMNS": "120"})
        assert shown.returncode == 0, shown.stderr
        return shown

    as_json = json.loads(show("json").stdout)
    as_csv = show("csv")
    rows = list(csv.DictReader(io.StringIO(as_csv.stdout)))
    as_markdown = show("markdown").stdout.splitlines()
    as_text = show("text").stdout
    assert tuple(as_json["rows"][0]) == tuple(rows[0]) == COLUMNS
    assert tuple(c.strip() for c in as_markdown[0].strip("|").split("|")) == COLUMNS
    for a, b in zip(as_json["rows"], rows, strict=True):
        assert a["predictor"] == b["predictor"]
        assert a[f"{HEADLINE}_median"] == float(b[f"{HEADLINE}_median"])
        assert f"{a[f'{HEADLINE}_median']:.2f}" in as_text
    table = as_text.split("small (simulated) 1, revision")[0]
    assert max(map(len, table.splitlines())) <= 120
    assert all(note in as_text and note in as_csv.stderr for note in as_json["notes"])
