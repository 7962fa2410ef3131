"""Read somebody's file: its bytes, its SHA-256 and whether it is the file that was published."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from popeq.errors import InvalidInputError, Problem


@dataclass(frozen=True)
class Source:
    """A file as it was read."""

    name: str
    data: bytes
    published_sha256: str
    what: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()

    def report(self) -> dict[str, str]:
        """What a data set's card says about where it came from; no path, a path can name its owner."""
        published = self.sha256 == self.published_sha256
        return {
            "source file": self.name,
            "source SHA-256": self.sha256,
            "published file": "yes" if published else "no, a cut or changed copy",
        }

    def invalid(self, problems: list[Problem]) -> InvalidInputError:
        """The error that lists everything wrong in this file."""
        return InvalidInputError(f"{self.name} is not {self.what}", problems)

    def records(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and cells of each CSV record that is not blank.

        Raises
        ------
        InvalidInputError
            If the bytes are not UTF-8 or not CSV.
        """
        try:
            text = self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = self.data[: error.start].count(b"\n") + 1
            message = f"byte {error.start} is not UTF-8; save the file as UTF-8"
            raise self.invalid([Problem(self.name, message, line)]) from None
        reader = csv.reader(io.StringIO(text, newline=""))
        line = 1
        try:
            for cells in reader:
                if any(cell.strip() for cell in cells):
                    yield line, cells
                line = reader.line_num + 1
        except csv.Error as error:
            raise self.invalid([Problem(self.name, f"is not CSV: {error}", line)]) from None


def read_source(path: Path, what: str, published_sha256: str) -> Source:
    """Read ``path`` whole.

    Raises
    ------
    InvalidInputError
        If there is no such file, it is a folder, cannot be read or is empty.
    """
    path = Path(path)
    data = b""
    try:
        data = path.read_bytes()
        message = None if data.strip() else "the file is empty"
    except FileNotFoundError:
        message = "there is no such file"
    except IsADirectoryError:
        message = "is a folder; give the file itself"
    except OSError as error:
        message = f"cannot be read: {error.strerror}"
    source = Source(path.name or str(path), data, published_sha256, what)
    if message:
        raise source.invalid([Problem(str(path), message)])
    return source
