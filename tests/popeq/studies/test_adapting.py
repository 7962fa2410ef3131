"""Adaptation curves: who adapts and who is tested, the runs they are made of, and what the table says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from tests.bench import adapting as bench
from tests.conftest import write_small_dataset

import popeq
from popeq.adapted import Adaptation, adapted, sides, split_adapted, with_answers
from popeq.adapting import AdaptingSettings, adapting_plans, coincidences, common_share
from popeq.board.scoring import Scorer
from popeq.errors import UsageError
from popeq.lookup import adapted_of, installed_dataset
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.folder import find_runs
from popeq.sealing import seal
from popeq.statistics import MeanEstimate
from popeq.studies.adapting import Adapted, conclusion


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """Two data sets of five listeners each: 18 prompts of a split (10 tested), and 12 prompts in folds."""
    folder = tmp_path_factory.mktemp("pair")
    write_small_dataset(folder / "here", prompts=18)
    write_small_dataset(folder / "there", prompts=18, seed=2, name="there")
    write_small_dataset(folder / "folds", seed=3, name="folds", folds=True)
    return folder


def load(pair, name):
    return popeq.load_dataset(pair / name)


def test_nobody_adapts_and_is_tested_and_fewer_answers_are_among_more(pair):
    source, target = load(pair, "here"), load(pair, "there")
    seen = set()
    for division in range(4):
        chosen = {}
        for k in (0, 1, 2):
            data = adapted_of(source, target, Adaptation(k, division))
            (stage,) = data.stages
            own = data.labelled([p for p in stage.train if p.startswith("adapt.")])
            chosen[k] = {(p.prompt.prompt_id, who) for p in own for who in p.listeners}
            assert len(chosen[k]) == 8 * k == with_answers(data)
            tested = {who for p in data.tested(stage.test) for who in p.listeners}
            assert not tested & {who for _, who in chosen[k]}
            assert len({len(p.responses) for p in data.tested(stage.test)}) == 1
            assert stage.test == target.test_ids
            assert set(data.listener_groups) == {"source", "target"}
            assert data.unlabelled(stage.test)[0].group == "target"
            assert [p for p in stage.train if p.startswith("from.")] == [f"from.p{i:02d}" for i in range(6)]
            assert stage.validation == ("from.p06", "from.p07")
        assert chosen[1] < chosen[2]
        seen.add(frozenset(chosen[2]))
    assert len(seen) > 1, "divisions differ"


def test_people_who_answer_different_numbers_of_prompts_are_divided_anew(pair):
    there = load(pair, "there")
    asked = there.responses["prompt_id"].str[1:].astype(int)
    person = there.responses["listener_id"].str[1:].astype(int)
    target = replace(there, responses=there.responses[asked < 18 - person].reset_index(drop=True))
    tested = [
        frozenset(sides(target, Adaptation(1, division)).tested["listener_id"]) for division in range(20)
    ]
    assert len(set(tested)) > 4
    assert set.union(*map(set, tested)) == {"l0", "l1", "l2", "l3", "l4"}


def test_divisions_that_coincide_are_said(pair):
    there = load(pair, "there")
    two = there.responses[there.responses["listener_id"].isin(["l0", "l1"])]
    curve = AdaptingSettings(answers=(1,), divisions=9)
    planned = [(k, d) for k in (0, 1) for d in range(9)]
    (note,) = coincidences(replace(there, responses=two.reset_index(drop=True)), curve, planned)
    assert "Different are, by answers a prompt: 2 of 9 with 0, 2 of 9 with 1." in note
    assert coincidences(there, curve, [(1, 0)]) == []


def test_divisions_without_a_common_prompt_are_refused_before_anything_is_drawn(pair, tmp_path):
    there = load(pair, "there")
    place = there.responses["prompt_id"].str[1:].astype(int) + there.responses["listener_id"].str[1:].astype(
        int
    )
    few = replace(there, responses=there.responses[place % 5 < 3].reset_index(drop=True))
    with pytest.raises(
        UsageError, match=r"in each of the 9 divisions; give fewer --divisions, or a data set"
    ):
        popeq.adapt("prior", pair / "here", to=few, answers=(1,), divisions=9, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_with_folds_each_stage_trains_on_the_other_folds_and_on_no_source_answer_to_its_sentences(pair):
    source, target = load(pair, "here"), load(pair, "folds")
    text = dict(zip(target.prompts["prompt_id"], target.prompts["text"], strict=True))
    data = adapted_of(source, target, Adaptation(2))
    assert [s.test for s in data.stages] == [s.test for s in target.stages]
    for stage, own in zip(data.stages, target.stages, strict=True):
        assert [p for p in stage.train if p.startswith("adapt.")] == [f"adapt.{p}" for p in own.train]
        asked = {text[p] for p in own.test}
        trained = {p.prompt.text for p in data.labelled(stage.train)}
        assert not asked & trained
    everything = adapted_of(source, target, Adaptation(2, on="all"))
    for stage in everything.stages:
        assert sum(p.startswith("adapt.") for p in stage.train) == 12
        asked = {text[p] for p in stage.test}
        theirs = {p.prompt.prompt_id for p in everything.labelled(stage.train) if p.prompt.text in asked}
        assert theirs == {f"adapt.{p}" for p in stage.test}


def test_one_sentence_about_two_tracks_is_two_prompts(tmp_path):
    folder = write_small_dataset(tmp_path / "tracks", folds=True, name="tracks")
    prompts = pd.read_csv(folder / "prompts.csv", dtype=str)
    prompts.assign(text="make it warm", audio_id=prompts["prompt_id"]).to_csv(
        folder / "prompts.csv", index=False
    )
    source = popeq.load_dataset(write_small_dataset(tmp_path / "source", seed=2))
    data = adapted_of(source, popeq.load_dataset(folder), Adaptation(2))
    assert with_answers(data) == 8 * 2
    prompts.assign(text="make it warm").to_csv(folder / "prompts.csv", index=False)
    with pytest.raises(UsageError, match=r"is to a sentence that is tested; give --on all$"):
        adapted_of(source, popeq.load_dataset(folder), Adaptation(2))


def test_people_who_are_others_anyway_are_not_divided():
    target = popeq.load_dataset("simulated-1200-b")
    own = sides(target, Adaptation(11))
    assert not own.divided
    assert own.most == 11
    assert len(own.adapting) + len(own.tested) == len(target.responses)
    assert sides(target, Adaptation(2, on="all")).divided
    assert common_share(target, own, 11) == 1.0
    assert common_share(target, own, 2) == pytest.approx(2 / 11)
    source = popeq.load_dataset("simulated-1200")
    plans = adapting_plans("prior", source, target, AdaptingSettings(answers=(11,), divisions=3), 0)
    assert list(plans) == [(0, 0), (11, 0)], "of no answers, or all of them, there is one choice"


def test_no_answers_are_the_runs_of_the_source(pair, tmp_path):
    (plain,) = popeq.run("prior", pair / "here", runs_dir=tmp_path)
    (none,) = popeq.run("prior", f"{pair / 'here'}@adapt-0-1-others-{pair / 'there'}", runs_dir=tmp_path)
    ids = load(pair, "there").test_ids
    assert np.array_equal(plain.samples(ids), none.samples(ids))


def test_the_curve_is_what_its_runs_score_and_they_are_kept_and_verified(pair, tmp_path):
    curve = {"to": pair / "there", "answers": (0, 2), "divisions": 2, "runs_dir": tmp_path / "runs"}
    study = popeq.adapt(["prior", "group-prior"], pair / "here", **curve)
    runs = find_runs(tmp_path / "runs")[0]
    assert len(runs) == 2 * 2 * 2
    table = study.table.set_index(["predictor", "answers"])
    means = {}
    for k in (0, 2):
        found = []
        for division in (0, 1):
            data = adapted_of(load(pair, "here"), load(pair, "there"), Adaptation(k, division))
            assert data.name == f"small@adapt-{k}-{division}-others-there"
            scorer = Scorer(data, DEFAULT_PROTOCOL)
            own = [r for r in runs if r.record.dataset.name == data.name]
            (run,) = (r for r in own if r.record.predictor.name == "prior")
            assert run.record.dataset.revision == data.revision
            found.append(scorer.score(run.samples(data.test_ids)).scores(HEADLINE))
        means[k] = np.mean(found, axis=0)
        assert table.loc[("prior", k), f"{HEADLINE}_mean"] == pytest.approx(means[k].mean(), abs=1e-8)
    shift = (means[2] - means[0]).mean()
    row = table.loc[("prior", 2)]
    assert row["shift"] == pytest.approx(shift, abs=1e-8)
    assert row["shift_low"] < shift < row["shift_high"]
    assert row["fitted_answers"] == 16
    assert np.isnan(table.loc[("prior", 0), "shift"])
    assert any("Beyond noise (5 % for any of 2 comparisons, Holm)" in note for note in study.notes)
    before = {r.folder.name for r in runs}
    again = popeq.adapt(["prior", "group-prior"], pair / "here", **curve)
    pd.testing.assert_frame_equal(again.table, study.table)
    assert {r.folder.name for r in find_runs(tmp_path / "runs")[0]} == before
    run = next(r for r in runs if "adapt-2-1" in r.record.dataset.name)
    assert popeq.verify([run], run.record.dataset.given, redraw=True).ok
    for name in ("one.svg", "two.svg"):
        study.picture(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()


def test_the_command_prints_the_curve(pair, popeq_inside, tmp_path):
    words = (
        "transfer",
        "--to",
        pair / "there",
        "--dataset",
        pair / "here",
        "--runs",
        tmp_path / "r",
        "--quiet",
    )
    printed = popeq_inside(*words, "group-prior", "--adapt", "1", "--divisions", "2", "--pooled-answers", "0")
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.startswith("From small (simulated) to there (simulated): score by answers")
    assert "Adapting and tested listeners are halves drawn again for each division" in printed.stdout
    for more, said in (
        (("prior", "--adapt", "9"), "no prompt has more than 3 answers of adapting listeners; give 0 to 3"),
        (("prior", "--adapt", "x"), "must be whole numbers with commas between them, such as 0,1,2,5"),
        (("prior", "--adapt", "0"), "needs numbers of answers from 1"),
        (("--adapt", "1"), "name at least one predictor"),
        (("prior", "--adapt", "1", "--by", "category"), "leave --by out"),
        (("group-prior", "--pooled-answers", "0"), "--pooled_answers: needs --adapt"),
        (("prior", "--divisions", "4"), "--divisions: needs --adapt"),
        (("prior", "--on", "all"), "--on: needs --adapt"),
        (("prior", "--seed", "0"), "--seed: needs --adapt"),
    ):
        printed = popeq_inside(*words, *more)
        assert printed.returncode == 2
        assert said in printed.stderr, printed.stderr


def test_what_cannot_be_adapted_is_one_line(pair, tmp_path):
    other = write_small_dataset(tmp_path / "other", name="other")
    with (other / "dataset.toml").open("a") as card:
        card.write("[space]\nx_db = [-12.0, 12.0]\n")
    here, there = load(pair, "here"), load(pair, "there")
    with pytest.raises(
        UsageError, match="other has another plane than small; name two data sets with the same"
    ):
        adapted(here, popeq.load_dataset(other), Adaptation(1), "x")
    again = adapted_of(here, there, Adaptation(1))
    with pytest.raises(UsageError, match="is trained on other listeners than it is tested on"):
        adapted(again, there, Adaptation(1), "x")
    with pytest.raises(UsageError, match="--answers cannot be given"):
        popeq.load_dataset("a@adapt-1-0-all-b", answers="x")
    alone = pd.read_csv(pair / "there" / "responses.csv")
    lone = write_small_dataset(tmp_path / "lone", prompts=18, name="lone")
    alone[alone["listener_id"] == "l0"].to_csv(lone / "responses.csv", index=False)
    with pytest.raises(UsageError, match="no tested prompt has 2 answers of tested listeners; give fewer"):
        adapted(here, popeq.load_dataset(lone), Adaptation(0), "x")
    seal(there, tmp_path / "sealed", tmp_path / "answers.csv")
    said = r"the test answers of there are sealed; name a data set whose answers are open$"
    with pytest.raises(UsageError, match=said):
        adapted(here, popeq.load_dataset(tmp_path / "sealed"), Adaptation(1), "x")


def test_a_source_that_holds_answers_of_the_target_is_refused(pair, tmp_path):
    here = load(pair, "here")
    said = "holds answers of .*; name DATA@only-F and DATA@only-G for two groups of a data set, or another"
    for source, target in ((here, here), (here, popeq.load_dataset(f"{pair / 'here'}@folds-2"))):
        with pytest.raises(UsageError, match=said):
            popeq.adapt("prior", source, to=target, answers=(1,), runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    rows = [f"l{i},{'one' if i < 1 else 'two'}" for i in range(5)]
    grouped = write_small_dataset(tmp_path / "grouped", prompts=18, name="grouped")
    (grouped / "listeners.csv").write_text("\n".join(["listener_id,group", *rows]) + "\n")
    one, two, both = (popeq.load_dataset(f"{grouped}{view}") for view in ("@only-one", "@only-two", ""))
    with pytest.raises(UsageError, match=said):
        adapted_of(both, two, Adaptation(0))
    assert adapted_of(one, two, Adaptation(0)).stages


def test_panels_of_one_data_set_can_be_adapted_to_each_other():
    for name in ("simulated-120", "simulated-1200"):
        assert adapted_of(popeq.load_dataset(name), popeq.load_dataset(f"{name}-b"), Adaptation(2)).stages


def test_names_of_two_data_sets():
    name = "a@only-x@adapt-5-2-all-b@only-y"
    assert split_adapted(name) == ("a@only-x", Adaptation(5, 2, "all"), "b@only-y")
    assert split_adapted("a@folds-5") is None
    assert split_adapted("@adapt-5-2-all-b") is None
    assert Adaptation(5, 2, "all").view("b") == "adapt-5-2-all-b"
    found = installed_dataset("simulated-120@adapt-1-0-others-simulated-120-b")
    assert found.name == "simulated-120@adapt-1-0-others-simulated-120-b"
    for name in ("simulated-120@adapt-1-0-others-/etc", "/etc@adapt-1-0-others-simulated-120"):
        with pytest.raises(UsageError, match="no installed data set"):
            installed_dataset(name)


def test_divisions_are_averaged_with_everybody_who_was_tested():
    """By hand: two divisions of one prompt, a and b tested in one, b and c in the other."""
    from popeq.board.scoring import PromptTable

    def table(score, influence):
        return PromptTable(pd.DataFrame({HEADLINE: [score]}), {HEADLINE: [np.array(influence)]})

    fit = Adapted(
        "0", 1.0, 0.0, [table(1.0, [0.2, -0.2]), table(2.0, [0.4, -0.4])], [[["a", "b"]], [["b", "c"]]]
    )
    line, panels = fit.pooled()
    assert line.scores[HEADLINE].tolist() == [1.5]
    # Of three people each weighs 1/3 in place of 1/2, so an influence counts 3/2, halved by the average.
    assert line.influence[HEADLINE][0] == pytest.approx([0.15, 0.15, -0.3])
    assert panels.people == 3


def test_conclusions_name_the_fewest_and_the_most_answers():
    shifts = {("a", k): MeanEstimate(v, 0.1, 30.0, 1.0) for k, v in ((1, -0.1), (2, -0.5), (5, -0.8))} | {
        ("b", 1): MeanEstimate(0.4, 0.1, 30.0, 1.0)
    }
    adjusted = {("a", 1): 0.3, ("a", 2): 0.01, ("a", 5): 0.001, ("b", 1): 0.04}
    assert conclusion(shifts, adjusted) == (
        "Beyond noise (5 % for any of 4 comparisons, Holm): a is 0.50 dB better with 2 and 0.80 dB better "
        "with 5 answers a prompt than with none; b is 0.40 dB worse with 1 answer a prompt than with none."
    )
    assert conclusion(shifts, dict.fromkeys(shifts, 1.0)).endswith("Holm): nothing.")


def test_a_known_difference_gives_the_gain_of_the_model():
    """Simulated: 3 dB apart; the large form of this is ``python -m tests.bench.adapting``."""
    (prior, own) = bench.rows(3.0, 2, 200, numbers=(0, 5))
    for row in (prior, own):
        assert row.shift == pytest.approx(row.model, rel=0.15)
        assert row.beyond == 1.0
    assert own.shift < prior.shift < -0.5


def test_without_a_difference_the_curve_is_flat():
    for row in bench.rows(0.0, 2, 1, numbers=(0, 5)):
        assert abs(row.shift) < 0.1
        assert row.coverage >= 0.5
