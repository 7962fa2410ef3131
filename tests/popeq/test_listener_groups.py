"""Groups of listeners: views by group, what a predictor is given, tables split by the listeners' group."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import popeq as api
from popeq.board.scoring import Scorer
from popeq.contract import PredictorSpec
from popeq.dataset_folder import read_dataset
from popeq.errors import UsageError
from popeq.metrics import HEADLINE, rendered_mmd
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.folder import Run
from popeq.runs.job import Job, for_predictor, labelled_for_predictor
from tests.conftest import write_small_dataset
from tests.popeq.test_groupings import with_groupings

GROUPS = {"l0": "home", "l1": "home", "l2": "lab", "l3": "lab", "l4": "lab"}
PLAIN = PredictorSpec("plain", "", "x:Y")
WANTS = replace(PLAIN, wants_groups=True)


def add_groups(folder: Path) -> Path:
    rows = [f"{who},{group}" for who, group in GROUPS.items()]
    (folder / "listeners.csv").write_text("\n".join(["listener_id,group", *rows]) + "\n")
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of ten test prompts whose listeners are in two groups, with two runs on all of them."""
    folder = tmp_path_factory.mktemp("listener-groups")
    data = add_groups(write_small_dataset(folder / "data", prompts=18))
    answers = pd.read_csv(data / "responses.csv")
    # One answer of home to p09 and none to p08: neither is enough for a table.
    gone = (answers["prompt_id"] == "p08") & answers["listener_id"].isin(["l0", "l1"])
    gone |= (answers["prompt_id"] == "p09") & (answers["listener_id"] == "l0")
    answers[~gone].to_csv(data / "responses.csv", index=False)
    api.run(["prior", "random"], data, runs_dir=folder / "runs")
    return folder


def test_a_view_is_tested_on_a_group_and_trained_on_all(made):
    data = api.load_dataset(made / "data")
    home = api.load_dataset(f"{made / 'data'}@group-home")
    assert home.name == "small@group-home"
    assert home.test_ids == tuple(f"p{i}" for i in range(10, 18))
    assert home.stages[0].train == data.stages[0].train
    assert {p.listeners for p in home.tested(home.test_ids)} == {("l0", "l1")}
    assert [p.listeners for p in home.labelled(["p00"])] == [("l0", "l1", "l2", "l3", "l4")]
    assert all(np.array_equal(p.responses, data.points(p.prompt.prompt_id)[:2]) for p in home.tested(["p12"]))
    assert Scorer(home, DEFAULT_PROTOCOL).listeners == [("l0", "l1")] * 8
    names = ("", "@group-home", "@group-lab", "@only-home", "@only-lab")
    assert len({api.load_dataset(f"{made / 'data'}{name}").revision for name in names}) == 5
    assert api.load_dataset(made / "data").revision == data.revision


def test_with_folds_all_answers_of_the_other_folds_are_trained_on(tmp_path):
    folder = add_groups(write_small_dataset(tmp_path / "data", folds=True))
    data, lab = api.load_dataset(folder), api.load_dataset(f"{folder}@group-lab")
    assert lab.stages == data.stages
    assert [len(p.responses) for p in lab.labelled(lab.stages[0].train)] == [5] * 8
    assert [len(p.responses) for p in lab.tested(lab.stages[0].test)] == [3] * 4


def test_a_view_of_a_group_alone_has_no_other_answers(made):
    home = api.load_dataset(f"{made / 'data'}@only-home")
    assert set(home.responses["listener_id"]) == {"l0", "l1"} == set(home.listeners["listener_id"])
    assert "p08" not in set(home.prompts["prompt_id"])
    assert not home.group


def test_only_a_predictor_that_wants_groups_is_told_them(made):
    home = api.load_dataset(f"{made / 'data'}@group-home")
    labelled, asked = home.labelled(["p00"]), home.unlabelled(["p10"])
    assert labelled_for_predictor(labelled, PLAIN)[0].groups is None
    assert for_predictor(asked, PLAIN)[0].group is None
    assert labelled_for_predictor(labelled, WANTS)[0].groups == tuple(GROUPS.values())
    assert labelled[0].prompt.group is None
    assert for_predictor(asked, WANTS)[0].group == "home"
    assert api.load_dataset(made / "data").unlabelled(["p10"])[0].group is None
    field = Job.model_fields["train"].annotation
    from pydantic import TypeAdapter

    adapter = TypeAdapter(field)
    again = adapter.validate_json(adapter.dump_json(labelled))
    assert again[0].groups == labelled[0].groups
    assert "groups" not in json.loads(adapter.dump_json(labelled_for_predictor(labelled, PLAIN)))[0]


def test_a_run_of_a_group_is_resumed_verified_and_ranked_like_any(made, tmp_path):
    view = f"{made / 'data'}@group-lab"
    (run,) = api.run("group-prior", view, runs_dir=tmp_path, options={"pooled_answers": 0})
    assert run.record.dataset.given == str(made / "data") + "@group-lab"
    assert (
        api.run("group-prior", view, runs_dir=tmp_path, options={"pooled_answers": 0})[0].folder == run.folder
    )
    data = api.load_dataset(made / "data")
    train = data.labelled(data.stages[0].train)
    own = {
        tuple(x)
        for p in train
        for x, who in zip(p.responses, p.listeners, strict=True)
        if GROUPS[who] == "lab"
    }
    drawn = run.samples(api.load_dataset(view).test_ids)
    assert {tuple(x) for x in drawn.reshape(-1, 2)} <= own
    assert api.verify([run], made / "data", redraw=True).ok
    assert run.record.predictor.described == {"group_responses": {"home": 12, "lab": 18}}
    table = api.leaderboard([run]).table
    assert table["prompts"].iloc[0] == 10
    assert table["dataset"].iloc[0] == "small@group-lab (simulated)"


def test_group_prior_weighs_the_group_by_its_answers(made):
    fitted = api.load_predictor("group-prior", pooled_answers=18).fit(made / "data")
    prior = fitted.predictor
    assert prior.own_share("lab") == 0.5
    assert prior.own_share("home") == pytest.approx(12 / 30)
    assert prior.own_share(None) == prior.own_share("nobody") == 0.0
    asked = [api.Prompt("a", "x", "c", group=g) for g in ("lab", None)]
    lab, everybody = fitted.sample(asked, 4000)
    own = {tuple(x) for x in prior.pools["lab"]}
    share = np.mean([tuple(x) in own for x in lab])
    assert share == pytest.approx(0.5 + 0.5 * 18 / 30, abs=0.03)
    assert np.mean([tuple(x) in own for x in everybody]) == pytest.approx(18 / 30, abs=0.03)


def test_a_board_by_group_scores_the_same_samples_against_each_group(made):
    board = api.leaderboard(runs_dir=made / "runs", by="group")
    (run,) = (Run.open(f) for f in (made / "runs").glob("*-prior-*"))
    data = api.load_dataset(made / "data")
    samples = dict(zip(data.test_ids, run.samples(data.test_ids), strict=True))
    for group, count in (("home", 8), ("lab", 10)):
        view = api.load_dataset(f"{made / 'data'}@group-{group}")
        scores = api.score(np.stack([samples[p] for p in view.test_ids]), view)[HEADLINE]
        rows = board.table[(board.table["group"] == group) & (board.table["predictor"] == "prior")]
        assert rows[f"{HEADLINE}_mean"].item() == pytest.approx(scores.mean(), abs=1e-8)
        assert rows["prompts"].item() == count
    said = "Prompts with at least 2 answers of the group: lab 10 of 10 prompts (3 listeners), home 8 of 10"
    assert any(said in note for note in board.notes)
    assert list(dict.fromkeys(board.table["group"])) == ["lab", "home"]


def test_compare_show_and_studies_take_the_group(made, popeq_inside):
    run = next((made / "runs").glob("*-prior-*"))
    shown = {}
    for words in (
        ("compare", "prior", "random", "--runs", made / "runs"),
        ("show", run),
        ("ablate", "prior", "--runs", made / "runs"),
        ("power", "prior", "random", "--runs", made / "runs"),
        ("transfer", "prior", "--runs", made / "runs", "--to", made / "data"),
    ):
        printed = popeq_inside(*words, "--by", "group", "--format", "csv")
        assert printed.returncode == 0, printed.stderr
        assert re.match("group,", printed.stdout), words
        assert re.search("^home,", printed.stdout, re.MULTILINE), words
        shown[words[0]] = printed.stdout
    whole = api.leaderboard(runs_dir=made / "runs", by="group").table.set_index(["group", "predictor"])
    expected = whole.loc[("home", "prior"), f"{HEADLINE}_mean"]
    for line in (shown["show"], shown["ablate"], shown["transfer"]):
        row = re.search("^home,.*", line, re.MULTILINE)[0].split(",")
        assert any(re.fullmatch(r"\d+\.\d+", cell) and abs(float(cell) - expected) < 0.006 for cell in row)
    few = popeq_inside("ceiling", made / "data", "--by", "group")
    assert few.returncode == 2
    assert (
        "listeners; disjoint halves need 4" in few.stderr or "has 4 answers to a tested prompt" in few.stderr
    )


def test_rendered_mmd_by_group_is_against_the_answers_of_each_group(made, popeq):
    on = [made / "runs", "--dataset", made / "data", "--by", "group", "--with", "rendered_mmd"]
    shown = json.loads(popeq("leaderboard", "show", *on, "--format", "json", check=True).stdout)
    (run,) = (Run.open(f) for f in (made / "runs").glob("*-prior-*"))
    data = api.load_dataset(made / "data")
    samples = dict(zip(data.test_ids, run.samples(data.test_ids), strict=True))
    on = ["--dataset", made / "data", "--by", "group", "--with", "rendered_mmd", "--format", "json"]
    alone = json.loads(popeq("show", run.folder, *on, check=True).stdout)
    for group in ("home", "lab"):
        view = api.load_dataset(f"{made / 'data'}@group-{group}")
        answers = [p.responses for p in view.tested(view.test_ids)]
        expected = np.mean(
            [rendered_mmd(samples[p], own) for p, own in zip(view.test_ids, answers, strict=True)]
        )
        rows = [row for row in shown["rows"] if row["group"] == group]
        assert all(row["rendered_mmd_mean"] is not None for row in rows if row["predictor"] == "prior")
        (row,) = (row for row in rows if row["predictor"] == "prior")
        assert row["rendered_mmd_mean"] == pytest.approx(expected, abs=1e-6)
        (row,) = (row for row in alone["rows"] if row["group"] == group)
        assert row["rendered_mmd_mean"] == pytest.approx(expected, abs=1e-6)


def test_a_grouping_of_the_prompts_named_group_is_not_the_listeners(tmp_path):
    folder = add_groups(with_groupings(tmp_path / "data", group=["p", "q"] * 4))
    (run,) = api.run("prior", folder, runs_dir=tmp_path / "runs")
    prompts = api.leaderboard([run], by="group")
    assert set(prompts.table["group"]) == {"p", "q"}
    note = "group is a column of this data set's prompts; listeners.group splits by listeners."
    assert note in prompts.notes
    listeners = api.leaderboard([run], by="listeners.group")
    assert set(listeners.table["listeners.group"]) == {"home", "lab"}
    assert note not in listeners.notes


def test_what_cannot_be_split_is_one_line_that_says_what_to_do(made, tmp_path):
    plain = write_small_dataset(tmp_path / "plain")
    says = (
        "does not say which group its listeners are in; add listeners.csv, with the columns listener_id and "
        "group, to its folder"
    )
    for use in (
        lambda: api.ceiling(plain, by="group"),
        lambda: api.load_dataset(f"{plain}@group-home"),
        lambda: api.load_dataset(f"{plain}@only-home"),
    ):
        with pytest.raises(UsageError, match=says):
            use()
    with pytest.raises(UsageError, match=r"no listener is in group 'away'; there are home, lab$"):
        api.load_dataset(f"{made / 'data'}@group-away")
    with pytest.raises(UsageError, match="is tested on one group of listeners"):
        api.ceiling(f"{made / 'data'}@group-home", by="group")
    answers = tmp_path / "answers.csv"
    from popeq.sealing import seal

    sealed = seal(read_dataset(made / "data"), tmp_path / "sealed", answers)
    with pytest.raises(
        UsageError, match=r"answers are sealed, so the groups' are not known; give --answers$"
    ):
        api.load_dataset(f"{sealed.folder}@group-home")
    opened = api.load_dataset(f"{sealed.folder}@group-home", answers=answers)
    assert opened.test_ids == api.load_dataset(f"{made / 'data'}@group-home").test_ids


def test_a_group_gives_what_its_shift_says(tmp_path):
    """Simulated: the answers of the second group are those of the first, moved by 3 dB along the diagonal."""
    folder, rng = tmp_path / "data", np.random.default_rng(5)
    write_small_dataset(folder, prompts=20)
    answers = pd.read_csv(folder / "responses.csv")
    answers = answers[answers["listener_id"].isin(["l0", "l1"])]
    answers[["x_db", "y_db"]] = rng.normal(-1.0, 0.04, (len(answers), 2)).round(2)
    moved = answers.assign(listener_id=answers["listener_id"].map({"l0": "l2", "l1": "l3"}))
    moved[["x_db", "y_db"]] = (moved[["x_db", "y_db"]] + 3 / np.sqrt(2)).round(2)
    pd.concat([answers, moved]).to_csv(folder / "responses.csv", index=False)
    (folder / "listeners.csv").write_text("listener_id,group\nl0,one\nl1,one\nl2,two\nl3,two\n")
    means = {}
    for name in ("prior", "group-prior"):
        options = {"pooled_answers": 6} if name == "group-prior" else {}
        (run,) = api.run(name, f"{folder}@group-two", runs_dir=tmp_path / "r", options=options)
        means[name] = api.score(run)["sample_kantorovich"].mean()
    # Half of the pool lies 3 dB away; of the draws for the group the share 6 / (12 + 6) is from the pool.
    assert means["prior"] == pytest.approx(1.5, abs=0.1)
    assert means["group-prior"] == pytest.approx(0.5, abs=0.1)
    assert means["prior"] - means["group-prior"] == pytest.approx(1.0, rel=0.1)
