"""What is not refused is said: what it does to the rows of others, in words that no name can change."""

from __future__ import annotations

import re

import numpy as np

import popeq
from popeq.board.judge import BoardJudgement, Judgement, RunJudgement
from popeq.board.report import report
from popeq.runs.folder import Run
from popeq.verifying import verify
from tests.attacks.world import ALICE, RESULTS, World, git
from tests.conftest import write_small_dataset


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
    monkeypatch.setattr("popeq.board.row_changes.ALPHA", (p[i, j] + q[i, j]) / 2)
    names = {before.entries[k].label for k in (i, j)}
    text = world.refused(r"! .* and .*: (do not )?differ significantly.*; a maintainer decides")
    assert any(names <= set(re.split(r" and |: ", line[2:])) for line in text.splitlines() if line[:1] == "!")


def test_a_branch_without_results_passes(world):
    (world.clone / "README.md").write_text("hello\n")
    found, text = world.judge()
    assert found.ok
    assert text == "No published result changes."


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


def test_a_report_does_not_grow_without_end():
    runs = tuple(RunJudgement(f"run-{k}", ("x" * 5000,)) for k in range(2_000))
    text = report(Judgement((BoardJudgement("small", runs),)))
    assert len(text.encode()) < 1 << 20
    assert "! refused: run-99\n" in text
    assert "\n! 3600 more lines are not shown\n" in text


def test_many_rows_at_once_are_for_people_to_decide(world, monkeypatch):
    monkeypatch.setattr("popeq.board.row_changes.MOST_NEW_ROWS", 1)
    for k in range(2):
        world.forger.run(world.board, f"mine-{k}", points=world.forger.samples(k))
    world.refused("! 2 new rows at once: all rows are tested together")
