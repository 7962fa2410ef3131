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
from tests.conftest import ROOT, store_text, stored_text, write_small_dataset

import popeq as package
import popeq.board.leaderboard as leaderboard_module
from popeq.board.entries import Entry
from popeq.board.groupings import boards
from popeq.board.leaderboard import COLUMNS
from popeq.board.reference_lines import reference_lines, training_responses
from popeq.board.scoring import PromptTable, Scorer
from popeq.errors import InvalidInputError, RunError, UsageError
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE, SCORES, reflective_kantorovich
from popeq.protocol import PROTOCOL_2
from popeq.runs.folder import find_runs
from popeq.statistics import Panels, mean_inference


@pytest.fixture(scope="module")
def board(finished):
    return package.leaderboard(runs_dir=finished.runs_dir)


def row(board, name):
    (found,) = board.table[board.table["predictor"] == name].to_dict(orient="records")
    return found


def test_the_table_has_its_columns_and_the_lines_are_last(board):
    assert tuple(board.table.columns) == COLUMNS
    lines = ["[training responses]", "[perfect predictor]", "[fresh panel of 11]"]
    assert list(board.table["predictor"])[-3:] == lines
    assert board.table["rank"].isna().tolist() == [False] * 4 + [True] * 3
    means = board.table[f"{HEADLINE}_mean"].to_numpy()[:4]
    assert (np.diff(means) >= 0).all()
    assert board.table[f"{HEADLINE}_median"].isna().tolist() == [False] * 4 + [True] * 3
    assert set(board.table["dataset"]) == {"small (simulated)"}
    assert any("SIMULATED" in note for note in board.notes)


@pytest.fixture(scope="module")
def committed():
    """The committed runs of seed 0, and their board."""
    runs = [r for r in find_runs(ROOT / "leaderboard/results/simulated-120")[0] if r.record.seed == 0]
    return runs, package.leaderboard(runs, jobs=2)


def test_every_cell_of_a_row_can_be_had_by_hand(committed):
    """From the predictions and the data set alone; the reference is every training response, undrawn."""
    runs, board = committed
    data = package.load_dataset("simulated-120")
    panels = Panels([p.listeners for p in data.labelled(data.test_ids)])
    pool = data.pooled(data.stages[0].train)
    reference = np.array([reflective_kantorovich(pool, data.points(p)) for p in data.test_ids])
    scorer = Scorer(data, runs[0].record.protocol)
    base = training_responses(scorer)
    np.testing.assert_allclose(base.scores[HEADLINE], reference, atol=1e-9)
    for run in [r for r in runs if r.record.predictor.name in ("random", "static-flat", "knn")]:
        found, samples = row(board, run.record.predictor.name), run.samples(data.test_ids)
        own = [reflective_kantorovich(s, data.points(p)) for s, p in zip(samples, data.test_ids, strict=True)]
        table = scorer.score(samples)
        moved = zip(table.influence[HEADLINE], base.influence[HEADLINE], strict=True)
        shift = mean_inference(own - reference, [x - y for x, y in moved], panels)
        assert found["shift"] == pytest.approx(np.mean(own) - reference.mean(), abs=1e-9)
        assert [found["shift_low"], found["shift_high"]] == pytest.approx(shift.interval(), abs=1e-7)
        assert found["p_value"] == pytest.approx(shift.p_value, rel=1e-4)
        assert found["p_wilcoxon"] == pytest.approx(wilcoxon(own - reference).pvalue)
        assert found[f"{HEADLINE}_median"] == pytest.approx(np.median(own))
        mean = mean_inference(own, table.influence[HEADLINE], panels)
        interval = [found[f"{HEADLINE}_mean_low"], found[f"{HEADLINE}_mean_high"]]
        assert interval == pytest.approx(mean.interval(), abs=1e-7)
        perfect = row(board, "[perfect predictor]")[f"{HEADLINE}_mean"]
        assert found["skill"] == pytest.approx(-found["shift"] / (reference.mean() - perfect))


def test_a_row_is_the_same_alone_and_beside_any_others(committed):
    """Shift, interval, p and skill to the last digit: the reference is not drawn and no row is another's."""
    runs, board = committed
    cells = [
        "shift",
        "shift_low",
        "shift_high",
        "p_value",
        "effect_size",
        "skill",
        "least_shift",
        "p_wilcoxon",
    ]
    cells += [f"{HEADLINE}_mean", f"{HEADLINE}_mean_low", f"{HEADLINE}_mean_high"]
    for name in ("head-mixture", "knn", "prior"):
        (own,) = [r for r in runs if r.record.predictor.name == name]
        alone = package.leaderboard([own])
        assert [row(alone, name)[c] for c in cells] == [row(board, name)[c] for c in cells]
        assert alone.table["rank"].iloc[0] == alone.table["rank_worst"].iloc[0] == 1


def agreement(board):
    """What contradicts itself on a board, in words; empty if nothing does."""
    wrong, table = [], board.table[board.table["rank"].notna()]
    for cells in table.to_dict(orient="records"):
        shift, low, high = (cells[f"shift{end}"] for end in ("", "_low", "_high"))
        if not low <= shift <= high:
            wrong.append(f"{cells['predictor']}: interval")
        if (cells["p_value"] < 0.05) != (low > 0 or high < 0):
            wrong.append(f"{cells['predictor']}: p and interval")
        if np.isfinite(cells["skill"]) and shift and (cells["skill"] > 0) == (shift > 0):
            wrong.append(f"{cells['predictor']}: skill and shift")
        if not 1 <= cells["rank"] <= cells["rank_worst"] <= len(table):
            wrong.append(f"{cells['predictor']}: rank")
    pairs = board.pairs
    means = table[f"{HEADLINE}_mean"].to_numpy()
    ranks = table[["rank", "rank_worst"]].to_numpy(dtype=int)
    for i, j in zip(*np.nonzero(pairs.p < 0.05), strict=True):
        better, worse = (i, j) if pairs.shift[i, j] < 0 else (j, i)
        if means[better] > means[worse] or ranks[better, 1] >= len(table) or ranks[worse, 0] <= 1:
            wrong.append(f"{pairs.labels[better]} and {pairs.labels[worse]}: rank and test")
    return wrong


def test_no_row_of_a_board_contradicts_itself(committed):
    _runs, board = committed
    assert agreement(board) == []
    for results in (ROOT / "leaderboard" / "results").glob("*/"):
        scorer, entries, _ = entries_of([results], jobs=2)
        whole = leaderboard_module.build(entries, scorer, jobs=2)
        assert agreement(whole) == []
        for part in boards(whole, scorer, "category").values():
            assert agreement(part) == []


def test_the_board_does_not_change_when_made_again(board, finished):
    again = package.leaderboard(runs_dir=finished.runs_dir)
    assert again.table.drop(columns="time_s").equals(board.table.drop(columns="time_s"))


def test_several_processes_make_the_same_board(finished):
    chosen = [finished.runs["random"], finished.runs["static-best"]]
    one, two = (package.leaderboard(chosen, finished.data, jobs=jobs, keep=False) for jobs in (1, 2))
    pd.testing.assert_frame_equal(one.table, two.table, check_exact=True)
    assert one.notes == two.notes


def test_seeds_of_one_predictor_share_a_row(finished):
    both = package.leaderboard([finished.runs["random"], finished.runs["random-1"]], finished.data)
    (found,) = both.table[both.table["rank"].notna()].to_dict(orient="records")
    assert found["seeds"] == "0,1"
    single = [package.score(finished.runs[n])[HEADLINE].to_numpy() for n in ("random", "random-1")]
    assert found[f"{HEADLINE}_mean"] == pytest.approx(np.mean(single))


def test_the_interval_moves_prompts_and_listeners(committed):
    """Without the listeners' influence it is narrower."""
    runs, board = committed
    (run,) = [r for r in runs if r.record.predictor.name == "static-flat"]
    data = package.load_dataset("simulated-120")
    table = Scorer(data, run.record.protocol).score(run.samples(data.test_ids))
    panels = Panels([p.listeners for p in data.labelled(data.test_ids)])
    alone = mean_inference(table.scores(HEADLINE), None, panels).interval()
    found = row(board, "static-flat")
    assert found[f"{HEADLINE}_mean_high"] > alone[1] + 0.01


def entry_of(scores, label, template, run):
    """An entry with made-up headline scores."""
    frame = template.frame.copy()
    frame[HEADLINE] = scores
    return Entry(label, (run,), PromptTable(frame, template.influence))


def test_rows_are_sorted_by_the_mean_that_is_tested(finished, tmp_path):
    """a has the lower median, b the lower mean and nearly every prompt: b comes first."""
    data = package.load_dataset(write_small_dataset(tmp_path / "wide", prompts=40))
    scorer = Scorer(data, PROTOCOL_2)
    n = len(data.test_ids)
    template = scorer.score(np.zeros((n, 11, 2)))
    a = np.where(np.arange(n) < n // 2 + 1, 1.0, 4.0) + np.linspace(0, 0.1, n)
    b = np.where(np.arange(n) < n // 2 + 1, 1.2, 1.25) + np.linspace(0, 0.1, n)
    assert np.median(a) < np.median(b)
    entries = [entry_of(s, name, template, finished.runs["random"]) for name, s in (("b", b), ("a", a))]
    found = leaderboard_module.build(entries, scorer, lines=[])
    assert list(found.table["predictor"])[:2] == ["b", "a"]
    assert agreement(found) == []


def test_four_prompts_are_too_few_to_tell(board):
    rows = board.table[board.table["rank"].notna()]
    assert rows["p_value"].isna().all()
    assert rows["rank"].tolist() == [1] * 4
    assert rows["rank_worst"].tolist() == [4] * 4
    assert board.table["skill"].isna().all()
    assert any("too few prompts to tell. Nothing is concluded" in note for note in board.notes)


def test_runs_that_were_only_found_are_left_out_by_name(finished, tmp_path):
    root = tmp_path / "runs"
    shutil.copytree(finished.runs["prior"].folder, root / finished.runs["prior"].folder.name)
    other = write_small_dataset(tmp_path / "data", seed=2)
    (other_run,) = package.run("random", other, runs_dir=root)
    found = package.leaderboard(dataset=finished.data, runs_dir=root)
    assert found.table["predictor"].iloc[0] == "prior"
    assert any(
        note.startswith(f"left out: {other_run.folder.name}: is of small revision") for note in found.notes
    )


def test_a_broken_run_that_was_only_found_costs_itself(finished, tmp_path):
    root = shutil.copytree(finished.runs_dir, tmp_path / "runs")
    broken = root / finished.runs["random"].folder.name / "run.json"
    broken.write_text("{")
    found = package.leaderboard(runs_dir=root)
    assert len(found.table) == 3 + 3
    assert any(
        note.startswith(f"left out: {broken.parent.name}/run.json: cannot be read") for note in found.notes
    )
    with pytest.raises(RunError, match="cannot be read"):
        package.leaderboard([broken.parent])


def test_seeds_that_differ_between_rows_are_named(finished):
    runs = [finished.runs[n] for n in ("random", "random-1", "prior")]
    found = package.leaderboard(runs, finished.data)
    assert any("different seeds" in note and "random: 0,1" in note for note in found.notes)


def test_runs_of_another_revision_are_left_out_by_name(finished, tmp_path):
    other = write_small_dataset(tmp_path / "data", seed=2)
    (other_run,) = package.run("random", other, runs_dir=tmp_path / "runs")
    both = [other_run, finished.runs["prior"]]
    with pytest.raises(UsageError, match=r"several revisions of 'small'; give one with --dataset"):
        package.leaderboard(both)
    found = package.leaderboard(both, finished.data)
    assert [e.label for e in found.entries] == ["prior"]
    assert any(f"left out: {other_run.folder.name}: is of small revision" in note for note in found.notes)
    with pytest.raises(UsageError, match="revision"):
        package.compare(finished.runs["prior"], other_run)


def test_runs_of_another_protocol_are_left_out_by_name(finished, tmp_path):
    protocol = PROTOCOL_2.model_copy(update={"n_samples": 22})
    (other_run,) = package.run("random", finished.data, runs_dir=tmp_path, protocol=protocol)
    found = package.leaderboard([other_run, finished.runs["prior"]])
    assert [e.label for e in found.entries] == ["prior"]
    assert any(f"{other_run.folder.name}: is under custom protocol" in note for note in found.notes)


def test_runs_of_several_data_sets_need_a_choice(finished, tmp_path):
    other = write_small_dataset(tmp_path / "data", name="other")
    (other_run,) = package.run("random", other, runs_dir=tmp_path / "runs")
    with pytest.raises(UsageError, match=r"several data sets \(other, small\).*--dataset"):
        package.leaderboard([finished.runs_dir, tmp_path / "runs"])
    chosen = package.leaderboard([finished.runs["random"], other_run], other)
    assert set(chosen.table["dataset"]) == {"other (simulated)"}


def test_a_data_set_that_has_moved_is_found_with_its_new_folder(finished, tmp_path):
    data = shutil.copytree(finished.data, tmp_path / "old")
    (run,) = package.run("random", data, runs_dir=tmp_path / "runs")
    data.rename(tmp_path / "new")
    with pytest.raises(UsageError, match="give its folder with --dataset"):
        package.leaderboard([run])
    assert len(package.leaderboard([run], tmp_path / "new").table) == 4


def test_predictions_that_were_touched_are_refused(finished, tmp_path):
    folder = shutil.copytree(finished.runs["prior"].folder, tmp_path / "run")
    text = stored_text(folder).replace(",0,", ",1,", 1)
    store_text(folder, text)
    with pytest.raises(RunError, match="SHA-256 differs"):
        package.leaderboard([folder])
    found = json.loads((folder / "run.json").read_text())
    import hashlib

    found["predictions_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "run.json").write_text(json.dumps(found))
    with pytest.raises(InvalidInputError, match=r"sample 1 of .* is already in row 2"):
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


def test_shifts_against_a_row_are_those_of_compare(finished, board, popeq):
    against = package.leaderboard(runs_dir=finished.runs_dir, against="prior")
    for name in ("random", "static-flat", "static-best"):
        head = package.compare(name, "prior", runs_dir=finished.runs_dir).metrics.set_index("metric")
        for column in ("shift", "shift_low", "shift_high", "p_value", "p_wilcoxon", "least_shift"):
            assert row(against, name)[column] == pytest.approx(head.loc[HEADLINE, column], nan_ok=True)
        for column in ("rank", "rank_worst", "skill", f"{HEADLINE}_mean"):
            assert row(against, name)[column] == pytest.approx(row(board, name)[column], nan_ok=True)
    assert np.isnan(row(against, "prior")["shift"])
    assert any(note.startswith("Shift is against prior") for note in against.notes)
    split = package.leaderboard(runs_dir=finished.runs_dir, against="prior", by="category").table
    parts = package.compare("random", "prior", runs_dir=finished.runs_dir, by="category").metrics
    group, part = split[split["predictor"] == "random"], parts[parts["metric"] == HEADLINE]
    assert group["category"].tolist() == part["category"].tolist()
    np.testing.assert_allclose(group["shift"], part["shift"])
    with pytest.raises(UsageError, match="no row has this name; name one of: "):
        package.leaderboard(runs_dir=finished.runs_dir, against="pryor")
    with pytest.raises(UsageError, match="more than one row"):
        leaderboard_module.row_of([*board.entries, *board.entries], "prior")
    refused = popeq("leaderboard", "show", "--runs", finished.runs_dir, "--against", "x", "--into", "f.md")
    assert refused.returncode == 2
    assert "leave --by and --against out" in refused.stderr


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
    """Draw fresh panels and large samples of the very population: the lines must predict their scores.

    It is one world of 24 prompts, whose own noise is 5 %; tests/bench/reference_lines.py measures the bias.
    """
    rng = np.random.default_rng(2)
    centres, n_prompts = rng.normal(0, 2, (60, 2)), 60

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
    scorer = Scorer(data, PROTOCOL_2)
    lines = {line.name: line for line in reference_lines(scorer)}
    for name, size in (("perfect predictor", PROTOCOL_2.n_samples), ("fresh panel of 11", 11)):
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
    assert len(found.table) == 2
    assert any("No estimated reference lines" in note for note in found.notes)


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
            for i in range(PROTOCOL_2.n_samples)
        ]
    text = "\n".join(rows) + "\n"
    store_text(folder, text)
    found = json.loads((folder / "run.json").read_text())
    found["predictions_sha256"] = hashlib.sha256(text.encode()).hexdigest()
    (folder / "run.json").write_text(json.dumps(found))
    board = package.leaderboard([folder], finished.data)
    assert any(note.startswith("suspicious: prior") for note in board.notes)


def test_every_format_of_the_command_says_the_same(finished, popeq):
    def show(form):
        wide = ["--wide"] if form == "text" else []
        given = [finished.runs_dir, "--format", form, *wide]
        shown = popeq("leaderboard", "show", *given, env={"COLUMNS": "120"})
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
        assert a[f"{HEADLINE}_mean"] == float(b[f"{HEADLINE}_mean"])
        assert f"{a[f'{HEADLINE}_mean']:.2f}" in as_text
    table = as_text.split("small (simulated) 1, revision")[0]
    assert max(map(len, table.splitlines())) <= 120
    assert all(note in as_text and note in as_csv.stderr for note in as_json["notes"])
