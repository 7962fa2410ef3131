"""A folder of a repository before and after a submission, from two commits, without a checkout of either.

Paths, kinds and sizes are read from git's trees before any content is. A link becomes a link that leads
nowhere, a file that is too large an empty one of its size: both are refused where the folders are looked at.
"""

from __future__ import annotations

import contextlib
import os
import posixpath
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from popeq.errors import UsageError
from popeq.plain_text import visible

_LINK, _FOLDER = "120000", ("160000", "040000")
#: The most files that may change (100 runs: each is scored, and each pair of rows tested), and the most bytes
#: of one of them and of all of them that are read.
_MOST_FILES, _MOST_BYTES, _MOST_IN_ALL = 300, 128 << 20, 512 << 20
#: Bytes of a list of files, some 100,000 of them: of a few folders that hold each other, git can list more
#: files than a machine can hold.
_MOST_LISTED = 16 << 20
#: Characters of a path, which systems limit too.
_MOST_IN_PATH = 1_000
#: Variables by which git reads another repository than the one that it is given.
_ELSEWHERE = (
    *("GIT_DIR", "GIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_INDEX_FILE", "GIT_SHALLOW_FILE"),
    *("GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_GRAFT_FILE"),
)


@dataclass(frozen=True)
class _Blob:
    """An entry of a tree: its mode, the name of its content and its size in bytes."""

    mode: str
    name: str
    size: int

    def is_read(self, path: str, sizes: Mapping[str, int]) -> bool:
        """Whether its content is read, at this path: that of a file of a known name and size."""
        most = min(sizes.get(path.rpartition("/")[2], 0), _MOST_BYTES)
        return self.mode not in (_LINK, *_FOLDER) and self.size <= most


@contextlib.contextmanager
def changed_folders(
    repository: Path, base: str, head: str, folder: str, sizes: Mapping[str, int]
) -> Iterator[tuple[Path, Path]]:
    """Temporary copies of a folder as ``base`` has it, and with what ``head`` changed since both parted.

    Only folders in it in which something changes are there. ``sizes`` are the files whose content is wanted,
    by last name, with the most bytes; others have no content.

    Raises
    ------
    UsageError
        If there are no such commits or folder; both parted at several commits; git is missing; the submission
        changes more than 300 files or 512 MiB, or a published file that is not read; or a tree is no tree
        that a checkout can have, or has more files than are looked at.
    """
    ours, theirs = _commit(repository, base), _commit(repository, head)
    parted, *more = _git(repository, "merge-base", "--all", ours, theirs).split()
    if more:  # git would merge with a mixture of all of them
        raise UsageError(
            f"{visible(head, 100)}: has {len(more) + 1} last commits in common with {visible(base, 100)}, so "
            f"that what it changes is not certain; make the branch again from {visible(base, 100)}"
        )
    folder = posixpath.normpath(folder)
    published, new, old = (_tree(repository, commit, folder) for commit in (ours, theirs, parted))
    if not published:  # a wrong name would be a folder in which nothing changes
        raise UsageError(f"{visible(base, 100)}: has no folder {visible(folder, 200)}")
    changes = {path: new.get(path) for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    if len(changes) > _MOST_FILES:
        raise UsageError(f"{visible(head, 100)}: changes {len(changes)} files; {_MOST_FILES} are the most")
    touched = {path.split("/")[0] for path in changes}
    before = {path: blob for path, blob in published.items() if path.split("/")[0] in touched}
    after = {path: blob for path, blob in (before | changes).items() if blob is not None}
    _refuse_unread(before, after, sizes)
    total = sum(blob.size for path, blob in changes.items() if blob is not None and blob.is_read(path, sizes))
    if total > _MOST_IN_ALL:
        raise UsageError(f"{visible(head, 100)}: changes {total} bytes; {_MOST_IN_ALL} are the most")
    with tempfile.TemporaryDirectory(prefix="popeq-judge-") as made:
        places = Path(made, "before"), Path(made, "after")
        for place, tree in zip(places, (before, after), strict=True):
            place.mkdir()
            _write(repository, tree, place, sizes)
        yield places


def _refuse_unread(before: Mapping[str, _Blob], after: Mapping[str, _Blob], sizes: Mapping[str, int]) -> None:
    """UsageError for a file that is read on neither side and is not the same: copies would not show it."""
    for path, blob in after.items():
        old = before.get(path, blob)
        if old != blob and not old.is_read(path, sizes) and not blob.is_read(path, sizes):
            raise UsageError(f"{visible(path, 200)}: is published, and changes; its content is not looked at")


def _commit(repository: Path, name: str) -> str:
    return _git(repository, "rev-parse", "--verify", "--end-of-options", f"{name}^{{commit}}").strip()


def _tree(repository: Path, commit: str, folder: str) -> dict[str, _Blob]:
    """Everything below a folder of a commit, by its path from there."""
    found = {}
    listed = _git(repository, "ls-tree", "-r", "-l", "-z", "--full-tree", f"{commit}", "--", f"{folder}/")
    for line in filter(None, listed.split("\0")):
        about, _, path = line.partition("\t")
        mode, _, name, size = about.split()
        inside = path.removeprefix(f"{folder}/")
        if {"", ".", "..", ".git"} & {*inside.split("/")} or len(path) > _MOST_IN_PATH or inside in found:
            raise UsageError(f"{visible(path, 200)}: is no path that a checkout can have, or is there twice")
        found[inside] = _Blob(mode, name, int(size) if size.isdigit() else 0)
    return found


def _write(repository: Path, tree: dict[str, _Blob], place: Path, sizes: Mapping[str, int]) -> None:
    """Write the entries of a tree as files below a folder."""
    wanted = {}
    try:
        for path, blob in tree.items():
            target = place / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if blob.mode == _LINK:
                target.symlink_to("what-the-submission-links-to")
            elif blob.mode in _FOLDER:
                target.mkdir()
            elif blob.is_read(path, sizes):
                wanted[target] = blob.name
            else:
                with target.open("xb") as file:
                    file.truncate(blob.size)
        for target, content in zip(wanted, _contents(repository, wanted.values()), strict=True):
            with target.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise UsageError(f"the submission cannot be written here: {error.strerror}") from None


def _contents(repository: Path, names: Iterable[str]) -> Iterator[bytes]:
    """The contents of blobs, in order."""
    words = [*_command(repository), "cat-file", "--batch"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=_environment()) as git:
        assert git.stdin
        assert git.stdout
        for name in names:
            git.stdin.write(f"{name}\n".encode())
            git.stdin.flush()
            about = git.stdout.readline().decode().split()
            if about[1:2] != ["blob"]:
                raise UsageError(f"{name}: is named as a file and is none, or is missing")
            yield git.stdout.read(int(about[2]))
            git.stdout.read(1)
        git.stdin.close()


def _command(repository: Path) -> list[str]:
    own = ["--no-replace-objects", "--literal-pathspecs", "-c", "core.fsmonitor="]
    return ["git", "-C", str(repository), *own]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}


def _git(repository: Path, *words: str) -> str:
    """What git prints; UsageError with what it says if it fails, or if that is more than is read."""
    try:
        with tempfile.TemporaryFile() as errors:
            command = [*_command(repository), *words]
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, env=_environment()) as git:
                assert git.stdout
                printed = git.stdout.read(_MOST_LISTED + 1)
                if len(printed) > _MOST_LISTED:
                    git.kill()
                    raise UsageError(f"{visible(words[-1], 200)}: has more files than are looked at")
            errors.seek(0)
            said = visible(errors.read().decode("utf-8", "replace").strip(), 300)
    except OSError as error:
        raise UsageError(f"git cannot be started: {error.strerror}") from None
    if git.returncode != 0:
        raise UsageError(f"{repository}: git {words[0]} failed: {said or 'no common commit'}")
    return printed.decode("utf-8", "surrogateescape")
