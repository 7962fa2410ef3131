"""--unseen-people: nobody is tested by a predictor that was given an answer of his or hers."""

from __future__ import annotations

import csv
import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.bench import seen_people
from tests.conftest import write_small_dataset

import popeq
from popeq.board.people import seen_answers
from popeq.contract import load_object
from popeq.dataset_card import RESPONSE_COLUMNS
from popeq.dataset_folder import read_dataset, write_dataset
from popeq.dividing import divide_again
from popeq.errors import UsageError
from popeq.plugins import registry
from popeq_data.importers.options import CsvOptions, SafeOptions
from popeq_data.importers.people import PANELS, divide, unseen_people
from popeq_data.importers.plain_csv import import_csv
from popeq_data.importers.safe import import_safe
from popeq_data.importers.safe_listeners import recover
from popeq_data.importers.safe_rows import read_rows
from popeq_data.importers.source import Source


class Recorder:
    """Notes every answer that its process was given."""

    def __init__(self, parameters, space):
        self.space = space

    def fit(self, train, validation, rng):
        self.given = [
            [p.prompt.text, who, *point.tolist()]
            for p in [*train, *validation]
            for who, point in zip(p.listeners, p.responses, strict=True)
        ]

    def sample(self, prompts, n, rngs):
        return np.stack([self.space.clip(rng.normal(0, 2, (n, 2))) for rng in rngs])

    def explain(self, prompt_id):
        return {"given": self.given}


@pytest.fixture
def folded(tmp_path):
    return read_dataset(write_small_dataset(tmp_path / "folded", folds=True))


def test_every_answer_is_tested_once_and_its_listener_is_not_in_training(folded):
    divided, _, dropped = unseen_people(folded)
    assert dropped == 0
    assert seen_answers(divided, divided.test_ids) == (60, 0)
    tested = [p for stage in divided.stages for p in stage.test]
    assert sorted(tested) == sorted(divided.prompts["prompt_id"])
    columns = ["listener_id", "x_db", "y_db"]
    before, after = (d.responses[columns].sort_values(columns, ignore_index=True) for d in (folded, divided))
    pd.testing.assert_frame_equal(before, after)
    text = divided.prompts.set_index("prompt_id")["text"]
    for stage in divided.stages:
        assert stage.train
        assert not set(text[list(stage.train)]) & set(text[list(stage.test)])
        people = {who for p in divided.labelled(stage.test) for who in p.listeners}
        assert not people & {who for p in divided.labelled(stage.train) for who in p.listeners}


def test_no_answer_of_a_tested_listener_reaches_the_worker_or_the_reference(folded, tmp_path):
    divided = write_dataset(unseen_people(folded).dataset, tmp_path / "divided", "")
    spec = popeq.PredictorSpec("recorder", "notes what it is given", f"{__name__}:Recorder")
    (run,) = popeq.run([spec], divided, runs_dir=tmp_path / "runs")
    assert run.record.status == "complete", run.record.failures
    lines = (run.folder / "explanations.jsonl").read_text().splitlines()
    given = {line["prompt_id"]: line["given"] for line in map(json.loads, lines)}
    assert set(given) == set(divided.test_ids)
    for prompt in divided.labelled(divided.test_ids):
        texts, people = zip(*[(text, who) for text, who, *_ in given[prompt.prompt.prompt_id]], strict=True)
        assert prompt.prompt.text not in texts
        assert not set(people) & set(prompt.listeners)
    for stage in divided.stages:
        pooled = {tuple(point) for point in divided.pooled(stage.train).tolist()}
        for prompt_id in stage.test:
            assert pooled == {(x, y) for *_, x, y in given[prompt_id]}, "the reference is what was given"


@given(st.integers(0, 10_000), st.integers(2, 12), st.integers(2, 30), st.floats(0.1, 1.0))
def test_any_panel_is_divided_evenly(seed, prompts, listeners, share):
    rng = np.random.default_rng(seed)
    rows = [
        (f"p{i}", f"l{j}", 0.0, 0.0)
        for i in range(prompts)
        for j in range(listeners)
        if rng.random() < share or i == j % prompts
    ]
    frame = pd.DataFrame(rows, columns=list(RESPONSE_COLUMNS))
    data = dataclasses.replace(popeq.load_dataset("simulated-120"), responses=frame)
    panel_of = divide(data)
    assert panel_of == divide(dataclasses.replace(data, responses=frame.sample(frac=1.0, random_state=seed)))
    assert set(panel_of) == set(frame["listener_id"])
    if share == 1.0:
        sizes = [list(panel_of.values()).count(p) for p in PANELS]
        assert abs(sizes[0] - sizes[1]) <= 1


def test_the_division_depends_on_the_answers_and_not_on_what_listeners_are_called(folded):
    renamed = folded.responses.copy()
    names = {f"l{i}": name for i, name in enumerate("zyxwv")}
    renamed["listener_id"] = renamed["listener_id"].map(names)
    panel_of, again = divide(folded), divide(dataclasses.replace(folded, responses=renamed))
    assert {who: again[name] for who, name in names.items()} == panel_of
    assert len({tuple(sorted(divide(folded, again=i).items())) for i in range(20)}) > 3


def test_anybody_may_be_in_either_panel_of_a_new_division(
    folded,
):
    asked = folded.responses["prompt_id"].str[1:].astype(int)
    person = folded.responses["listener_id"].str[1:].astype(int)
    data = dataclasses.replace(folded, responses=folded.responses[asked < 12 - person])
    assert len(set(data.responses.groupby("listener_id").size())) == 5, "everybody has another number"
    assert len({tuple(sorted(divide(data, again=i).items())) for i in range(20)}) == 1
    found = [divide_again(data, i) for i in range(40)]
    assert len({tuple(sorted(panel_of.items())) for panel_of in found}) > 4
    for who in found[0]:
        assert 8 < sum(panel_of[who] == "a" for panel_of in found) < 32
    for panel_of in found:
        assert {list(panel_of.values()).count(p) for p in PANELS} == {2, 3}


def test_small_halves_are_dropped_and_counted(folded):
    few = folded.responses.drop(folded.responses.index[:3])  # p00 keeps two answers
    data = dataclasses.replace(folded, responses=few)
    divided, how, dropped = unseen_people(data, least=2)
    assert dropped == len(few) - len(divided.responses) > 0
    assert divided.responses.groupby("prompt_id").size().min() >= 2
    assert "panel a" in how


def test_what_cannot_be_divided_is_said_in_one_line(folded, tmp_path):
    with pytest.raises(UsageError, match="the prompts have a split"):
        unseen_people(read_dataset(write_small_dataset(tmp_path / "split")))
    divided = unseen_people(folded).dataset
    assert unseen_people(divided).dataset is divided
    alone = folded.responses[folded.responses["listener_id"] == "l0"]
    with pytest.raises(UsageError, match="too few answers"):
        unseen_people(dataclasses.replace(folded, responses=alone))


def test_csv_and_safe_can_be_divided(tmp_path, safe_csv):
    folder = write_small_dataset(tmp_path / "mine", folds=True)
    files = folder / "prompts.csv", folder / "responses.csv"
    result = import_csv(*files, CsvOptions(unseen_people=True))
    assert result.report["responses kept"] == 60
    assert result.report["unseen people"].startswith("divided into panel a (")
    written = write_dataset(result.dataset, tmp_path / "csv", "")
    assert seen_answers(written, written.test_ids) == (60, 0)
    assert written.revision == result.dataset.revision
    seen = import_safe(safe_csv, SafeOptions(salt="s")).dataset
    assert seen_answers(seen, seen.test_ids) == (400, 400)
    for part, least in (("lab", 1), ("home", 4), ("all", 4)):
        result = import_safe(safe_csv, SafeOptions(part=part, salt="s", unseen_people=True))
        made = write_dataset(result.dataset, tmp_path / part, "")
        assert made.name == f"safe-{part}-unseen"
        assert seen_answers(made, made.test_ids) == (len(made.responses), 0)
        report = result.report
        assert report["responses kept"] + sum(report["rows dropped"].values()) == report["rows read"]
        words = made.prompts[~made.prompts["prompt_id"].str.startswith("lab-")]["prompt_id"]
        sizes = made.responses.groupby("prompt_id").size()
        assert part == "lab" or sizes[list(words)].min() >= least
    lab = read_dataset(tmp_path / "lab")
    assert (len(lab.prompts), len(lab.responses), len(lab.stages)) == (40, 400, 20)
    assert set(lab.responses.groupby("prompt_id").size()) == {10}


def test_static_best_is_of_the_stage_alone(folded):
    divided = unseen_people(folded).dataset
    factory = load_object(registry().predictor("static-best").factory)
    stage = divided.stages[0]
    moved = divided.responses.copy()
    tested = {who for p in divided.labelled(stage.test) for who in p.listeners}
    moved.loc[moved["listener_id"].isin(tested), ["x_db", "y_db"]] = 6.0
    points = []
    for data in (divided, dataclasses.replace(divided, responses=moved)):
        predictor = factory(popeq.Parameters(), data.space)
        predictor.fit(data.labelled(stage.train), [], np.random.default_rng(0))
        points.append(predictor.point)
    np.testing.assert_array_equal(*points)


def test_the_measurement_of_seen_people_runs(safe_csv, write_csv, capsys):
    """On two of the ten tracks, because each track is fitted and drawn in a process of its own."""
    settings = recover(read_rows(Source(safe_csv, "a SAFE-DB file")))
    kept = {s.row.row_id for s in settings if s.part == "C" or s.track in ("jazz1", "metal1")}
    with safe_csv.open(encoding="utf-8", newline="") as stream:
        two_tracks = write_csv([row for row in csv.reader(stream) if int(row[0]) in kept])
    seen_people.main([str(two_tracks), "static-best", "--divisions", "1", "--panels", "1"])
    header, *lines = capsys.readouterr().out.splitlines()
    assert header.split() == ["condition", "predictor", "mean_db", "shift"]
    rows = [line.rsplit(maxsplit=3) for line in lines]
    assert len({condition for condition, *_ in rows}) == 3
    assert [predictor for _, predictor, _, _ in rows] == ["prior", "static-best"] * 3
    assert all(float(shift) == 0 for _, predictor, _, shift in rows if predictor == "prior")
    assert all(float(shift) > 0 for _, predictor, _, shift in rows if predictor == "static-best")
    assert all(float(mean) > 0 for _, _, mean, _ in rows)
