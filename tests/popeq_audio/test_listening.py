"""A listening test is made, its results read, and a preference that is there is found."""

from __future__ import annotations

import csv
import dataclasses
import json
import re

import numpy as np
import pyloudnorm
import pytest
import soundfile
import yaml
from click.testing import CliRunner

import popeq
from popeq.cli import popeq as command_line
from popeq.errors import InvalidInputError, UsageError
from popeq.runs.folder import Run
from popeq.space import PLANE
from popeq_audio.listening.analysis import association, by_method, screened, to_dataset
from popeq_audio.listening.making import ListeningSettings, make_test
from popeq_audio.listening.plan import Plan
from popeq_audio.listening.results import read_results
from popeq_audio.tracks import track


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A test of two predictors and a setting, and its folder."""
    folder = tmp_path_factory.mktemp("listening")
    soundfile.write(folder / "track.wav", track(5, 44_100, 2.0), 44_100)
    runs = popeq.run(["random", "prior"], runs_dir=folder / "runs")
    made = {}
    for kind in ("mushra", "preference"):
        plan = make_test(
            runs,
            [folder / "track.wav"],
            folder / kind,
            ListeningSettings(kind=kind, points=((5.0, -5.0),), count=4, test_id="t1"),
        )
        made[kind] = (plan, folder / kind)
    return made


def test_every_sound_of_a_trial_is_equally_loud_and_the_pages_are_blind(made):
    plan, folder = made["mushra"]
    config = yaml.safe_load((folder / f"webmushra/configs/{plan.plan_id}.yaml").read_text())
    random, *pages = config["pages"][2]
    assert random == "random"
    assert len(pages) == 4
    for page, trial in zip(pages, plan.trials, strict=True):
        assert page["randomize"] is True
        files = [page["reference"], *page["stimuli"].values()]
        levels, lengths = [], set()
        for file in files:
            sound, rate = soundfile.read(folder / "webmushra" / file)
            levels.append(pyloudnorm.Meter(rate).integrated_loudness(sound))
            lengths.add(len(sound))
        assert max(levels) - min(levels) < 0.2
        assert len(lengths) == 1
        assert {c.method for c in trial.conditions} >= {"anchor", "at 5,-5"}
        assert not any(word in str(page) for word in ("anchor.wav", "prior", "random-"))
    assert Plan.read(folder) == plan


def answers(plan, path, *, listeners=8, sign=1.0, seed=0):
    """Simulated listeners who like what is near (or, with sign -1, what is far)."""
    rng = np.random.default_rng(seed)
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        header = "session_test_id,listener,trial_id,rating_stimulus,rating_score,rating_time,rating_comment"
        writer.writerow(header.split(","))
        for listener in range(listeners):
            for trial in plan.trials:
                writer.writerow([plan.plan_id, f"p{listener}", trial.trial_id, "reference", 95, 1, ""])
                for c in trial.conditions:
                    far = 12.0 if c.setting_distance is None else c.setting_distance
                    score = np.clip(50 - sign * 8 * (far - 4) + rng.normal(0, 8), 0, 100)
                    writer.writerow(
                        [plan.plan_id, f"p{listener}", trial.trial_id, c.name, round(score), 1, ""]
                    )
    return path


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_preference_that_is_there_is_found_with_its_sign(made, tmp_path, sign):
    plan, _ = made["mushra"]
    ratings = read_results(answers(plan, tmp_path / "r.csv", sign=sign), plan).ratings
    few = association(ratings, "setting_distance")
    assert sign * few.tau > 0.3
    assert (few.low, few.high) == (-np.inf, np.inf), "four trials are too few to show it"
    assert (few.trials, few.listeners) == (4, 8)
    more = [
        dataclasses.replace(r, trial=r.trial.model_copy(update={"trial_id": f"{r.trial.trial_id}-{k}"}))
        for k in range(2)
        for r in ratings
    ]
    found = association(more, "setting_distance")
    assert found.tau == pytest.approx(few.tau)
    assert found.trials == 8
    assert sign * (found.low if sign > 0 else found.high) > 0


def test_who_does_not_hear_the_reference_is_left_out_and_settings_become_data(made, tmp_path):
    plan, _ = made["mushra"]
    path = answers(plan, tmp_path / "r.csv")
    path.write_text(path.read_text().replace(",p3,trial001,reference,95", ",p3,trial001,reference,20"))
    kept, out = screened(read_results(path, plan).ratings)
    assert set(out) == {"p3"}
    assert by_method(kept).iloc[0]["method"] == "hidden reference"
    data = to_dataset(kept, plan, tmp_path / "data", simulated=True)
    assert (len(data.prompts), len(data.responses)) == (4, 4 * 7)
    assert popeq.load_dataset(tmp_path / "data").card.simulated
    offered = {(t.prompt_id, c.x_db, c.y_db) for t in plan.trials for c in t.conditions}
    answered = set(data.responses[["prompt_id", "x_db", "y_db"]].itertuples(index=False, name=None))
    assert answered <= offered
    references = {(t.prompt_id, t.reference_x_db, t.reference_y_db) for t in plan.trials}
    assert not answered & references


def test_ratings_without_a_reference_are_asked_and_read_as_webmushra_writes_them(made, tmp_path):
    plan, folder = made["preference"]
    _, *pages = yaml.safe_load((folder / f"webmushra/configs/{plan.plan_id}.yaml").read_text())["pages"][2]
    rows = ["session_test_id,listener,trial_id,stimuli_rating,stimuli,rating_time"]
    for page, trial in zip(pages, plan.trials, strict=True):
        # paired_comparison would ask which of two sounds is the reference
        assert (page["type"], page["id"]) == ("likert_multi_stimulus", trial.trial_id)
        assert "reference" not in page
        steps = [r["value"] for r in page["response"]]
        nearest_first = sorted(trial.conditions, key=lambda c: c.setting_distance)
        for sound, step in zip(nearest_first, reversed(steps), strict=False):
            assert sound.name in page["stimuli"]
            rows.append(
                f'{plan.plan_id},p1,{trial.trial_id}," {step} ",{sound.name},4711'
            )  # with those blanks
    (tmp_path / "lms.csv").write_text("\n".join(rows) + "\n")
    found = association(read_results(tmp_path / "lms.csv", plan).ratings, "setting_distance")
    assert found.tau == pytest.approx(1.0)
    (tmp_path / "lms.csv").write_text(f"{rows[0]}\n{plan.plan_id},p1,trial001, NA ,sound1,1\n")
    with pytest.raises(InvalidInputError, match="'NA' is not a rating from 1 to 7"):
        read_results(tmp_path / "lms.csv", plan)


def test_rows_that_do_not_belong_are_named(made, tmp_path):
    plan, _ = made["mushra"]
    path = answers(plan, tmp_path / "r.csv", listeners=1)
    path.write_text(
        path.read_text()
        + "ID,p0,trial999,sound1,50,1,\nID,p0,trial001,sound1,150,1,\n".replace("ID", plan.plan_id)
    )
    with pytest.raises(InvalidInputError) as caught:
        read_results(path, plan)
    assert "trial999" in str(caught.value)
    assert "150" in str(caught.value)


def test_an_export_comes_back_as_the_offered_settings_that_were_liked_best(made, tmp_path):
    """Every listener gives the reference 100 and the anchor 99; the answers are still what was offered."""
    plan, folder = made["mushra"]
    liked = {}
    with (tmp_path / "mushra.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        columns = "session_test_id,listener,session_uuid,trial_id,rating_stimulus,rating_score,rating_time"
        writer.writerow(columns.split(","))
        for listener in range(5):
            for number, trial in enumerate(plan.trials):
                rows = [("reference", 100)]
                offered = [c for c in trial.conditions if c.x_db is not None]
                best = offered[(listener + number) % len(offered)]
                liked[trial.prompt_id, listener] = (best.x_db, best.y_db)
                for c in trial.conditions:
                    rows.append((c.name, 99 if c.x_db is None else 60 if c is best else 10))
                for name, score in rows:
                    cells = [plan.plan_id, "", f"uuid-{listener}", trial.trial_id, name, score, 2000]
                    writer.writerow(cells)
    command = ["listening-test", "analyse", str(tmp_path / "mushra.csv"), "--plan", str(folder)]
    result = CliRunner().invoke(command_line, [*command, "-o", str(tmp_path / "chosen")])
    assert result.exit_code == 0, result.output
    assert "marked as simulated because simulated-1200 is; give --real-listeners" in result.output
    data = popeq.load_dataset(tmp_path / "chosen")
    assert data.card.simulated  # nobody said so: the plan does
    assert data.card.label == "t1-chosen (simulated)"
    for prompt_id in data.prompts["prompt_id"]:
        found = sorted(map(tuple, data.points(prompt_id)))
        assert found == sorted(at for (p, _), at in liked.items() if p == prompt_id)
    result = CliRunner().invoke(command_line, [*command, "-o", str(tmp_path / "real"), "--real-listeners"])
    assert result.exit_code == 0, result.output
    card = popeq.load_dataset(tmp_path / "real").card
    assert not card.simulated
    assert "made from simulated-1200 (simulated)" in card.title
    again = make_test(
        [],
        [folder.parent / "track.wav"],
        tmp_path / "again",
        ListeningSettings(points=((1, 1), (-1, 2)), count=2),
        popeq.load_dataset(tmp_path / "chosen"),
    )
    assert again.simulated


def test_results_of_another_plan_are_refused_in_one_line(made, tmp_path):
    plan, _ = made["mushra"]
    runs = sorted((made["mushra"][1].parent / "runs").glob("2*"))
    other = make_test(
        [Run.open(run) for run in runs],
        [made["mushra"][1].parent / "track.wav"],
        tmp_path / "other",
        ListeningSettings(points=((5.0, -5.0),), count=4, seed=1, test_id="t1"),
    )
    assert other.test_id == plan.test_id
    assert other.plan_id != plan.plan_id
    own, foreign = answers(plan, tmp_path / "own.csv"), answers(other, tmp_path / "foreign.csv")
    read_results(own, plan)
    mixed = tmp_path / "mixed.csv"
    mixed.write_text(own.read_text() + "".join(foreign.read_text().splitlines(keepends=True)[1:]))
    for path in (foreign, mixed):
        with pytest.raises(UsageError) as caught:
            read_results(path, plan)
        assert "\n" not in str(caught.value)
        assert f"{other.plan_id!r} in row" in str(caught.value)
    bare = tmp_path / "bare.csv"
    bare.write_text("\n".join(line.partition(",")[2] for line in own.read_text().splitlines()))
    with pytest.raises(UsageError, match="has no column session_test_id"):
        read_results(bare, plan)


def test_results_may_have_passed_through_a_spreadsheet(made, tmp_path):
    plan, _ = made["mushra"]
    own = answers(plan, tmp_path / "own.csv")
    with own.open(newline="") as stream:
        header, *rows = csv.reader(stream)
    wanted = read_results(own, plan)
    for row in rows:
        row[4] = f"{row[4]},0"
    sheet = tmp_path / "sheet.csv"
    sheet.write_bytes("\r\n".join(";".join(row) for row in [header, *rows]).encode("utf-16"))
    assert read_results(sheet, plan) == read_results(sheet, plan, ",") == wanted
    with pytest.raises(InvalidInputError, match=r"row 2, column rating_score: '95,0' is not a rating"):
        read_results(sheet, plan, ".")
    rows[0][4], rows[1][4] = "95.0", "50,0"
    sheet.write_text("\n".join(";".join(row) for row in [header, *rows]))
    with pytest.raises(UsageError, match=r"'95.0' in row 2 and '50,0' in row 3; .* by --decimal"):
        read_results(sheet, plan)


def test_results_that_were_sent_twice_count_once_with_a_note(made, tmp_path):
    plan, folder = made["mushra"]
    path = answers(plan, tmp_path / "mushra.csv", listeners=3)
    once = read_results(path, plan)
    rows = path.read_text().splitlines(keepends=True)
    of_one = [row for row in rows if ",p1," in row]
    path.write_text("".join([*rows, *of_one]))
    found = read_results(path, plan)
    assert sorted(found.ratings, key=repr) == sorted(once.ratings, key=repr)
    assert (once.notes, found.notes) == ([], [f"{len(of_one)} rows were sent twice and count once"])
    shown = CliRunner().invoke(
        command_line, ["listening-test", "analyse", str(path), "--plan", str(folder), "--format", "json"]
    )
    assert found.notes[0] in json.loads(shown.stdout)["notes"]
    another = of_one[0].replace(",95,", ",94,")
    assert another != of_one[0]
    path.write_text("".join([*rows, another]))  # the same sound with another score: which one counts?
    with pytest.raises(InvalidInputError, match="a rating of reference of trial001 by 'p1'"):
        read_results(path, plan)


def test_another_track_of_the_same_name_is_another_test(tmp_path):
    ids = set()
    for folder, sign in (("a", 1.0), ("b", -1.0)):  # equally loud, and of the same length
        file = tmp_path / folder / "track.wav"
        file.parent.mkdir()
        soundfile.write(file, sign * track(5, 44_100, 2.0), 44_100, subtype="DOUBLE")
        settings = ListeningSettings(points=((5.0, -5.0),), count=1)
        data = popeq.load_dataset("simulated-120")
        ids.add(make_test([], [file], file.parent / "test", settings, data).plan_id)
    assert len(ids) == 2


def test_the_same_export_has_the_same_id_and_nothing_shows_what_listeners_chose(made, tmp_path):
    plan, _ = made["mushra"]
    assert plan.identified() == plan
    assert plan.plan_id.startswith("t1-")
    for kind in ("mushra", "preference"):
        own, where = made[kind]
        (config,) = (where / "webmushra/configs").glob("*.yaml")
        text = config.read_text()
        assert config.stem == own.plan_id == yaml.safe_load(text)["testId"]
        assert not re.search(r"most listeners|chose|popular|prefer(?!ence)", text, re.IGNORECASE)
        assert (where / "webmushra/configs/resources" / own.plan_id / "trial001").is_dir()


def test_a_plan_of_version_1_is_read_with_its_name_as_id_and_the_plane(made, tmp_path):
    _, folder = made["mushra"]
    old = json.loads((folder / "plan.json").read_text()) | {"schema_version": 1}
    del old["plan_id"], old["space"]
    (tmp_path / "plan.json").write_text(json.dumps(old))
    read = Plan.read(tmp_path)
    assert (read.plan_id, read.schema_version, read.space.space) == ("t1", 3, PLANE)
    path = answers(read, tmp_path / "r.csv")
    assert "t1,p0" in path.read_text()
    assert read_results(path, read).ratings


def test_where_there_is_no_choice_there_is_no_data_set(made, tmp_path):
    plan, _ = made["mushra"]
    trials = [
        t.model_copy(update={"conditions": [c for c in t.conditions if c.method in ("anchor", "at 5,-5")]})
        for t in plan.trials
    ]
    alone = plan.model_copy(update={"trials": trials}).identified()
    ratings = read_results(answers(alone, tmp_path / "r.csv"), alone).ratings
    with pytest.raises(UsageError, match="two or more settings to choose from"):
        to_dataset(ratings, alone, tmp_path / "data")
    assert not (tmp_path / "data").exists()
