"""Where popeq and its plugins keep what they would otherwise compute or pay for again."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from popeq.atomic import write_bytes
from popeq.errors import PopeqError, UsageError
from popeq.remarks import remark

#: The cache folder where there is none: nothing is below it, and nothing can be written there.
NOWHERE = Path(os.devnull, "popeq")

#: The variable with the UTC time (seconds since 1970) before which entries were kept that are not to be used.
SINCE = "POPEQ_CACHE_SINCE"


@contextlib.contextmanager
def asking_again() -> Iterator[None]:
    """Inside the block, and for caches made there, what was kept before counts as absent (``--fresh``)."""
    before = os.environ.get(SINCE)
    os.environ[SINCE] = repr(time.time())
    try:
        yield
    finally:
        if before is None:
            del os.environ[SINCE]
        else:
            os.environ[SINCE] = before


def cache_folder() -> Path:
    """``$POPEQ_CACHE``, else ``popeq`` in ``$XDG_CACHE_HOME`` or ``~/.cache``.

    ``NOWHERE``, with a remark, if there is no home folder, or no such folder and none can be made.
    """
    own, users = os.environ.get("POPEQ_CACHE"), os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    try:
        folder = Path(own).expanduser() if own else Path(users).expanduser() / "popeq"
    except RuntimeError:
        folder = NOWHERE
    if folder.is_relative_to(os.devnull):
        _remark_nothing_kept("there is no home folder")
        return NOWHERE
    if os.path.exists(folder) or os.access(_nearest(folder), os.W_OK | os.X_OK):  # noqa: PTH110
        return folder
    _remark_nothing_kept(f"{folder} cannot be made")
    return NOWHERE


def _nearest(folder: Path) -> Path:
    """The first folder above that is there, as far as this user can see."""
    above = (place for place in folder.absolute().parents if os.path.exists(place))  # noqa: PTH110
    return next(above, Path("/"))


def _remark_nothing_kept(reason: str) -> None:
    remark(
        f"nothing is kept for the next command, because {reason}; set POPEQ_CACHE to a folder that can be "
        "written"
    )


def canonical(value: object) -> str:
    """JSON with sorted keys and no optional white space: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class ContentCache:
    """Entries named by the SHA-256 of the question that they answer.

    The question is any JSON value that holds everything that the answer depends on. Its entry lies at
    ``<folder>/<kind>/<first two digits>/<SHA-256><ending>``. An entry that is damaged, or belongs to another
    question, counts as absent, and so does one from before the time in ``SINCE``, if that was set when the
    cache was made. Every entry is written in one step, so that no reader sees a part of it.

    Parameters
    ----------
    kind
        The folder of these entries, such as ``embeddings``.
    folder
        The cache folder; ``cache_folder()`` if it is not given.
    """

    def __init__(self, kind: str, ending: str = ".json", folder: Path | None = None) -> None:
        self._root = folder or cache_folder()
        self.folder = self._root / kind
        self._ending = ending
        self._since = float(os.environ.get(SINCE) or 0.0)

    def path(self, question: object) -> Path:
        """Where the entry of a question lies, whether it exists or not."""
        key = hashlib.sha256(canonical(question).encode("utf-8", "surrogatepass")).hexdigest()
        return self.folder / key[:2] / f"{key}{self._ending}"

    def get(self, question: object) -> Any:
        """The answer that ``put`` has kept for a question; None if there is none."""
        path = self.path(question)
        try:
            if path.stat().st_mtime < self._since:
                return None
            entry = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
        except (OSError, ValueError, RecursionError):
            return None
        if not isinstance(entry, dict) or canonical(entry.get("question")) != canonical(question):
            return None
        return entry.get("answer")

    def put(self, question: object, answer: object, *, required: bool = False) -> None:
        """Keep an answer, a JSON value, beside its question.

        Where the folder cannot be written, nothing is kept; with ``required``, for answers that cost money,
        UsageError is raised.
        """
        entry = json.dumps({"question": question, "answer": answer}, ensure_ascii=False)
        path, content = self.path(question), f"{entry}\n".encode("utf-8", "surrogatepass")
        if not required:
            self.write(path, content)
        elif reason := _written(path, content):
            raise UsageError(
                f"cannot write the cache in {self.folder}: {reason}; set POPEQ_CACHE to a folder that can be "
                "written"
            )

    def forget(self, question: object) -> None:
        """Remove the answer to a question, if there is one."""
        with contextlib.suppress(OSError):
            self.path(question).unlink()

    def write(self, path: Path, content: bytes) -> None:
        """Write an entry's file; a remark where that is not possible."""
        if reason := _written(path, content):
            self.remark_unkept(reason)

    def remark_unkept(self, reason: str) -> None:
        """Say, once, that nothing can be kept, unless ``cache_folder`` has said so."""
        if self._root != NOWHERE:
            _remark_nothing_kept(f"{self._root} cannot be written ({reason})")


def _written(path: Path, content: bytes) -> str:
    """Write a file of the cache if that is possible; why it was not, or an empty text."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, content)
    except (OSError, PopeqError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""
