"""A challenge on private listeners, from end to end: seal, run, send predictions, rank with the answers."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import popeq as package
from popeq.dataset import SealedAnswersError
from popeq.dataset_folder import read_dataset
from popeq.errors import InvalidInputError, UsageError
from popeq.sealing import seal_dataset
from tests.conftest import write_small_dataset


@pytest.fixture
def sealed(small, tmp_path):
    """The sealed copy of ``small`` and the file of its answers."""
    folder, answers = tmp_path / "challenge", tmp_path / "private" / "answers.csv"
    answers.parent.mkdir()
    seal_dataset(small, folder, answers)
    return folder, answers


def test_the_folder_holds_no_answer_and_with_the_file_all_are_back(small, sealed):
    folder, answers = sealed
    whole, bare, full = read_dataset(small), read_dataset(folder), read_dataset(folder, answers)
    assert bare.sealed
    assert not full.sealed
    assert bare.revision == full.revision != whole.revision
    assert set(bare.responses["prompt_id"]).isdisjoint(whole.test_ids)
    assert bare.test_ids == whole.test_ids
    for prompt_id in whole.prompts["prompt_id"]:
        assert np.array_equal(full.points(prompt_id), whole.points(prompt_id))
    texts = [file.read_text() for file in folder.iterdir()]
    held = whole.responses[whole.responses["prompt_id"].isin(whole.test_ids)]
    for p, _, x, y in held.itertuples(index=False):
        assert not any(f"{p}," in text and f",{x},{y}" in text for text in texts)


def test_without_the_answers_training_is_open_and_everything_else_says_that_they_are_sealed(sealed):
    dataset = package.load_dataset(sealed[0])
    stage = dataset.stages[0]
    assert len(dataset.labelled(stage.train)) == 6
    assert [p.prompt_id for p in dataset.unlabelled(stage.test)] == list(stage.test)
    for needs in (
        lambda: dataset.points(stage.test[0]),
        lambda: dataset.labelled(dataset.test_ids),
        lambda: package.score(np.zeros((4, 110, 2)), dataset),
    ):
        with pytest.raises(SealedAnswersError, match=r"sealed.*--answers FILE"):
            needs()


def test_a_challenge_from_end_to_end(tmp_path, popeq):
    small = write_small_dataset(tmp_path / "whole", prompts=16)
    answers = tmp_path / "answers.csv"
    done = popeq("data", "seal", small, "-o", "challenge", "--answers", answers)
    assert done.returncode == 0, done.stderr
    assert "answers, to keep" in done.stdout
    shutil.rmtree(small)
    assert "answers to the test prompts sealed" in popeq("data", "validate", "challenge", check=True).stdout
    assert "sealed" not in popeq("data", "validate", "challenge", "--answers", answers, check=True).stdout
    assert "[test, colour, sealed]" in popeq("data", "show", "challenge", check=True).stdout
    popeq("run", "prior", "random", "--dataset", "challenge", check=True)
    rows = ["prompt_id,sample,x_db,y_db"]
    rows += [f"p{p:02d},{i},{i % 500 / 100},{-i % 500 / 100}" for p in range(8, 16) for i in range(660)]
    (tmp_path / "sent.csv").write_text("\n".join(rows) + "\n")
    sent = popeq("score", "sent.csv", "--dataset", "challenge", "--name", "sent", check=True)
    assert "stored" in sent.stdout
    assert "not scored: the answers are sealed" in sent.stdout
    (run,) = (tmp_path / "runs").glob("*-prior-*")
    given = ("--dataset", "challenge", "--answers", answers)
    for words in (
        ("leaderboard", "show"),
        ("leaderboard", "build", "-o", "site"),
        ("verify",),
        ("compare", "random", "prior"),
        ("regress", "prior", "random"),
        ("power", "random", "prior", "--difference", "0.5"),
        ("show", run),
        ("ablate",),
    ):
        refused = popeq(*words)
        assert refused.returncode == (3 if words[0] == "regress" else 2), words
        assert "the answers to its test prompts are sealed" in refused.stderr, words
        assert "Traceback" not in refused.stderr
        accepted = popeq(*words, *given)
        assert accepted.returncode in ((0, 1, 2) if words[0] == "regress" else (0,)), (words, accepted.stderr)
        assert "sealed" not in accepted.stderr
    board = json.loads(popeq("leaderboard", "show", *given, "--format", "json", check=True).stdout)
    assert {"prior", "random", "sent"} <= {row["predictor"] for row in board["rows"]}
    refused = popeq("ceiling", "challenge")
    assert refused.returncode == 2
    assert "sealed" in refused.stderr
    bare = popeq("leaderboard", "show", "--answers", answers)
    assert bare.returncode == 2
    assert "--answers needs --dataset" in bare.stderr


def test_scores_are_those_of_the_open_data_set(small, sealed):
    samples = np.random.default_rng(0).uniform(-6, 6, (4, 110, 2))
    open_, closed = (package.score(samples, d) for d in (read_dataset(small), read_dataset(*sealed)))
    assert open_.equals(closed)


def test_another_file_than_the_sealed_one_is_refused(small, sealed, tmp_path):
    folder, answers = sealed
    other = tmp_path / "other.csv"
    other.write_text(answers.read_text().replace("l0,", "l9,"))
    for file, says in (
        (other, "its SHA-256 is"),
        (tmp_path / "none.csv", "cannot be read"),
        (tmp_path, "cannot"),
    ):
        with pytest.raises(UsageError, match=says):
            package.load_dataset(folder, file)
    with pytest.raises(UsageError, match="are not sealed; leave it out"):
        package.load_dataset(small, answers)


def test_what_a_sealed_folder_and_its_answers_may_not_hold(sealed, tmp_path):
    import hashlib

    folder, answers = sealed
    mine = tmp_path / "mine.csv"
    text = answers.read_text()
    lines = text.splitlines()
    for content, says in (
        (text + "p00,l7,0,0\n", "'p00' is not one of the test prompts"),
        ("\n".join(line for line in lines if not line.startswith("p09")) + "\n", "'p09' has no row in"),
        (text + "p09,l7,7,0\n", r"outside \[-6, 6\]"),
        (text + lines[-1] + "\n", "already in row"),
        ("a,b\n", "column is missing"),
        ("", "empty"),
    ):
        mine.write_text(content)
        card = (folder / "dataset.toml").read_text()
        sha256 = hashlib.sha256(answers.read_bytes()).hexdigest()
        changed = card.replace(sha256, hashlib.sha256(content.encode()).hexdigest())
        (folder / "dataset.toml").write_text(changed)
        with pytest.raises(InvalidInputError, match=says):
            read_dataset(folder, mine)
        (folder / "dataset.toml").write_text(card)
    with (folder / "responses.csv").open("a") as stream:
        stream.write("p09,l7,0,0\n")
    with pytest.raises(InvalidInputError, match="'p09' is a test prompt"):
        read_dataset(folder)


def test_sealing_refuses_in_one_line_and_leaves_nothing_behind(small, sealed, tmp_path):
    folds = write_small_dataset(tmp_path / "folds", folds=True)
    new, file = tmp_path / "new", tmp_path / "new.csv"
    for source, output, answers, says in (
        (folds, new, file, "it has folds"),
        (sealed[0], new, file, "is sealed already"),
        (small, new, sealed[1], "already exists"),
        (small, new, new / "answers.csv", "is not a folder"),
        (small, tmp_path, tmp_path / "inside.csv", "which is to be given away"),
        (small, sealed[0], file, "already exists; give -o a new folder"),
    ):
        with pytest.raises(UsageError, match=says) as caught:
            seal_dataset(source, output, answers)
        assert "\n" not in str(caught.value)
        assert not new.exists()
        assert not file.exists()
    with (folds / "dataset.toml").open("a") as stream:
        stream.write(f'sealed_answers = "{"0" * 64}"\n')
    with pytest.raises(InvalidInputError, match="needs a split"):
        read_dataset(folds)


def test_listeners_who_answered_test_prompts_alone_may_be_listed(small, tmp_path):
    text = (small / "responses.csv").read_text()
    (small / "responses.csv").write_text(text + "p09,l7,0,0\n")
    (small / "listeners.csv").write_text(
        "listener_id,group\n" + "".join(f"l{j},g\n" for j in (0, 1, 2, 3, 4, 7))
    )
    full = seal_dataset(small, tmp_path / "sealed", tmp_path / "answers.csv")
    assert full.revision == read_dataset(tmp_path / "sealed").revision
    assert set(full.listeners["listener_id"]) == {"l0", "l1", "l2", "l3", "l4", "l7"}
