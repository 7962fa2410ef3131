"""Attacks by what a submission adds, changes or removes: each is refused, and the report says why."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest

from popeq.board.signing import sign
from popeq.dataset_folder import read_dataset
from popeq.runs.folder import Run
from tests.attacks.world import ALICE, PROTOCOL, RESULTS, World, git
from tests.conftest import write_small_dataset
from tests.forger import CARD, Forger


def attacked(make: Callable[[World], object], says: str) -> pytest.param:
    return pytest.param(make, says, id=make.__name__.strip("_"))


def _key_of_a_run(world: World) -> None:
    key = Run.open(world.published("knn-0")).record.key
    world.forger.run(world.board, "better", origin="submitted", key=key)


def _the_same_run_with_other_predictions(world: World) -> None:
    world.forger.run(world.board, "knn", card=CARD)


def _another_seed_of_the_maintainers_method(world: World) -> None:
    world.forger.run(world.board, "prior", seed=7, points=world.forger.samples(1, 5.0))


def _another_seed_of_the_method_in_capitals_as_sent_predictions(world: World) -> None:
    world.forger.run(world.board, "Prior", seed=7, origin="submitted")


def _another_seed_of_alices_method(world: World) -> None:
    world.forger.run(world.board, "hers", seed=7)


def _a_protocol_of_fewer_samples_that_sorts_first(world: World) -> None:
    other = Forger(world.dataset, PROTOCOL.model_copy(update={"n_samples": 5}))
    other.run(world.board, "mine", folder="00000000T000000Z-mine")


def _another_data_set(world: World) -> None:
    folder = write_small_dataset(world.clone / "data", seed=5, prompts=16)
    Forger(read_dataset(folder), PROTOCOL).run(world.board, "mine")


def _a_data_set_of_the_same_revision_in_words_only(world: World) -> None:
    folder = write_small_dataset(world.clone / "data", name="other", prompts=16)
    Forger(read_dataset(folder), PROTOCOL).run(world.board, "mine")


def _no_card(world: World) -> None:
    world.forger.run(world.board, "mine", card=None)


def _a_card_that_is_no_card(world: World) -> None:
    world.forger.run(world.board, "prior", seed=7, card={"authors": 3})


def _a_label_on_the_card(world: World) -> None:
    world.forger.run(world.board, "mine", card=CARD | {"trust": "reproduced"})


def _a_board_file_in_the_run(world: World) -> None:
    shutil.copy(world.board / "board.json", world.forger.run(world.board, "mine") / "board.json")


def _a_changed_board_file(world: World) -> None:
    world.forger.run(world.board, "mine")
    sign(world.board, world.dataset, PROTOCOL)


def _a_board_of_its_own(world: World) -> None:
    world.forger.run(world.clone / RESULTS / "other", "mine")
    sign(world.clone / RESULTS / "other", world.dataset, PROTOCOL)


def _a_published_run_removed(world: World) -> None:
    shutil.rmtree(world.published("knn-1"))


def _a_published_card_changed(world: World) -> None:
    (world.published("hers-0") / "card.json").write_text('{"authors": ["Eve"]}')


def _a_run_folder_that_is_a_link(world: World) -> None:
    run = world.forger.run(world.clone / "elsewhere", "mine")
    (world.board / run.name).symlink_to(run)


def _a_card_that_leads_to_an_endless_device(world: World) -> None:
    run = world.forger.run(world.board, "mine", card=None)
    (run / "card.json").symlink_to("/dev/zero")


def _predictions_that_lead_elsewhere(world: World) -> None:
    run = world.forger.run(world.board, "mine")
    shutil.move(run / "predictions.csv", world.clone / "mine.csv")
    (run / "predictions.csv").symlink_to(world.clone / "mine.csv")


def _a_program_beside_the_predictions(world: World) -> None:
    (world.forger.run(world.board, "mine") / "setup.py").write_text("print('hello')\n")


def _a_folder_in_the_run(world: World) -> None:
    run = world.forger.run(world.board, "mine")
    (run / "more").mkdir()
    (run / "more" / "a.txt").write_text("a")


def _a_card_that_is_too_large(world: World) -> None:
    (world.forger.run(world.board, "mine") / "card.json").write_text(" " * 70_000)


def _other_predictions_than_the_record_says(world: World) -> None:
    path = world.forger.run(world.board, "mine") / "predictions.csv"
    path.write_text(path.read_text() + "\n")


def _two_seeds_that_are_one(world: World) -> None:
    for k in range(2):
        world.forger.run(world.board, "mine", origin="submitted", points=world.forger.samples(k))


def _a_stray_file(world: World) -> None:
    (world.clone / RESULTS / "README.md").write_text("hello")


def _another_folder_name(world: World) -> None:
    run = world.forger.run(world.board, "mine")
    run.rename(run.with_name("20250101T000000Z-knn-9"))


def _a_run_whose_name_differs_in_case_from_one_that_is_there(world: World) -> None:
    world.forger.run(world.board, "mine", folder="20250101T000000Z-KNN-0")


def _two_runs_whose_names_differ_in_the_form_of_an_accent(world: World) -> None:
    for k, name in enumerate(("\u00e9", "e\u0301")):
        world.forger.run(world.board, f"mine-{k}", folder=f"20250101T000000Z-{name}")


def _a_predictor_whose_name_looks_like_another(world: World) -> None:
    world.forger.run(world.board, "kn\u0578")


def _a_row_that_is_called_as_another_in_capitals(world: World) -> None:
    world.forger.run(world.board, "KNN", parameters={"k": 3})


def _a_method_of_alice_with_a_number_written_otherwise(world: World) -> None:
    world.forger.run(world.board, "mine", parameters={"k": 3}, card=ALICE)
    world.forger.run(world.board, "mine", parameters={"k": 3.0}, seed=7)


ATTACKS = [
    attacked(_key_of_a_run, "key: is that of 20250101T000000Z-knn-0, which is there already"),
    attacked(_key_of_a_run, "key: is not the SHA-256 of what the record says was run"),
    attacked(_the_same_run_with_other_predictions, "key: is that of 20250101T000000Z-knn-0"),
    attacked(_another_seed_of_the_maintainers_method, "prior with these .* is a method of the maintainers"),
    attacked(_another_seed_of_the_method_in_capitals_as_sent_predictions, "is the name of a predictor"),
    attacked(_another_seed_of_alices_method, "is a method of Alice <alice@example.org>"),
    attacked(_a_protocol_of_fewer_samples_that_sorts_first, "column protocol: is not custom protocol"),
    attacked(_another_data_set, "column dataset.revision: is "),
    attacked(_a_data_set_of_the_same_revision_in_words_only, "dataset.name: is 'other', not 'small'"),
    attacked(_no_card, "is no run made by 'popeq submit'"),
    attacked(_a_card_that_is_no_card, "wrong card"),
    attacked(_a_label_on_the_card, "no card can say 'reproduced'"),
    attacked(_a_board_file_in_the_run, "board.json: is no file of a published run"),
    attacked(_a_changed_board_file, "board.json\n!   changes or removes what is published"),
    attacked(_a_board_of_its_own, "no board with a board.json is published there"),
    attacked(_a_published_run_removed, "knn-1\n!   changes or removes what is published"),
    attacked(_a_published_card_changed, "hers-0\n!   changes or removes what is published"),
    attacked(_a_run_folder_that_is_a_link, "is a link or no folder"),
    attacked(_a_card_that_leads_to_an_endless_device, "card.json: is a link"),
    attacked(_predictions_that_lead_elsewhere, "predictions.csv: is a link"),
    attacked(_a_program_beside_the_predictions, "setup.py: is no file of a published run"),
    attacked(_a_folder_in_the_run, "more: is no file of a published run"),
    attacked(_a_card_that_is_too_large, "card.json: has 70000 bytes; 65536 are the most"),
    attacked(_other_predictions_than_the_record_says, "its text's SHA-256 is"),
    attacked(_two_seeds_that_are_one, "seed: 0 of mine is there already"),
    attacked(_a_stray_file, "README.md"),
    attacked(_another_folder_name, "is of a run with another name"),
    attacked(_a_run_whose_name_differs_in_case_from_one_that_is_there, "take for that of another"),
    attacked(_two_runs_whose_names_differ_in_the_form_of_an_accent, "take for that of another"),
    attacked(_a_predictor_whose_name_looks_like_another, "predictor.name: use up to 64 letters"),
    attacked(_a_row_that_is_called_as_another_in_capitals, "KNN is written knn here"),
    attacked(_a_method_of_alice_with_a_number_written_otherwise, "is a method of Alice <alice@example.org>"),
]


@pytest.mark.parametrize(("attack", "says"), ATTACKS)
def test_an_attack_is_refused_by_name(attack, says, world):
    attack(world)
    world.refused(says)


def test_a_changed_board_json_is_refused_whatever_it_holds(world):
    (world.board / "board.json").write_bytes(b"\x80")
    run = world.forger.run(world.board, "mine", points=world.forger.samples(3))
    text = world.refused(r"! refused: board\.json")
    assert f"! refused: {run.name}" in text
    assert "is not looked at, because board.json changes" in text


def test_what_others_published_meanwhile_counts(world, base):
    """The branch began before somebody else's row was merged; it has the same method."""
    git("init", "--quiet", "--bare", str(world.clone.parent / "bare"), cwd=world.clone)
    git("remote", "set-url", "origin", str(world.clone.parent / "bare"), cwd=world.clone)
    world.forger.run(world.board, "both", card=ALICE, folder="20250201T000000Z-both")
    git("add", "-A", cwd=world.clone)
    git("commit", "--quiet", "-m", "hers", cwd=world.clone)
    git("push", "--quiet", "origin", "mine:main", cwd=world.clone)
    git("reset", "--quiet", "--hard", "HEAD~1", cwd=world.clone)
    world.forger.run(world.board, "both", seed=1)
    world.refused("is a method of Alice")
