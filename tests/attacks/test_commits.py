"""Attacks by what git itself can hold: crossed histories, trees that list each other, names, sizes."""

from __future__ import annotations

import os
import shutil

import pytest

from popeq.board.judge import FILES
from popeq.changed_tree import changed_folders
from popeq.errors import UsageError
from tests.attacks.world import ALICE, RESULTS, World, git


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


@pytest.mark.parametrize("written", [f"{RESULTS}/", f"./{RESULTS}", RESULTS.replace("/", "//")])
def test_a_folder_is_the_same_however_it_is_written(written, world):
    world.forger.run(world.board, "prior", seed=7)
    assert world.judge(results=written) == world.judge()


def test_a_folder_that_is_not_there_is_not_one_in_which_nothing_changes(world):
    world.forger.run(world.board, "prior", seed=7)
    with pytest.raises(UsageError, match=r"origin/main: has no folder leaderboard/result$"):
        world.judge(results="leaderboard/result")


def test_a_run_that_is_dropped_where_two_branches_cross_is_not_lost_unseen(world):
    """Main has merged a branch with a run; the submission merges the same branch without the run. Of the two
    last commits in common one has the run and one has not."""
    clone, theirs = world.clone, world.board / "20250201T000000Z-both"
    git("switch", "--quiet", "-c", "one", cwd=clone)
    (clone / "README.md").write_text("one\n")
    world.commit()
    git("switch", "--quiet", "-c", "two", "origin/main", cwd=clone)
    world.forger.run(world.board, "both", card=ALICE, folder=theirs.name, points=world.forger.samples(2))
    world.commit()
    git("switch", "--quiet", "-c", "merged", "one", cwd=clone)
    git("merge", "--quiet", "--no-ff", "-m", "merge", "two", cwd=clone)
    git("switch", "--quiet", "-c", "crossed", "one", cwd=clone)
    git("merge", "--quiet", "--no-ff", "--no-commit", "two", cwd=clone)
    shutil.rmtree(theirs)
    world.commit()
    with pytest.raises(UsageError, match="crossed: has 2 last commits in common with merged"):
        world.judge("merged", "crossed")
    git("switch", "--quiet", "merged", cwd=clone)
    git("merge", "--quiet", "-m", "merge", "crossed", cwd=clone)
    assert not theirs.exists(), "git itself would drop it"


def test_a_published_file_that_is_not_read_does_not_change_unseen(world):
    """Its copies have no content, so that two of one size look the same."""
    readme = world.clone / RESULTS / "README.md"
    readme.write_text("good")
    world.commit()
    git("branch", "published", cwd=world.clone)
    readme.write_text("evil")
    world.commit()
    with pytest.raises(UsageError, match=r"README\.md: is published, and changes"):
        world.judge("published", "HEAD")


def test_more_bytes_than_are_read_are_refused_before_they_are_written(world, monkeypatch):
    monkeypatch.setattr("popeq.changed_tree._MOST_IN_ALL", 1000)
    world.forger.run(world.board, "mine")
    with pytest.raises(UsageError, match=r"changes \d+ bytes; 1000 are the most"):
        world.judge()


def test_another_repository_in_the_environment_is_not_judged(world, base, monkeypatch):
    """A hook of git runs with such variables."""
    world.forger.run(world.board, "prior", seed=7)
    world.commit()
    monkeypatch.setenv("GIT_DIR", str(base.clone / ".git"))
    found, _ = world.judge("origin/main", "mine")
    assert not found.ok


def test_attributes_filters_and_replaced_commits_change_nothing(world):
    git("config", "filter.evil.smudge", "sed s/1/2/", cwd=world.clone)
    git("config", "diff.evil.textconv", "false", cwd=world.clone)
    git("config", "core.quotePath", "true", cwd=world.clone)
    (world.clone / ".gitattributes").write_text("*.csv filter=evil diff=evil text eol=crlf\n")
    world.forger.run(world.board, "prior", seed=7)
    world.commit()
    git("replace", "HEAD", "origin/main", cwd=world.clone)
    found, text = world.judge("origin/main", "HEAD")
    assert not found.ok
    assert "is a method of the maintainers" in text


Entries = list[tuple[str, str, str]]


def tree(world: World, entries: Entries) -> str:
    """The name of a tree that no checkout would make, of modes, names and contents' names."""
    raw = b"".join(f"{mode} {name}\0".encode() + bytes.fromhex(content) for mode, name, content in entries)
    words = ("hash-object", "-w", "-t", "tree", "--literally", "--stdin")
    return git(*words, cwd=world.clone, content=raw).strip()


def proposed(world: World, run: Entries) -> str:
    """A commit that adds a run's folder with these entries to what is published."""
    made = tree(world, run)
    listed = git("ls-tree", f"origin/main:{RESULTS}/small", cwd=world.clone).splitlines()
    there = [(mode.lstrip("0"), name, content) for mode, _, content, name in map(str.split, listed)]
    for name, others in (("zz", there), *((part, []) for part in ("small", "results", "leaderboard"))):
        made = tree(world, [*others, ("40000", name, made)])
    return git("commit-tree", made, "-p", "origin/main", "-m", "propose", cwd=world.clone).strip()


def blob(world: World, content: bytes = b"{}") -> str:
    return git("hash-object", "-w", "--stdin", cwd=world.clone, content=content).strip()


def nested(world: World) -> str:
    """A tree of ten trees that are the same one, seven times: ten million files in eight objects."""
    made = tree(world, [("100644", f"f{k}", blob(world)) for k in range(10)])
    for _ in range(6):
        made = tree(world, [("40000", f"d{k}", made) for k in range(10)])
    return made


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda w: [("100644", "card.json", blob(w)), ("100644", "card.json", blob(w, b"3"))], "there twice"),
        (lambda w: [("100644", "a/../../b", blob(w))], "is no path"),
        (lambda w: [("100644", "a" * 5000, blob(w))], "is no path"),
        (
            lambda w: [("100644", "a", blob(w)), ("40000", "a", tree(w, [("100644", "b", blob(w))]))],
            "written",
        ),
        (lambda w: [("100644", "run.json", tree(w, []))], "is named as a file and is none"),
        (lambda w: [("40000", "bomb", nested(w))], "has more files than are looked at"),
    ],
    ids=["twice", "leaves", "long", "file-and-folder", "no-file", "bomb"],
)
def test_a_tree_that_no_checkout_would_make_is_one_line(make, says, world, monkeypatch):
    monkeypatch.setattr("popeq.changed_tree._MOST_LISTED", 1 << 20)
    with pytest.raises(UsageError, match=says) as error:
        world.judge("origin/main", proposed(world, make(world)))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("name", [b"\xff\xfe", b"\n::add-mask::x"])
def test_names_of_any_bytes_are_text_in_the_report(name, world):
    run = world.forger.run(world.board, "mine")
    run.rename(run.with_name(os.fsdecode(name)))
    text = world.refused("is of a run with another name")
    text.encode("utf-8")
    assert "\n::add-mask" not in text


def test_a_submodule_and_a_renamed_folder_are_refused(world):
    gitlink = f"160000,{git('rev-parse', 'HEAD', cwd=world.clone).strip()},{RESULTS}/small/sub"
    git("update-index", "--add", "--cacheinfo", gitlink, cwd=world.clone)
    git("commit", "--quiet", "-m", "propose", cwd=world.clone)
    found, text = world.judge("origin/main", "HEAD")
    assert not found.ok
    assert "sub\n!   is no run" in text
    world.board.rename(world.board.with_name("small-2"))
    text = world.refused(r"knn-0\n!   changes or removes what is published")
    assert text.count("no board with a board.json is published there") == 6


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
