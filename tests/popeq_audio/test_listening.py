"""A listening test is made, its results read, and a preference that is there is found."""

from __future__ import annotations

import csv

import numpy as np
import pyloudnorm
import pytest
import soundfile
import yaml

import popeq
from popeq.errors import InvalidInputError
from popeq_audio.listening.analysis import association, by_method, screened
from popeq_audio.listening.collecting import to_dataset
from popeq_audio.listening.making import make_test
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
            kind=kind,
            settings=[(5.0, -5.0)],
            count=4,
            test_id="t1",
        )
        made[kind] = (plan, folder / kind)
    return made


def test_every_sound_of_a_trial_is_equally_loud_and_the_pages_are_blind(made):
    plan, folder = made["mushra"]
    config = yaml.safe_load((folder / "webmushra/configs/t1.yaml").read_text())
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
                writer.writerow(["t1", f"p{listener}", trial.trial_id, "reference", 95, 1, ""])
                for c in trial.conditions:
                    far = 12.0 if c.setting_distance is None else c.setting_distance
                    score = np.clip(50 - sign * 8 * (far - 4) + rng.normal(0, 8), 0, 100)
                    writer.writerow(["t1", f"p{listener}", trial.trial_id, c.name, round(score), 1, ""])
    return path


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a_preference_that_is_there_is_found_with_its_sign(made, tmp_path, sign):
    plan, _ = made["mushra"]
    found = association(read_results(answers(plan, tmp_path / "r.csv", sign=sign), plan), "setting_distance")
    assert sign * found.tau > 0.3
    assert found.low <= found.tau <= found.high
    assert sign * (found.low if sign > 0 else found.high) > 0
    assert (found.trials, found.listeners) == (4, 8)


def test_who_does_not_hear_the_reference_is_left_out_and_settings_become_data(made, tmp_path):
    plan, _ = made["mushra"]
    path = answers(plan, tmp_path / "r.csv")
    path.write_text(path.read_text().replace(",p3,trial001,reference,95", ",p3,trial001,reference,20"))
    kept, out = screened(read_results(path, plan))
    assert set(out) == {"p3"}
    assert by_method(kept).iloc[0]["method"] == "hidden reference"
    data = to_dataset(kept, plan, tmp_path / "data", simulated=True)
    assert (len(data.prompts), len(data.responses)) == (4, 4 * 7)
    assert popeq.load_dataset(tmp_path / "data").card.simulated


def test_ratings_without_a_reference_are_asked_and_read_as_webmushra_writes_them(made, tmp_path):
    plan, folder = made["preference"]
    _, *pages = yaml.safe_load((folder / "webmushra/configs/t1.yaml").read_text())["pages"][2]
    rows = ["session_test_id,listener,trial_id,stimuli_rating,stimuli,rating_time"]
    for page, trial in zip(pages, plan.trials, strict=True):
        # paired_comparison would ask which of two sounds is the reference
        assert (page["type"], page["id"]) == ("likert_multi_stimulus", trial.trial_id)
        assert "reference" not in page
        steps = [r["value"] for r in page["response"]]
        nearest_first = sorted(trial.conditions, key=lambda c: c.setting_distance)
        for sound, step in zip(nearest_first, reversed(steps), strict=False):
            assert sound.name in page["stimuli"]
            rows.append(f't1,p1,{trial.trial_id}," {step} ",{sound.name},4711')  # with those blanks
    (tmp_path / "lms.csv").write_text("\n".join(rows) + "\n")
    found = association(read_results(tmp_path / "lms.csv", plan), "setting_distance")
    assert found.tau == pytest.approx(1.0)
    (tmp_path / "lms.csv").write_text(f"{rows[0]}\nt1,p1,trial001, NA ,sound1,1\n")
    with pytest.raises(InvalidInputError, match="'NA' is not a rating from 1 to 7"):
        read_results(tmp_path / "lms.csv", plan)


def test_rows_that_do_not_belong_are_named(made, tmp_path):
    plan, _ = made["mushra"]
    path = answers(plan, tmp_path / "r.csv", listeners=1)
    path.write_text(path.read_text() + "t1,p0,trial999,sound1,50,1,\nt1,p0,trial001,sound1,150,1,\n")
    with pytest.raises(InvalidInputError) as caught:
        read_results(path, plan)
    assert "trial999" in str(caught.value)
    assert "150" in str(caught.value)
