"""A run verifies if nothing in it was changed; everything that was is named."""

from __future__ import annotations

import hashlib
import json
import shutil

import pytest
from tests.conftest import store_text, stored_text

import popeq as package
from popeq.board.scoring import Scorer
from popeq.board.trust import find_claims, trust_of, weakest
from popeq.board.verify import examine
from popeq.metrics import HEADLINE, SCORES
from popeq.protocol import PROTOCOL_2
from popeq.runs.card import Card, Claim
from popeq.runs.folder import PREDICTION_COLUMNS, Run
from popeq.runs.packed import PACKED

CARD = {"authors": ["A"], "contact": "a@example.org", "training_data": "none"}


@pytest.fixture(scope="module")
def scorer(finished):
    return Scorer(package.load_dataset(finished.data), PROTOCOL_2)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.runs["random"].folder, tmp_path / "copy")


def edit(folder, change):
    raw = json.loads((folder / "run.json").read_text())
    change(raw)
    (folder / "run.json").write_text(json.dumps(raw))


def predict(folder, samples, test_ids):
    """Write other predictions, with a hash that fits them."""
    lines = [",".join(PREDICTION_COLUMNS)]
    for prompt_id, points in zip(test_ids, samples, strict=True):
        lines += [f"{prompt_id},{i},{float(x)!r},{float(y)!r}" for i, (x, y) in enumerate(points)]
    text = "\n".join(lines) + "\n"
    store_text(folder, text)
    edit(folder, lambda r: r.update(predictions_sha256=hashlib.sha256(text.encode()).hexdigest()))


def test_a_finished_run_verifies_and_its_scores_are_those_of_score(finished, scorer):
    seen = examine(finished.runs["random"], scorer)
    assert seen.problems == ()
    assert seen.flags == ()
    assert seen.trust == "scored"
    own = package.score(finished.runs["random"])
    for name in SCORES:
        assert seen.scores[f"{name}_median"] == pytest.approx(own[name].median())
        assert seen.scores[f"{name}_mean"] == pytest.approx(own[name].mean())


@pytest.mark.parametrize(
    ("change", "column"),
    [
        (lambda r: r["predictor"]["parameters"].update(more=1), "key"),
        (lambda r: r.update(seed=7), "key"),
        (lambda r: r["predictor"].update(source="popeq 9"), "key"),
        (lambda r: r["predictor"]["code"].update(sha256="0" * 64), "key"),
        (lambda r: r["predictor"]["code"].update(popeq="9"), "key"),
        (lambda r: r["predictor"].update(code=None), "key"),
        (lambda r: r["predictor"].update(identity={"model": "sha256:0"}), "key"),
        (lambda r: r.update(status="failed"), "status"),
        (lambda r: r.update(predictions_sha256=None), "predictions_sha256"),
        (lambda r: r["dataset"].update(revision="0" * 64), "dataset.revision"),
        (lambda r: r["dataset"].update(simulated=False), "dataset.simulated"),
        (lambda r: r["dataset"].update(name="other"), "dataset.name"),
        (lambda r: r.update(prompts=3), "prompts"),
    ],
)
def test_a_changed_record_is_named(copy, scorer, change, column):
    edit(copy, change)
    assert column in [problem.column for problem in examine(Run.open(copy), scorer).problems]


def test_changed_predictions_are_named_beside_what_else_is_wrong(copy, scorer):
    edit(copy, lambda r: r.update(seed=7))
    store_text(copy, stored_text(copy) + "\n")
    found = {problem.file: problem for problem in examine(Run.open(copy), scorer).problems}
    assert "SHA-256" in found[PACKED].message
    assert found["run.json"].column == "key"


def test_changed_predictions_are_named(copy, scorer):
    store_text(copy, stored_text(copy).replace("p08,0,", "p08,0,0", 1))
    (problem,) = examine(Run.open(copy), scorer).problems
    assert problem.file == PACKED
    assert "SHA-256" in problem.message
    (copy / PACKED).unlink()
    (problem,) = examine(Run.open(copy), scorer).problems
    assert "cannot be read" in problem.message


def test_predictions_with_a_fitting_hash_are_still_checked(copy, scorer, finished):
    samples = finished.runs["random"].samples(scorer.dataset.test_ids)
    outside = samples.copy()
    outside[0, 0, 0] = 6.5
    predict(copy, outside, scorer.dataset.test_ids)
    (problem,) = examine(Run.open(copy), scorer).problems
    assert "outside the box" in problem.message
    assert problem.row == 2


def test_claimed_scores_are_held_against_the_predictions(copy, scorer):
    scores = examine(Run.open(copy), scorer).scores
    name = f"{HEADLINE}_median"
    for stated, right in ((round(scores[name], 2), True), (scores[name] - 0.01, False)):
        claim = {"method": "mine", "dataset": "small", "scores": {name: stated}}
        (copy / "card.json").write_text(json.dumps({**CARD, "claim": claim}))
        problems = examine(Run.open(copy), scorer).problems
        assert [p.column for p in problems] == ([] if right else [name])


def test_labels_come_from_what_was_done_and_never_from_a_card(copy, scorer):
    run = Run.open(copy)
    assert trust_of(run) == "scored", "a folder that nobody has signed off gives no other label"
    assert weakest(["reproduced", "scored"]) == "scored"
    assert weakest(["drawn", "reproduced"]) == "drawn"
    for label in ("reproduced", "drawn"):
        (copy / "card.json").write_text(json.dumps({**CARD, "trust": label}))
        (problem,) = examine(run, scorer).problems
        assert (problem.file, problem.column) == ("card.json", "trust")
        assert "'popeq verify --redraw' gives it" in problem.message
    (copy / "card.json").write_text('{"authors": 3}')
    assert {p.file for p in examine(run, scorer).problems} == {"card.json"}


def test_claims_without_predictions_are_found(tmp_path):
    claim = Claim(method="mine", dataset="small", scores={f"{HEADLINE}_median": 1.0})
    for name, card in (
        ("right", Card(**CARD, trust="self-reported", claim=claim)),
        ("other", Card(**CARD, trust="self-reported", claim=claim.model_copy(update={"dataset": "big"}))),
        ("none", Card(**CARD)),
    ):
        (tmp_path / name).mkdir()
        (tmp_path / name / "card.json").write_text(card.model_dump_json())
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "card.json").write_text("{}")
    claims, notes = find_claims(tmp_path, "small")
    assert [card.claim for card in claims] == [claim]
    assert len(notes) == 2


def test_the_command_names_what_does_not_verify_and_exits_1(finished, copy, popeq):
    good = popeq("verify", finished.runs_dir, "--dataset", finished.data, "--format", "json")
    assert good.returncode == 0, good.stderr
    assert {row["verified"] for row in json.loads(good.stdout)["rows"]} == {"yes"}
    edit(copy, lambda r: r.update(seed=7))
    bad = popeq("verify", copy, "--dataset", finished.data)
    assert bad.returncode == 1
    assert "run.json, column key" in bad.stdout
