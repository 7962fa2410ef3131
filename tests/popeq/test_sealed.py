"""Sealed answers: a data set whose test answers are kept elsewhere, from sealing to a board."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest

import popeq
from popeq.board.scoring import Scorer
from popeq.dataset_card import RESPONSE_COLUMNS
from popeq.dataset_folder import read_dataset
from popeq.errors import InvalidInputError, RunError, SealedError, UsageError
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.sealing import seal
from popeq.tuning.view import tuning_view
from tests.conftest import stored_text, write_small_dataset
from tests.popeq.test_dataset_folder import edit, problems


@pytest.fixture
def small_with_people(small):
    """The small data set with groups of listeners, a card of its own and a listener who is only tested."""
    edit(small / "responses.csv", "p09,l0,", "p09,tested-only,")
    people = ["l0", "l1", "l2", "l3", "l4", "tested-only"]
    (small / "listeners.csv").write_text("listener_id,group\n" + "".join(f"{who},expert\n" for who in people))
    (small / "README.md").write_text("# Small\n\nMade for tests.\n")
    return small


@pytest.fixture
def sealed(small_with_people, tmp_path):
    """The open data set, the sealed folder and the file of answers."""
    original = read_dataset(small_with_people)
    seal(original, tmp_path / "sealed", tmp_path / "answers.csv")
    return original, tmp_path / "sealed", tmp_path / "answers.csv"


def by_prompt(frame):
    return frame.sort_values(["prompt_id", "listener_id"])[list(RESPONSE_COLUMNS)].reset_index(drop=True)


def test_the_folder_and_the_answers_are_the_original_together(sealed):
    original, folder, answers = sealed
    closed, opened = popeq.load_dataset(folder), popeq.load_dataset(folder, answers=answers)
    pd.testing.assert_frame_equal(by_prompt(opened.responses), by_prompt(original.responses))
    pd.testing.assert_frame_equal(opened.prompts, original.prompts)
    pd.testing.assert_frame_equal(closed.listeners, original.listeners)
    tested = original.responses["prompt_id"].isin(original.test_ids)
    pd.testing.assert_frame_equal(by_prompt(closed.responses), by_prompt(original.responses[~tested]))
    assert closed.card.sealed_answers == hashlib.sha256(answers.read_bytes()).hexdigest()
    assert closed.sealed
    assert not opened.sealed
    assert not original.sealed
    assert closed.answered == {p for p in original.answered if p not in original.test_ids}
    card = (folder / "README.md").read_text()
    assert card.startswith("# Small\n\nMade for tests.\n")
    assert "Sealed answers" in card


def test_no_test_answer_is_in_the_sealed_folder(tmp_path, small):
    """Every response is a number that is nowhere else."""
    lines = (small / "responses.csv").read_text().splitlines()
    marked = [f"{','.join(line.split(',')[:2])},{1 + k / 1e4},{-1 - k / 1e4}" for k, line in enumerate(lines)]
    (small / "responses.csv").write_text("\n".join([lines[0], *marked[1:]]) + "\n")
    original = read_dataset(small)
    seal(original, tmp_path / "sealed", tmp_path / "answers.csv")
    text = "".join(p.read_text() for p in (tmp_path / "sealed").rglob("*") if p.is_file())
    for prompt_id in original.prompts["prompt_id"]:
        here = [repr(float(v)) in text for v in original.points(prompt_id).flat]
        assert not any(here) if prompt_id in original.test_ids else all(here)


def test_the_revision_is_the_same_with_and_without_answers_and_depends_on_them(sealed, tmp_path):
    original, folder, answers = sealed
    revision = popeq.load_dataset(folder).revision
    assert popeq.load_dataset(folder, answers=answers).revision == revision
    assert revision != original.revision
    responses = pd.read_csv(original.folder / "responses.csv")
    responses.loc[responses["prompt_id"] == "p08", "x_db"] = 0.25  # a test prompt
    responses.to_csv(original.folder / "responses.csv", index=False)
    changed = seal(read_dataset(original.folder), tmp_path / "sealed-2", tmp_path / "answers-2.csv")
    assert changed.revision != revision


def test_everything_but_test_answers_is_there_without_them(sealed):
    original, folder, _ = sealed
    closed = popeq.load_dataset(folder)
    assert closed.test_ids == original.test_ids
    assert closed.unlabelled(closed.test_ids) == original.unlabelled(original.test_ids)
    (stage,) = closed.stages
    fitted = [*stage.train, *stage.validation]
    for own, theirs in zip(closed.labelled(fitted), original.labelled(fitted), strict=True):
        assert (own.prompt, own.listeners) == (theirs.prompt, theirs.listeners)
        assert np.array_equal(own.responses, theirs.responses)
    one = closed.test_ids[0]
    for ask in (closed.points, lambda p: closed.labelled([p]), lambda p: closed.pooled([p])):
        with pytest.raises(SealedError, match=r"sealed.*--answers FILE"):
            ask(one)
    with pytest.raises(SealedError):
        Scorer(closed, DEFAULT_PROTOCOL)
    assert not tuning_view(closed).sealed
    assert tuning_view(closed).revision == tuning_view(original).revision


def test_a_file_that_is_not_the_sealed_one_is_refused(sealed, tmp_path):
    original, folder, answers = sealed
    wrong = tmp_path / "wrong.csv"
    wrong.write_bytes(answers.read_bytes().replace(b"p08,l0", b"p08,l7"))
    with pytest.raises(UsageError, match=r"wrong\.csv: is not the file of answers") as caught:
        popeq.load_dataset(folder, answers=wrong)
    assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="cannot be read"):
        popeq.load_dataset(folder, answers=tmp_path / "absent.csv")
    with pytest.raises(UsageError, match="has no sealed answers"):
        popeq.load_dataset(original.folder, answers=answers)


def resealed(folder, answers, content: str):
    """Put other answers into the file and their hash into the card."""
    old = hashlib.sha256(answers.read_bytes()).hexdigest()
    answers.write_text(content)
    edit(folder / "dataset.toml", old, hashlib.sha256(answers.read_bytes()).hexdigest())


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (
            "p08,l0,",
            "p00,l9,",
            "'p00' has rows in .*answers.csv; a train prompt has only answers that are not",
        ),
        ("p08,l0,", "p99,l0,", "answers.csv, row 2, column prompt_id: 'p99' is not in prompts.csv"),
        (
            "p08,l0,",
            "p08,l1,",
            "answers.csv, row 3, column listener_id: the answer of listener 'l1' to 'p08' is already",
        ),
        ("p08,l0,", "p08,l0,9,9\np09,l0,", r"answers.csv, row 2, column x_db: 9 is outside"),
        ("p08,l0,", "p08,l8,", "listeners.csv.*listener 'l8' of responses.csv is not listed"),
        ("listener_id,", "listener,", "answers.csv, row 1, column listener_id: the column is missing"),
        ("p08,l0,", "p08,", "answers.csv, row 2: has 3 fields where the header has 4"),
    ],
)
def test_answers_are_read_as_strictly_as_other_responses(sealed, old, new, says):
    _, folder, answers = sealed
    text = answers.read_text()
    assert old in text
    resealed(folder, answers, text.replace(old, new, 1))
    with pytest.raises(InvalidInputError) as caught:
        read_dataset(folder, answers)
    assert re.search(says, str(caught.value))


def test_answers_to_all_test_prompts_are_needed(sealed):
    _, folder, answers = sealed
    kept = [line for line in answers.read_text().splitlines() if not line.startswith("p11")]
    resealed(folder, answers, "\n".join(kept) + "\n")
    with pytest.raises(InvalidInputError, match=r"'p11' has no row in .*answers\.csv"):
        read_dataset(folder, answers)


def test_a_sealed_folder_with_open_test_answers_or_a_wrong_hash_or_folds_is_no_data_set(sealed, tmp_path):
    _, folder, _ = sealed
    edit(folder / "responses.csv", "p00,l0,", "p08,l0,1,1\np00,l0,")
    (problem,) = problems(folder)
    assert "'p08' has rows in responses.csv; a test prompt has only sealed answers" in problem
    edit(folder / "responses.csv", "p08,l0,1,1\n", "")
    card = (folder / "dataset.toml").read_text()
    digest = read_dataset(folder).card.sealed_answers
    (folder / "dataset.toml").write_text(card.replace(digest, "ABC"))
    (problem,) = problems(folder)
    assert problem.startswith("dataset.toml, column sealed_answers: ")
    (folder / "dataset.toml").write_text('second_panel = "../other"\n' + card)
    (problem,) = problems(folder)
    assert "exclude each other" in problem
    folds = write_small_dataset(tmp_path / "folds", folds=True)
    (folds / "dataset.toml").write_text(
        f'sealed_answers = "{digest}"\n' + (folds / "dataset.toml").read_text()
    )
    (problem,) = problems(folds)
    assert "cannot be sealed where there are folds" in problem


def test_a_second_panel_is_left_out_and_cannot_be_sealed(small, tmp_path):
    write_small_dataset(tmp_path / "second", seed=2, name="second")
    card = small / "dataset.toml"
    card.write_text(card.read_text() + 'second_panel = "../second"\n')
    assert seal(read_dataset(small), tmp_path / "sealed", tmp_path / "a.csv").card.second_panel is None
    seal(read_dataset(tmp_path / "second"), tmp_path / "sealed-second", tmp_path / "b.csv")
    edit(card, "../second", "../sealed-second")
    with pytest.raises(UsageError, match="has sealed answers; leave it out"):
        popeq.load_dataset(small)


def test_what_cannot_be_sealed_ends_in_one_line_and_leaves_nothing(sealed, tmp_path):
    original, folder, answers = sealed
    there = sorted(tmp_path.rglob("*"))
    folds = read_dataset(write_small_dataset(tmp_path.parent / f"{tmp_path.name}-folds", folds=True))
    new, fresh = tmp_path / "new", tmp_path / "new.csv"
    for dataset, to, file, says in [
        (folds, new, fresh, "because it has folds"),
        (read_dataset(folder), new, fresh, "is sealed already"),
        (read_dataset(folder, answers), new, fresh, "is sealed already"),
        (original, new, answers, "already exists"),
        (original, new, new / "answers.csv", "is inside"),
        (original, folder, fresh, "already exists"),
    ]:
        with pytest.raises(UsageError, match=says) as caught:
            seal(dataset, to, file)
        assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match="cannot be written"):
        seal(original, new, tmp_path / "absent" / "a.csv")
    assert sorted(tmp_path.rglob("*")) == there


def test_a_challenge_from_end_to_end(popeq_inside, tmp_path):
    write_small_dataset(tmp_path / "whole", prompts=16)
    answers = tmp_path / "keep.csv"
    done = popeq_inside("data", "seal", "whole", "-o", "challenge", "--answers", answers)
    assert done.returncode == 0, done.stderr
    assert "kept: 40 answers to 8 test prompts" in done.stdout

    # without the answers: validate, show, draw, score predictions
    output = popeq_inside("data", "validate", "challenge")
    assert "are sealed" in output.stdout
    assert "sealed]" in popeq_inside("data", "show", "challenge").stdout
    drawn = popeq_inside("run", "prior", "static-flat", "--dataset", "challenge", "--quiet")
    assert drawn.returncode == 0, drawn.stderr
    assert drawn.stdout.splitlines()[-1].startswith("The test answers of small (simulated) are sealed")
    runs = {run.record.predictor.name: run for run in map(popeq.Run.open, (tmp_path / "runs").glob("2*"))}
    (tmp_path / "mine.csv").write_text(stored_text(runs["prior"].folder))
    for _ in range(2):
        given = popeq_inside("score", "mine.csv", "--dataset", "challenge", "--name", "mine")
        assert given.returncode == 0, given.stderr
        assert "are sealed" in given.stdout
        assert "dB (lower is better)" not in given.stdout

    # what needs them says so in one line, and does its work with them
    folder = runs["prior"].folder
    needing = [
        ("leaderboard", "show"),
        ("leaderboard", "build", "-o", "site"),
        ("verify",),
        ("compare", "prior", "static-flat"),
        ("power", "prior", "static-flat"),
        ("ablate",),
        ("show", folder),
        ("regress", "prior", "mine", "--margin", "5"),
    ]
    for command in needing:
        named = ("--dataset", "challenge") if command[0] == "verify" else ()  # it follows no path in a run
        given = popeq_inside(*command, *named)
        assert given.returncode == (3 if command[0] == "regress" else 2), command
        assert len(given.stderr.splitlines()) == 1, given.stderr
        assert "are sealed" in given.stderr
        given = popeq_inside(*command, "--dataset", "challenge", "--answers", answers)
        assert given.returncode == 0, (command, given.stderr)
        wrong = popeq_inside(*command, "--dataset", "challenge", "--answers", tmp_path / "mine.csv")
        assert wrong.returncode == (3 if command[0] == "regress" else 2)
        assert "is not the file of answers" in wrong.stderr
        alone = popeq_inside(*command, "--answers", answers)
        assert alone.returncode == (3 if command[0] == "regress" else 2)
        assert "needs --dataset" in alone.stderr
    for command in [("ceiling", "challenge"), ("data", "show", "challenge", "p08")]:
        assert "are sealed" in popeq_inside(*command).stderr
        assert popeq_inside(*command, "--answers", answers).returncode == 0
    card = {"authors": ["A"], "contact": "a@example.org", "kind": "baseline", "training_data": "none"}
    (tmp_path / "card.json").write_text(json.dumps(card))
    published = ("submit", folder, "--card", "card.json", "--dataset", "challenge", "--to", "results")
    assert "are sealed" in popeq_inside(*published).stderr
    assert not list((tmp_path / "results").rglob("run.json"))
    assert popeq_inside(*published, "--answers", answers).returncode == 0

    # the oracle: the same samples scored on the whole data set, which was never sealed
    whole = read_dataset(tmp_path / "whole")
    opened = popeq.load_dataset(tmp_path / "challenge", answers=answers)
    for run in runs.values():
        expected = popeq.score(run.samples(whole.test_ids, whole.space), whole)
        pd.testing.assert_frame_equal(popeq.score(run, opened), expected)
    board = popeq.leaderboard(dataset=opened, runs_dir=tmp_path / "runs")
    assert set(board.table["predictor"]) >= {"prior", "static-flat", "mine"}


def test_a_sweep_draws_a_sealed_data_set_and_shows_the_boards_of_the_others(popeq_inside, sealed, tmp_path):
    (tmp_path / "sweep.toml").write_text(
        'datasets = ["sealed", "other"]\n[[predictor]]\nname = "static-flat"\n'
    )
    write_small_dataset(tmp_path / "other", seed=3, name="other")
    done = popeq_inside("sweep", "sweep.toml", "--quiet")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.rstrip().splitlines()[-1].startswith("The test answers of small (simulated) are sealed")
    )
    assert "\nother\n" in done.stdout
    assert "\nsmall\n" not in done.stdout
