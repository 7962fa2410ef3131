"""A search from end to end: budgets, the choice, stops, wrong use, and that the test split stays unread."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import write_small_dataset
from tests.popeq.tuning.subjects import LEARNS, REMEMBERS, SERVED, tune_learns
from tests.preloaded import FORKS

import popeq
from popeq.errors import RunError
from popeq.installing import pip_install
from popeq.locks import Lock
from popeq.tuning.record import RECORD, read_tuning
from popeq.tuning.view import tuning_view


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """12 prompts: 6 train, 2 validation, 4 test."""
    return popeq.load_dataset(write_small_dataset(tmp_path_factory.mktemp("tuning") / "small"))


def by_split(data, split):
    return set(data.prompts.loc[data.prompts["split"] == split, "prompt_id"])


def without_times(record):
    """What a record says but for times and memory."""
    raw = record.model_dump(mode="json")
    raw.pop("cost")
    for trial in raw["trials"]:
        for made in trial["rounds"]:
            for key in ("fit_s", "sample_s", "wall_s", "peak_memory_mb"):
                assert made.pop(key) >= 0
    return raw


def test_the_test_split_is_unreachable_and_changes_nothing(data, tmp_path):
    """A predictor that writes down all it sees, and a data set whose test answers are gone."""
    test = by_split(data, "test")
    texts = data.prompts["text"].where(~data.prompts["prompt_id"].isin(test), "nobody shall read this")
    blind = dataclasses.replace(
        data,
        prompts=data.prompts.assign(text=texts),
        responses=data.responses[~data.responses["prompt_id"].isin(test)].reset_index(drop=True),
    )
    records, diaries = [], []
    for name, given in (("whole", data), ("blind", blind)):
        diary = tmp_path / f"{name}.jsonl"
        record = popeq.tune(
            REMEMBERS, given, trials=2, fixed={"diary": str(diary)}, output=tmp_path / name, rounds=2
        )
        seen = [json.loads(line) for line in diary.read_text().splitlines()]
        records.append(json.loads(json.dumps(without_times(record)).replace(str(diary), "DIARY")))
        diaries.append(seen)
    assert records[0] == records[1]
    budget = record.search.budget
    assert (budget.parameter, budget.rounds) == ("prompts", [1, 2])  # of a predictor without epochs
    first, second = record.trials[0].rounds
    assert len(first.scores) == len(second.scores) == 1  # only what a round adds is drawn
    both = first.scores | second.scores
    assert set(both) == by_split(data, "validation")
    assert second.score_db == pytest.approx(sum(both.values()) / 2)
    everything = json.dumps(diaries[0])
    answers = [f"[{x}, {y}]" for x, y in data.pooled(sorted(test)).tolist()]
    assert answers
    assert not [a for a in answers if a in everything]
    ids = {e["id"] for seen in diaries for e in seen if "id" in e}
    assert ids == by_split(data, "train") | by_split(data, "validation")
    # Nor is it given an answer that it is scored by.
    for entry in diaries[0]:
        if entry["call"] in ("train", "validation"):
            assert entry["id"] in by_split(data, "train")
        elif entry["call"] == "sample":
            assert entry["id"] in by_split(data, "validation")


def test_the_view_holds_training_and_validation_prompts_only(data):
    view = tuning_view(data)
    assert set(view.prompts["prompt_id"]) == by_split(data, "train") | by_split(data, "validation")
    assert set(view.responses["prompt_id"]) == set(view.prompts["prompt_id"])
    stage = view.stages[0]
    assert set(stage.test) == by_split(data, "validation")
    assert (len(stage.train), len(stage.validation)) == (5, 1)  # one in five stops training early
    assert set(stage.train) | set(stage.validation) == by_split(data, "train")
    assert by_split(data, "test")  # the data set itself is as it was
    assert view.revision == tuning_view(data).revision != data.revision


def test_a_search_over_a_predictor_with_epochs(data, tmp_path):
    how = {
        "fixed": {"width": 3, "diary": str(tmp_path / "diary")},
        "output": tmp_path / "search",
        "rounds": 2,
    }
    record = popeq.tune(LEARNS, data, trials=6, seed=5, **how)
    fitted = (tmp_path / "diary").read_text()
    check_budgets(record, [int(line) for line in fitted.split()])
    check_choice(record)
    check_failures(record)
    assert read_tuning(tmp_path / "search" / RECORD) == record
    # It ends where it ended, and more trials go on.
    assert popeq.tune(LEARNS, data, trials=6, seed=5, **how) == record
    assert (tmp_path / "diary").read_text() == fitted
    more = popeq.tune(LEARNS, data, trials=7, seed=5, **how)
    assert [without_times(more)["trials"][:6], len(more.trials)] == [without_times(record)["trials"], 7]
    with pytest.raises(popeq.UsageError, match=r"holds another search .different: seed.; give another"):
        popeq.tune(LEARNS, data, trials=6, seed=6, **how)
    file = tmp_path / "search" / RECORD
    file.write_text(file.read_text().replace(more.search.code, "0" * 64))
    with pytest.raises(popeq.UsageError, match=r"holds another search .different: code.; give another"):
        popeq.tune(LEARNS, data, trials=7, seed=5, **how)


def check_budgets(record, fitted):
    """Epochs are the budget, and what was fitted are the rounds."""
    assert (record.search.budget.parameter, record.search.budget.rounds) == ("epochs", [3, 9])
    assert fitted == [r.budget for t in record.trials for r in t.rounds]
    assert record.cost.fits == len(fitted) < 2 * 6
    assert {t.state for t in record.trials} == {"complete", "stopped", "failed"}
    for trial in record.trials:
        assert [r.budget for r in trial.rounds] == [3, 9][: len(trial.rounds)]
        assert (trial.state == "complete") == (len(trial.rounds) == 2 and not trial.message)


def check_choice(record):
    """The best of the full budget, and the command that uses it."""
    complete = {i: t.rounds[-1].score_db for i, t in enumerate(record.trials) if t.state == "complete"}
    assert record.best == min(complete, key=complete.get)
    best = record.trials[record.best]
    assert best.parameters["rate"] > 0.1  # 0.05, the default, is far from home after nine epochs
    assert record.defaults == 0
    assert record.trials[0].parameters == {"rate": 0.05}  # width is held, epochs are the budget
    assert record.trials[0].state == "complete"
    assert f"-o rate={best.parameters['rate']}" in record.command
    assert "-o width=3" in record.command
    assert record.command.startswith("popeq run subject --dataset ")
    scores = best.rounds[-1].scores.values()
    assert best.rounds[-1].score_db == pytest.approx(sum(scores) / len(scores))


def check_failures(record):
    """They are recorded, and cost only their trial."""
    for trial in record.trials:
        if trial.state == "failed":
            assert trial.parameters["rate"] > 0.6
            assert f"rate {trial.parameters['rate']:g} blew up" in trial.message
            assert trial.rounds[-1].score_db is None
            left = trial.message.partition("(see ")[2].removesuffix(")")
            assert list(Path(left).glob("traceback-*.txt"))


def test_killed_it_goes_on_to_the_same_result(data, tmp_path):
    diary = tmp_path / "diary"
    how = {"trials": 2, "rounds": 2, "fixed": {"diary": str(diary), "pause_s": 0.15}}
    whole = popeq.tune(LEARNS, data, output=tmp_path / "whole", **how)
    expected = diary.read_text().split()
    diary.unlink()
    folder = tmp_path / "killed"
    killed = FORKS.Process(target=tune_learns, args=(str(data.folder), {"output": str(folder), **how}))
    killed.start()
    while not diary.exists() or len(diary.read_text().split()) < 2:  # in the second round's fit
        assert killed.is_alive()
        time.sleep(0.01)
    killed.kill()
    killed.join()
    assert read_tuning(folder / RECORD).status == "unfinished"
    again = popeq.tune(LEARNS, data, output=folder, **how)
    assert without_times(again) == without_times(whole)
    assert again.status == "complete"
    assert diary.read_text().split() == [*expected[:2], *expected[1:]]  # only what was cut is fitted again
    assert not list((folder / "rounds").glob("*/run.json"))


def test_trials_that_two_models_answered_are_not_compared_and_fresh_begins_again(data, tmp_path):
    diary, who = tmp_path / "diary.jsonl", tmp_path / "diary.jsonl.who"
    how = {"fixed": {"diary": str(diary)}, "output": tmp_path / "search", "rounds": 1}
    who.write_text("model 1")
    first = popeq.tune(SERVED, data, trials=1, **how)
    assert first.trials[0].rounds[0].answered_by == "model 1"
    who.write_text("model 2")
    with pytest.raises(RunError, match="model 1 answered before, model 2 answers now; --fresh begins again"):
        popeq.tune(SERVED, data, trials=2, **how)
    again = popeq.tune(SERVED, data, trials=1, fresh=True, **how)
    assert [r.answered_by for t in again.trials for r in t.rounds] == ["model 2"]


def test_settings_that_all_fail_end_the_search_in_one_line_and_are_not_kept(data, tmp_path):
    how = {"fixed": {"diary": str(tmp_path / "later" / "diary")}, "output": tmp_path / "s", "rounds": 1}
    with pytest.raises(RunError, match=r"subject: no setting could be fitted; the first: error: .*No such"):
        popeq.tune(LEARNS, data, trials=20, **how)
    assert [t.state for t in read_tuning(tmp_path / "s" / RECORD).trials] == ["failed"] * 3
    (tmp_path / "later").mkdir()
    assert [t.state for t in popeq.tune(LEARNS, data, trials=1, **how).trials] == ["complete"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"fixed": {"rte": 1}}, "no parameter of subject is called 'rte'; did you mean 'rate'"),
        ({"fixed": {"rate": 2}}, "subject: --set rate=2: Input should be less than 1"),
        ({"fixed": {"rate": 0.1, "width": 1}}, "nothing to tune: every parameter with a range is held"),
        ({"trials": 0}, "trials=0: .*greater than or equal to 1"),
        ({"settings": popeq.RunSettings(pass_env=("NO_SUCH",))}, "--pass-env NO_SUCH: there is no such"),
    ],
)
def test_wrong_use_is_one_line(data, tmp_path, change, message):
    with pytest.raises(popeq.UsageError, match=message) as error:
        popeq.tune(LEARNS, data, **{"output": tmp_path / "s"} | change)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "s").exists()


def test_broken_records_and_folders_are_one_line(data, tmp_path):
    for content, message in (("{", "cannot be read"), ('{"schema_version": 9}', "schema version 9")):
        (tmp_path / RECORD).write_text(content)
        with pytest.raises(RunError, match=message):
            popeq.tune(LEARNS, data, output=tmp_path)
    (tmp_path / RECORD).unlink()
    (tmp_path / ".lock").touch()
    with Lock(tmp_path / ".lock"), pytest.raises(RunError, match="another popeq process is tuning in"):
        popeq.tune(LEARNS, data, output=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(popeq.UsageError, match="file: cannot be written"):
        popeq.tune(LEARNS, data, output=tmp_path / "file")


@pytest.mark.models
def test_the_command_line(popeq_inside, tmp_path):
    small = write_small_dataset(tmp_path / "small")
    given = (
        "tune",
        "knn",
        "--dataset",
        small,
        "--trials",
        "2",
        "--rounds",
        "1",
        "--set",
        "k=3",
        "-o",
        "search",
    )
    found = popeq_inside(*given, "--format", "json")
    assert found.returncode == 0, found.stderr
    rows = json.loads(found.stdout)["rows"]
    assert [r["state"] for r in rows] == ["complete"] * 2
    assert rows[0]["mean_db"] <= rows[1]["mean_db"]
    record = read_tuning(tmp_path / "search" / RECORD)
    assert record.command in found.stdout
    assert "trial 0, 2 prompts: " in found.stderr
    assert f"popeq run knn --dataset {small} --seed 0 -o k=3" in record.command
    text = popeq_inside(*given, "--quiet")
    assert text.stderr == ""
    assert "the test split was not read" in text.stdout


def test_the_command_line_says_what_is_wrong(popeq_inside, tmp_path, monkeypatch):
    folds = write_small_dataset(tmp_path / "folds", folds=True)
    for arguments, message in (
        (("knn", "--dataset", folds), "small: has folds: each of its answers is a test answer once"),
        (("prior",), "prior: nothing to tune: no parameter of it declares a range"),
        (("knnn",), "no predictor is called 'knnn'"),
        (("knn", "--set", "k"), "--set 'k': must have the form name=value"),
    ):
        found = popeq_inside("tune", *arguments)
        assert (found.returncode, found.stdout, found.stderr.count("\n")) == (2, "", 1)
        assert message in found.stderr
    monkeypatch.setitem(sys.modules, "optuna", None)
    found = popeq_inside("tune", "knn")
    assert (found.returncode, found.stderr) == (
        2,
        "popeq: optuna cannot be loaded (import of optuna halted; None in sys.modules); install it with: "
        f"{pip_install('tune')}\n",
    )
    assert not Path(tmp_path / "tuning").exists()
