"""Read a file of listening data: its bytes, its SHA-256, its records, and the problems found in it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from popeq.csv_table import Table
from popeq.errors import InvalidInputError


class Source(Table):
    """A file as it was read. Readers add problems to it; ``check`` raises if there are any.

    ``what`` is what the file has to be, for the error; ``published_sha256`` is the SHA-256 (hex) of the file
    that its makers published. Raises InvalidInputError for a file that is empty or cannot be read.
    """

    def __init__(self, path: Path, what: str, published_sha256: str = "") -> None:
        super().__init__(str(path))
        self.path, self.what, self.published_sha256 = Path(path), what, published_sha256
        self.content = self.read(self.path, follow=True)
        if not self.problems and not self.content.strip():
            self.problem("the file is empty")
        self.check()

    def report(self) -> dict[str, str]:
        """Where a data set comes from, for its card; no path, because a path can name its owner."""
        sha256 = hashlib.sha256(self.content).hexdigest()
        published = sha256 == self.published_sha256
        return {
            "source file": self.path.name,
            "source SHA-256": sha256,
            "published file": "yes" if published else "no, a cut or changed copy",
        }

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of each CSV record that is not blank; quotes inside a cell are allowed."""
        return self.records(self.content, strict=False)

    def check(self) -> None:
        """Raise InvalidInputError with every problem found so far, if there are any."""
        if self.problems:
            raise InvalidInputError(f"{self.path.name} is not {self.what}", self.problems)
