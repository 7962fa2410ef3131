"""Attacks on a published board, each on a clone of a repository: refused by name, or said to people."""

from __future__ import annotations

import bz2
import itertools
import os
import re
import shutil
import subprocess
import tracemalloc
from collections import Counter
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import popeq
from popeq.board.judge import FILES, Judgement, judge
from popeq.board.publishing import publish
from popeq.board.report import report
from popeq.board.signed import read_board
from popeq.board.signing import sign
from popeq.changed_tree import changed_folders
from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset
from popeq.errors import PopeqError, UsageError
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.protocol import PROTOCOL_1
from popeq.runs.folder import Run
from popeq.verifying import verify
from tests.conftest import write_small_dataset
from tests.forger import CARD, Forger

PROTOCOL = PROTOCOL_1.model_copy(update={"n_samples": 12, "grid_cells": 8})
ALICE = CARD | {"authors": ["Alice"], "contact": "alice@example.org"}
RESULTS = "leaderboard/results"


def git(*arguments: str, cwd: Path) -> None:
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *who, *arguments], cwd=cwd, env=env, capture_output=True, check=True)


class World(NamedTuple):
    """A contributor's clone of a repository with a signed board, and what a submission needs."""

    clone: Path
    dataset: Dataset
    forger: Forger

    @property
    def board(self) -> Path:
        return self.clone / RESULTS / "small"

    def published(self, name: str) -> Path:
        """The folder of a published run, by its predictor and seed."""
        return self.board / f"20250101T000000Z-{name}"

    def judge(self) -> tuple[Judgement, str]:
        """What is said of a pull request of everything that the clone has, and the report."""
        git("add", "-A", "-f", cwd=self.clone)
        git("commit", "--quiet", "--allow-empty", "-m", "propose", cwd=self.clone)
        with changed_folders(self.clone, "origin/main", "HEAD", RESULTS, FILES) as (before, after):
            found = judge(before, after, dataset_of={"small": self.dataset}.__getitem__)
        return found, report(found)

    def refused(self, says: str) -> str:
        """The report of a submission that must not pass and says why; nothing is said of others' scores."""
        found, text = self.judge()
        assert not found.ok
        assert re.search(says, text), text
        return text


@pytest.fixture(scope="module")
def base(tmp_path_factory) -> World:
    """Three rows of the maintainers, of which one has two seeds, and one of Alice's, on main."""
    root = tmp_path_factory.mktemp("base")
    dataset = read_dataset(write_small_dataset(root / "data", prompts=16))
    world = World(root / "repository", dataset, Forger(dataset, PROTOCOL))
    forger = world.forger
    for name, seed, centre in (("knn", 0, 0.3), ("knn", 1, 0.3), ("prior", 0, 0.0), ("flat", 0, 5.0)):
        own = {"seed": seed, "points": forger.samples(seed + 10, centre), "card": None}
        forger.run(world.board, name, folder=f"20250101T000000Z-{name}-{seed}", **own)
    points = forger.samples(20, -1.0)
    forger.run(world.board, "hers", points=points, card=ALICE, folder="20250101T000000Z-hers-0")
    sign(world.board, dataset, PROTOCOL)
    shutil.rmtree(world.board / ".locks")
    git("init", "--quiet", cwd=world.clone)
    git("add", ".", cwd=world.clone)
    git("commit", "--quiet", "-m", "begin", cwd=world.clone)
    return world


@pytest.fixture
def world(base, tmp_path) -> World:
    git("clone", "--quiet", str(base.clone), str(tmp_path / "clone"), cwd=tmp_path)
    git("switch", "--quiet", "-c", "mine", cwd=tmp_path / "clone")
    return base._replace(clone=tmp_path / "clone")


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
]


@pytest.mark.parametrize(("attack", "says"), ATTACKS)
def test_an_attack_is_refused_by_name(attack, says, world):
    attack(world)
    world.refused(says)


def test_an_honest_submission_passes_and_changes_no_row_of_anybody(world):
    run = world.forger.run(world.board, "mine", points=world.forger.samples(3, -0.5))
    found, text = world.judge()
    assert found.ok, text
    assert text.startswith("Nothing of anybody else changes.")
    assert f"+ verified: {run.name}" in text
    assert re.search(r"\+ mine: rank \d to \d, \d\.\d\d dB", text)
    again, text = World.judge(world)
    assert again == found


def test_a_new_row_that_changes_a_rank_among_the_others_is_for_a_maintainer(world, base, monkeypatch):
    """All pairs are tested together: with one more row the p of a pair is another one."""
    before = popeq.leaderboard([world.board], base.dataset)
    world.forger.run(world.board, "mine", points=world.forger.samples(3, -0.5))
    after = popeq.leaderboard([world.board], base.dataset)
    place = {entry.label: i for i, entry in enumerate(after.entries)}
    old = [place[entry.label] for entry in before.entries]
    p, q = before.pairs.p, after.pairs.p[np.ix_(old, old)]
    i, j = np.unravel_index(np.nanargmax(np.abs(p - q)), p.shape)
    assert p[i, j] != q[i, j]
    monkeypatch.setattr("popeq.board.judge.ALPHA", (p[i, j] + q[i, j]) / 2)
    names = {before.entries[k].label for k in (i, j)}
    text = world.refused(r"! .* and .*: (do not )?differ significantly.*; a maintainer decides")
    assert any(names <= set(re.split(r" and |: ", line[2:])) for line in text.splitlines() if line[:1] == "!")


def test_a_changed_board_json_is_refused_whatever_it_holds(world):
    (world.board / "board.json").write_bytes(b"\x80")
    run = world.forger.run(world.board, "mine", points=world.forger.samples(3))
    text = world.refused(r"! refused: board\.json")
    assert f"! refused: {run.name}" in text
    assert "is not looked at, because board.json changes" in text


def test_a_folder_whose_name_is_no_text_is_a_line_of_the_table(world):
    run = world.forger.run(world.board, "mine", points=world.forger.samples(3))
    run.rename(run.with_name("20260101T000000Z-\udc80mine"))
    found = verify([world.board], world.dataset)
    assert "20260101T000000Z-\\udc80mine" in list(found.table["run"])


def test_a_branch_without_results_passes(world):
    (world.clone / "README.md").write_text("hello\n")
    found, text = world.judge()
    assert found.ok
    assert text == "No published result changes."


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


def test_a_copied_card_does_not_prove_who_sent_a_seed(world):
    """Eve signs as Alice: nothing in the files is wrong, so what it does is said, and people decide."""
    world.forger.run(world.board, "hers", seed=7, card=ALICE, points=world.forger.samples(1, 5.0))
    text = world.refused(
        r"! hers: .* would be averaged into it \(\d.* dB\); a card does not prove who sent it"
    )
    assert "+ verified" in text


def test_a_seed_that_is_there_already_is_refused_for_its_owner_too(world):
    world.forger.run(world.board, "hers", card=ALICE, points=world.forger.samples(9))
    world.refused("is that of 20250101T000000Z-hers-0, which is there already")


def test_another_row_of_a_name_does_not_rename_the_rows_of_others(world):
    world.forger.run(world.board, "knn", parameters={"k": 3}, points=world.forger.samples(3))
    found, text = world.judge()
    assert found.ok, text
    assert "+ knn (k=3): rank" in text
    git("reset", "--quiet", "--hard", "origin/main", cwd=world.clone)
    world.forger.run(world.board, "hers", parameters={"k": 3}, points=world.forger.samples(3))
    world.refused(r"! hers: would be called hers \(")


def test_a_path_to_a_data_set_is_not_followed(world):
    """A folder with the submitter's own answers, named as what the run was drawn on."""
    best = world.forger.samples(3, 0.2)
    run = world.forger.run(world.board, "mine", points=best)
    record = Run.open(run).record
    own = write_small_dataset(world.clone / "small", seed=9, prompts=16)
    moved = record.dataset.model_copy(update={"given": str(own)})
    Run(run, record).update(dataset=moved)
    found, text = world.judge()
    assert found.ok, text
    (judged,) = found.boards[0].runs
    there = verify([run], world.dataset)
    assert judged.mean_db == there.table["reflective_kantorovich_mean"].iloc[0]
    alone = verify([run])
    assert not alone.ok
    assert "no installed data set is called 'small'" in " ".join(alone.notes)


def test_names_are_data(world):
    """Markdown, HTML, the end of a block of code, regular expressions and controls in names."""
    hostile = "``````\n# owned <script> .*[ \x1b[31m\u202e| `x`"
    world.forger.run(world.board, "mine", parameters={hostile: hostile}, folder="20260101T000000Z-a.*`b`[")
    found, text = world.judge()
    assert found.ok, text
    fences = [line for line in text.splitlines() if re.fullmatch(r"`{3,}(text)?", line)]
    assert len(fences) % 2 == 0
    inside = False
    for line in text.splitlines():
        if re.fullmatch(r"`{3,}(text)?", line):
            inside = not inside
        elif "owned" in line or "b`[" in line:
            assert inside, line
    assert "\x1b" not in text
    assert "\u202e" not in text


def test_a_name_cannot_end_a_block_of_code(world):
    world.forger.run(world.clone / RESULTS / "````", "mine")
    assert "`````text\n````\n`````\n" in world.refused("is published there")


def test_too_many_files_and_commits_that_are_not_there_are_one_line(world, monkeypatch):
    monkeypatch.setattr("popeq.changed_tree._MOST_FILES", 3)
    for k in range(4):
        (world.board / f"{k}.txt").write_text("a")
    with pytest.raises(UsageError, match="changes 4 files; 3 are the most"):
        world.judge()
    with (
        pytest.raises(UsageError, match="git rev-parse failed"),
        changed_folders(world.clone, "--upload-pack=touch x", "HEAD", RESULTS, FILES),
    ):
        pass


def test_a_published_board_that_cannot_be_built_is_a_failure(base, tmp_path):
    """Whatever the submission holds: a run without a card, which nobody signed off, is on main."""
    repository = shutil.copytree(base.clone, tmp_path / "repository")
    broken = base._replace(clone=repository)
    broken.forger.run(broken.board, "odd", card=None)
    git("add", "-A", cwd=repository)
    git("commit", "--quiet", "-m", "odd", cwd=repository)
    git("clone", "--quiet", str(repository), str(tmp_path / "clone"), cwd=tmp_path)
    world = base._replace(clone=tmp_path / "clone")
    world.forger.run(world.board, "mine")
    world.refused("the published board cannot be built: .*is not the board that board.json describes")


# The same by the commands that people run in a folder.


def added(world: World, **more: object) -> Path:
    return world.forger.run(world.board, **more)


@pytest.mark.parametrize(
    ("attack", "says"),
    [
        ({"name": "prior", "seed": 7}, "is a method of the maintainers"),
        ({"name": "hers", "seed": 7}, "is a method of Alice <alice@example.org>"),
        ({"name": "knn"}, "is that of 20250101T000000Z-knn-0, which is there already"),
        ({"name": "mine", "card": None}, "board.json does not list the run"),
        ({"name": "mine", "origin": "submitted", "key": "0" * 64}, "is not the SHA-256"),
    ],
)
def test_verify_and_boards_refuse_what_takes_from_others(world, attack, says):
    run = added(world, **attack)
    found = verify([world.board], world.dataset)
    said = [note for note in found.notes if note.startswith(run.name)]
    assert not found.ok
    assert len(said) == 1
    assert re.search(says, said[0])
    assert set(found.table.loc[found.table["run"] != run.name, "verified"]) == {"yes"}
    if "SHA" not in says:
        with pytest.raises(UsageError, match=says):
            entries_of([world.board], world.dataset)


def test_submit_refuses_what_takes_from_others(world, tmp_path):
    own = Forger(world.dataset, PROTOCOL)
    for name, seed, protocol, says in (
        ("prior", 7, PROTOCOL, "is a method of the maintainers"),
        ("hers", 7, PROTOCOL, "is a method of Alice"),
        ("knn", 0, PROTOCOL, "is that of 20250101T000000Z-knn-0"),
        ("mine", 0, PROTOCOL.model_copy(update={"n_samples": 5}), "is not custom protocol"),
    ):
        forger = Forger(world.dataset, protocol)
        run = forger.run(tmp_path / "runs", name, seed=seed)
        with pytest.raises(UsageError, match=says):
            publish(Run.open(run), world.dataset, None, world.board.parent)
    other = read_dataset(write_small_dataset(tmp_path / "data", seed=4, prompts=16))
    run = Forger(other, PROTOCOL).run(tmp_path / "runs", "mine")
    with pytest.raises(UsageError, match=r"board\.json: is of revision"):
        publish(Run.open(run), other, None, world.board.parent)
    run = own.run(tmp_path / "runs", "mine", seed=1)
    seen, target = publish(Run.open(run), world.dataset, None, world.board.parent)
    assert seen.trust == "scored"
    assert verify([world.board], world.dataset).ok
    assert target.is_dir()


def test_links_devices_and_pipes_are_refused_before_they_are_read(world):
    """A read of any of them would not end, or would lead elsewhere."""
    for number, (file, make) in enumerate(
        (
            ("card.json", lambda path: path.symlink_to("/dev/zero")),
            ("card.json", os.mkfifo),
            ("predictions.csv", os.mkfifo),
            ("run.json", os.mkfifo),
            ("run.json", lambda path: path.symlink_to("/dev/zero")),
        )
    ):
        run = added(world, name=f"mine-{number}")
        (run / file).unlink()
        make(run / file)
        with pytest.raises(PopeqError, match=f"{file}: is "):
            Run.open(run)
        found = verify([world.board], world.dataset)
        assert not found.ok
        assert any(file in note for note in found.notes)
        shutil.rmtree(run)
    assert verify([world.board], world.dataset).ok


def test_labels_are_the_boards(world):
    entries = {e.label: e.trust for e in entries_of([world.board], world.dataset)[1]}
    assert entries == {"knn": "drawn", "prior": "drawn", "flat": "drawn", "hers": "scored"}
    board = read_board(world.board)
    assert board.signed
    for sent in (world.published("hers-0"), world.published("knn-0")):
        shutil.copytree(sent, world.clone / "alone" / sent.name)
    alone = {e.label: e.trust for e in entries_of([world.clone / "alone"], world.dataset)[1]}
    assert alone == {"knn": "scored", "hers": "scored"}, "nothing in a run gives a label"


def test_a_bomb_that_its_own_protocol_allows_is_not_unpacked(world):
    large = PROTOCOL.model_copy(update={"n_samples": 100_000})
    run = world.forger.run(world.board, "mine", protocol=large)
    (run / "predictions.csv").write_bytes(bz2.compress(bytes(100 << 20)))
    tracemalloc.start()
    try:
        world.refused("column protocol: is not custom protocol")
        assert tracemalloc.get_traced_memory()[1] < 30 << 20
    finally:
        tracemalloc.stop()


def test_a_run_is_the_same_from_inside_its_folder(world, monkeypatch):
    """Its name, and what is beside it, count for its label."""
    monkeypatch.chdir(world.published("knn-0"))
    found = verify(["."], world.dataset)
    assert found.ok, found.notes
    assert found.table["trust"].tolist() == ["drawn"]


def test_many_rows_at_once_are_for_people_to_decide(world, monkeypatch):
    monkeypatch.setattr("popeq.board.judge.MOST_NEW_ROWS", 1)
    for k in range(2):
        world.forger.run(world.board, f"mine-{k}", points=world.forger.samples(k))
    world.refused("! 2 new rows at once: all rows are tested together")


HONEST = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 1), st.floats(-4, 4)),
    min_size=1,
    max_size=4,
    unique_by=lambda run: run[:2],
)
OWNERS = (None, ALICE, CARD | {"authors": ["Bob"], "contact": "bob@example.org"})
FORGED = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c", "A", "d", "prior"]),
        "seed": st.integers(0, 2),
        "parameters": st.sampled_from([{}, {}, {"k": 1}]),
        "origin": st.sampled_from(["drawn", "drawn", "submitted"]),
        "card": st.sampled_from([CARD, CARD, *OWNERS]),
        "centre": st.floats(-5, 5),
        "key": st.sampled_from(["own", "own", "taken", "0" * 64]),
        "folder": st.sampled_from(["0-first", "z-last"]),
        "n": st.sampled_from([12, 12, 12, 5]),
    }
)


def rows_of(
    board: Path, dataset: Dataset, among: Collection[str] | None = None
) -> dict[str, dict[str, object]]:
    """Each row of a board, by the folder of its first run: its cells but the rank, its runs, its scores by
    prompt, and how many rows ``among`` some (default: all) are significantly better and worse."""
    found = popeq.leaderboard([board], dataset)
    cells = found.table.drop(columns=["rank", "rank_worst"]).to_dict(orient="records")
    names = [entry.runs[0].folder.name for entry in found.entries]
    others = [j for j, name in enumerate(names) if among is None or name in among]
    means = np.array([entry.mean for entry in found.entries])
    differ = found.pairs.p < 0.05
    return {
        name: cells[i]
        | {"runs": [r.folder.name for r in entry.runs], "all": entry.table.scores(HEADLINE).tolist()}
        | {"better": int(sum(differ[i, j] and means[j] < means[i] for j in others))}
        | {"worse": int(sum(differ[i, j] and means[j] > means[i] for j in others))}
        for i, (name, entry) in enumerate(zip(names, found.entries, strict=True))
    }


def test_no_forged_addition_changes_what_belongs_to_others_without_a_word(base, tmp_path):
    """Random boards with owners, and a random run added: refused or said, or every row is as it was.

    A rank is that among the rows that were there: as many of these are significantly better and worse.
    """
    outcomes: Counter[bool] = Counter()
    made = itertools.count()

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(HONEST, FORGED)
    def check(honest, forged):
        root = tmp_path / str(next(made))
        before, after = root / "before" / "small", root / "after" / "small"
        for name, seed, centre in honest:
            own = {"seed": seed, "card": OWNERS["abc".index(name)]}
            points = base.forger.samples(seed, centre)
            base.forger.run(before, name, folder=f"r-{name}-{seed}", points=points, **own)
        sign(before, base.dataset, PROTOCOL)
        shutil.copytree(before, after)
        forged = dict(forged)
        key, n, centre = forged.pop("key"), forged.pop("n"), forged.pop("centre")
        if key != "own":
            name, seed, _ = honest[0]
            forged["key"] = Run.open(before / f"r-{name}-{seed}").record.key if key == "taken" else key
        forger = Forger(base.dataset, PROTOCOL.model_copy(update={"n_samples": n}))
        forger.run(after, points=forger.samples(5, centre), **forged)
        found = judge(before.parent, after.parent, dataset_of={"small": base.dataset}.__getitem__)
        outcomes[found.ok] += 1
        if not found.ok:
            assert "\n! " in report(found)
            return
        old = rows_of(before, base.dataset)
        new = rows_of(after, base.dataset, among=old)
        assert list(old) == [name for name in new if name in old]
        assert len(new) == len(old) + 1
        for name, row in old.items():
            assert repr(row) == repr(new[name])

    check()
    assert outcomes[True] >= 3
    assert outcomes[False] >= 3
