"""Views of data sets by name: what is in them, and that every command finds them."""

from __future__ import annotations

import dataclasses

import pytest

import popeq
from popeq.content_hash import file_sha256
from popeq.dataset_folder import read_second_panel, withheld_revisions
from popeq.errors import UsageError
from popeq.runs.plan import given_name
from popeq.sealing import seal
from popeq.views import viewed
from tests import preloaded
from tests.conftest import environment, write_small_dataset


def test_folds_test_every_prompt_once_and_never_train_on_it():
    data, bundled = popeq.load_dataset("simulated-120@folds-5"), popeq.load_dataset("simulated-120")
    assert data.card.label == "simulated-120@folds-5 (simulated)"
    assert sorted(data.test_ids) == sorted(bundled.prompts["prompt_id"])
    assert len(data.stages) == 5
    for stage in data.stages:
        assert not set(stage.test) & (set(stage.train) | set(stage.validation))
    for prompt_id in bundled.test_ids:
        assert (data.points(prompt_id) == bundled.points(prompt_id)).all()
    second = read_second_panel(data)
    assert second is not None
    assert second.test_ids == data.test_ids
    # The revision that the script of popeq 0.1 gave, whose scores are in the documentation.
    assert data.revision.startswith("cc1e9604f2ab")


def test_training_subsets_are_nested_and_have_the_categories_in_proportion():
    whole = popeq.load_dataset("simulated-1200")
    (all_of,) = whole.stages
    category = dict(zip(whole.prompts["prompt_id"], whole.prompts["category"], strict=True))

    def share(ids):
        return {name: sum(category[p] == name for p in ids) / len(ids) for name in set(category.values())}

    of_all = share(all_of.train)
    before: dict[int, set[str]] = {0: set(), 1: set()}
    for size in (60, 120, 300):
        for subset in (0, 1):
            view = popeq.load_dataset(f"simulated-1200@train-{size}-{subset}")
            (stage,) = view.stages
            assert len(stage.train) == size
            assert len(stage.validation) == size // 2
            assert stage.test == all_of.test
            assert before[subset] < set(stage.train)
            before[subset] = set(stage.train)
            own = share(stage.train)
            assert all(abs(own[name] - of_all[name]) <= 1 / size + 1e-9 for name in of_all)
    shared = len(before[0] & before[1])
    assert 100 < shared < 200  # of 300 of 600, 150 are expected
    again = popeq.load_dataset("simulated-1200@train-300-1")
    assert set(again.stages[0].train) == before[1]


def test_a_view_is_found_again_and_its_answers_are_withheld():
    base = popeq.load_dataset("simulated-120")
    for name in ("simulated-120@folds-5", "simulated-120@train-20-2"):
        view = popeq.load_dataset(name)
        assert given_name(view) == name
        assert popeq.load_dataset(given_name(view)).revision == view.revision != base.revision
        assert withheld_revisions(view) >= {base.revision, view.revision} | withheld_revisions(base)


def test_a_folder_has_views_and_one_with_that_name_comes_first(tmp_path):
    folder = write_small_dataset(tmp_path / "mine")
    view = popeq.load_dataset(f"{folder}@folds-3")
    assert len(view.stages) == 3
    assert given_name(view) == f"{folder.resolve()}@folds-3"
    write_small_dataset(tmp_path / "mine@folds-3", name="own")
    assert popeq.load_dataset(f"{folder}@folds-3").name == "own"


def test_a_second_panel_without_the_prompts_is_left_out(tmp_path):
    folder = write_small_dataset(tmp_path / "a")
    other = write_small_dataset(tmp_path / "b", seed=2, name="other")
    card = (folder / "dataset.toml").read_text()
    (folder / "dataset.toml").write_text('second_panel = "../b"\n' + card)
    assert read_second_panel(popeq.load_dataset(f"{folder}@folds-3")) is not None
    for file in ("prompts.csv", "responses.csv"):
        lines = (other / file).read_text().splitlines()
        (other / file).write_text("\n".join(x for x in lines if not x.startswith(("p01,", "p02,"))) + "\n")
    assert read_second_panel(popeq.load_dataset(folder)) is not None
    assert read_second_panel(popeq.load_dataset(f"{folder}@folds-3")) is None


@pytest.mark.parametrize(
    ("view", "says"),
    [
        ("folds-1", "there can be 2 to 120 folds"),
        ("folds-121", "there can be 2 to 120 folds"),
        ("train-61-0", "there are 60 training prompts, not 61"),
        ("train-0-0", "there is no such view"),
        ("train-5", "there is no such view"),
        ("nonsense", "NAME@folds-5 .* NAME@train-60-0"),
        ("folds-5@folds-5", "is not a data set|view of a view|no data set"),
    ],
)
def test_what_is_no_view_is_one_clear_line(view, says):
    with pytest.raises(UsageError, match=says) as caught:
        popeq.load_dataset(f"simulated-120@{view}")
    assert "\n" not in str(caught.value)


def test_views_that_would_give_answers_away_or_make_no_sense(tmp_path, small):
    data = popeq.load_dataset(small)
    folds = popeq.load_dataset(write_small_dataset(tmp_path / "folds", folds=True))
    with pytest.raises(UsageError, match="needs a data set with a split"):
        viewed(folds, "train-2-0")
    with pytest.raises(UsageError, match="view of a view"):
        viewed(viewed(data, "train-3-0"), "folds-3")
    sealed = data.card.model_copy(update={"sealed_answers": file_sha256(small / "responses.csv")})
    with pytest.raises(UsageError, match="sealed test answers cannot be put in folds"):
        viewed(dataclasses.replace(data, card=sealed), "folds-3")
    assert len(viewed(folds, "folds-4").stages) == 4
    with pytest.raises(UsageError, match="is a view; seal the data set that it is made from"):
        seal(viewed(data, "train-3-0"), tmp_path / "sealed", tmp_path / "answers.csv")
    assert not (tmp_path / "answers.csv").exists()


def test_runs_of_views_are_ranked_and_verified(tmp_path, small):
    def call(*arguments):
        done = preloaded.run(arguments, tmp_path, environment())
        assert done.returncode == 0, done.stderr
        return done.stdout

    for view in ("folds-3", "train-3-0"):
        call("run", "prior", "--dataset", f"{small}@{view}", "--quiet")
        assert f"small@{view} (simulated)" in call(
            "leaderboard", "show", "--wide", "--dataset", f"{small}@{view}"
        )
    assert call("verify", "--redraw", "--dataset", small).count("yes") >= 2
