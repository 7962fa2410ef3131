"""A folder of a repository before and after a submission, from two commits, without a checkout of either.

Paths, kinds and sizes are read from git's trees before any content is. A link becomes a link that leads
nowhere, a file that is too large an empty one of its size: both are refused where the folders are looked at.
"""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from popeq.errors import UsageError
from popeq.plain_text import visible

_LINK, _FOLDER = "120000", ("160000", "040000")
#: The most files that may change, and the most bytes of a file that are read.
_MOST_FILES, _MOST_BYTES = 2_000, 128 << 20


@dataclass(frozen=True)
class _Blob:
    """An entry of a tree: its mode, the name of its content and its size in bytes."""

    mode: str
    name: str
    size: int


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
        If there are no such commits, git is missing, or the submission has more than 2,000 files.
    """
    ours, theirs = _commit(repository, base), _commit(repository, head)
    parted = _git(repository, "merge-base", ours, theirs).strip()
    published, new, old = (_tree(repository, commit, folder) for commit in (ours, theirs, parted))
    changes = {path: new.get(path) for path in old.keys() | new.keys() if old.get(path) != new.get(path)}
    if len(changes) > _MOST_FILES:
        raise UsageError(f"{visible(head, 100)}: changes {len(changes)} files; {_MOST_FILES} are the most")
    touched = {path.split("/")[0] for path in changes}
    before = {path: blob for path, blob in published.items() if path.split("/")[0] in touched}
    after = {path: blob for path, blob in (before | changes).items() if blob is not None}
    with tempfile.TemporaryDirectory(prefix="popeq-judge-") as made:
        places = Path(made, "before"), Path(made, "after")
        for place, tree in zip(places, (before, after), strict=True):
            place.mkdir()
            _write(repository, tree, place, sizes)
        yield places


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
        if {"", ".", "..", ".git"} & {*inside.split("/")}:
            raise UsageError(f"{visible(path, 200)}: is no path that a checkout can have")
        found[inside] = _Blob(mode, name, int(size) if size.isdigit() else 0)
    return found


def _write(repository: Path, tree: dict[str, _Blob], place: Path, sizes: Mapping[str, int]) -> None:
    """Write the entries of a tree as files below a folder."""
    wanted = {}
    try:
        for path, blob in tree.items():
            target, most = place / path, min(sizes.get(path.rpartition("/")[2], 0), _MOST_BYTES)
            target.parent.mkdir(parents=True, exist_ok=True)
            if blob.mode == _LINK:
                target.symlink_to("what-the-submission-links-to")
            elif blob.mode in _FOLDER:
                target.mkdir()
            elif blob.size > most:
                with target.open("xb") as file:
                    file.truncate(blob.size)
            else:
                wanted[target] = blob.name
        for target, content in zip(wanted, _contents(repository, wanted.values()), strict=True):
            with target.open("xb") as file:
                file.write(content)
    except OSError as error:
        raise UsageError(f"the submission cannot be written here: {error.strerror}") from None


def _contents(repository: Path, names: Iterable[str]) -> Iterator[bytes]:
    """The contents of blobs, in order."""
    words = [*_command(repository), "cat-file", "--batch"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as git:
        assert git.stdin
        assert git.stdout
        for name in names:
            git.stdin.write(f"{name}\n".encode())
            git.stdin.flush()
            _, kind, size = git.stdout.readline().decode().split()
            assert kind == "blob", name
            yield git.stdout.read(int(size))
            git.stdout.read(1)
        git.stdin.close()


def _command(repository: Path) -> list[str]:
    own = ["--no-replace-objects", "--literal-pathspecs", "-c", "core.fsmonitor="]
    return ["git", "-C", str(repository), *own]


def _git(repository: Path, *words: str) -> str:
    """What git prints; UsageError with what it says if it fails."""
    try:
        done = subprocess.run([*_command(repository), *words], capture_output=True, check=False)
    except OSError as error:
        raise UsageError(f"git cannot be started: {error.strerror}") from None
    if done.returncode != 0:
        said = visible(done.stderr.decode("utf-8", "replace").strip(), 300)
        raise UsageError(f"{repository}: git {words[0]} failed: {said or 'no common commit'}")
    return done.stdout.decode("utf-8", "surrogateescape")
