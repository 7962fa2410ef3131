"""Answers that a server has given, one JSON file a request, so that a resumed run asks nothing twice."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from popeq.atomic import write_text
from popeq.caches import cache_folder
from popeq.errors import RunError, UsageError


def canonical(value: object) -> str:
    """JSON with sorted keys and no spare white space: equal values give equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


class RequestCache:
    """What servers answered, by SHA-256 of the question. Holds neither failures nor keys.

    A file that cannot be read as an entry counts as absent and is written anew.
    """

    def __init__(self, folder: Path | None = None, kind: str = "served") -> None:
        self.folder = (folder or cache_folder()) / kind

    def _path(self, question: object) -> Path:
        name = hashlib.sha256(canonical(question).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}.json"

    def get(self, question: object) -> Any:
        """The answer to a question, or None."""
        try:
            entry = json.loads(self._path(question).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return entry.get("answer") if isinstance(entry, dict) and entry.get("question") == question else None

    def put(self, question: object, answer: object) -> None:
        """Keep an answer; the question stands beside it for a person to read."""
        path = self._path(question)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_text(path, json.dumps({"question": question, "answer": answer}, ensure_ascii=False) + "\n")
        except (OSError, RunError) as error:
            why = getattr(error, "strerror", None) or error
            raise UsageError(
                f"cannot write the request cache in {self.folder}: {why}; "
                "set POPEQ_CACHE to a folder that can be written"
            ) from None

    def forget(self, question: object) -> None:
        """Drop an answer, if there is one."""
        self._path(question).unlink(missing_ok=True)
