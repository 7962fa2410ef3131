"""The one way to read files that somebody else wrote: plain files of bounded size, strict JSON and TOML.

A submission, a data set or a predictor's own output may hold links, devices, FIFOs, files without an end,
keys that are there twice and nesting without an end. Each of these is one line here.
"""

from __future__ import annotations

import errno
import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from popeq.errors import UsageError
from popeq.plain_text import visible

M = TypeVar("M", bound=BaseModel)

#: Bytes of a file of settings or records that are read at most, and of a table of a data set.
MOST_TEXT_BYTES, MOST_TABLE_BYTES = 16 << 20, 256 << 20
#: Lists and objects inside each other, at most.
MOST_DEPTH = 64
_CHUNK = 1 << 20
_CANNOT = "cannot be read"
_SURROGATE = re.compile("[\ud800-\udfff]")


class UnreadableFileError(UsageError):
    """A file is not read: ``reason`` says why, without the path; ``missing`` if there is no such file,
    ``too_large`` if it has more bytes than may be read."""

    def __init__(
        self, path: Path | str, reason: str, *, missing: bool = False, too_large: bool = False
    ) -> None:
        before = "" if reason.startswith(_CANNOT) else f"{_CANNOT}: "
        super().__init__(visible(f"{path}: {before}{reason}"))
        self.reason = reason
        self.missing = missing
        self.too_large = too_large


def read_plain(path: Path | str, most_bytes: int, *, follow: bool = False) -> bytes:
    """The content of a regular file.

    Parameters
    ----------
    most_bytes
        No more than one byte beyond it is ever read, also from a file that grows meanwhile.
    follow
        Whether ``path`` may be a link to a file: for what a person names, never for what lies in a folder of
        somebody else's.

    Raises
    ------
    UnreadableFileError
        If there is no such file, it is a link, a folder, a device or a FIFO, is larger, or cannot be read.
    """
    try:
        kind = Path(path).stat(follow_symlinks=follow).st_mode  # before opening, which can act on a device
        _refuse_kind(path, kind)
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | (0 if follow else os.O_NOFOLLOW)
        descriptor = os.open(path, flags)
        with os.fdopen(descriptor, "rb", buffering=0) as stream:
            status = os.fstat(descriptor)
            _refuse_kind(path, status.st_mode)
            if status.st_size > most_bytes:
                raise _too_large(path, f"has {status.st_size} bytes", most_bytes)
            return _read(stream.read, path, most_bytes)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnreadableFileError(path, _LINK) from None
        missing = isinstance(error, FileNotFoundError)
        reason = "the file is missing" if missing else f"{_CANNOT}: {error.strerror or error}"
        raise UnreadableFileError(path, reason, missing=missing) from None
    except ValueError as error:  # a path that holds a null character
        raise UnreadableFileError(path, f"{_CANNOT}: {error}") from None


def read_text(path: Path | str, most_bytes: int = MOST_TEXT_BYTES, *, follow: bool = False) -> str:
    """The text of a regular file in UTF-8, with or without a byte order mark; each line end is a newline.

    Raises UnreadableFileError as ``read_plain`` does, and for bytes that are not UTF-8.
    """
    content = read_plain(path, most_bytes, follow=follow)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
    except UnicodeDecodeError as error:
        raise UnreadableFileError(path, f"byte {error.start} is not UTF-8; save the file as UTF-8") from None


def parse_json(content: bytes | str, *, nan: bool = False) -> Any:
    """The value of a JSON document.

    Raises
    ------
    ValueError
        In one line: for what is no JSON in UTF-8, a key that is there twice, more than ``MOST_DEPTH`` lists
        and objects inside each other, half a character (a lone surrogate), and numbers that are not finite
        unless ``nan``.
    """
    try:
        text = content.decode("utf-8") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8") from None
    constant = float if nan else _not_finite
    value = _parse(
        lambda: json.loads(
            text, object_pairs_hook=_object, parse_constant=constant, parse_float=float if nan else _number
        )
    )
    _check(value, nan=nan)
    return value


def parse_toml(content: bytes | str) -> dict[str, Any]:
    """The table of a TOML document. Raises ValueError in one line, as ``parse_json`` does."""
    try:
        text = content.decode("utf-8-sig") if isinstance(content, bytes) else content
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start} is not UTF-8; save the file as UTF-8") from None
    value: dict[str, Any] = _parse(lambda: tomllib.loads(text))
    _check(value, nan=False)
    return value


def read_json(path: Path | str, most_bytes: int = MOST_TEXT_BYTES, *, follow: bool = False) -> Any:
    """The value in a JSON file.

    Raises UnreadableFileError as ``read_plain`` does, and for what ``parse_json`` refuses.
    """
    content = read_plain(path, most_bytes, follow=follow)
    try:
        return parse_json(content)
    except ValueError as error:
        raise UnreadableFileError(path, f"is not JSON in UTF-8: {error}") from None


def read_model(
    path: Path | str, model: type[M], most_bytes: int = MOST_TEXT_BYTES, *, follow: bool = False
) -> M:
    """A pydantic model from a JSON file.

    Raises UnreadableFileError as ``read_json`` does, and with the first field that is wrong.
    """
    content = read_plain(path, most_bytes, follow=follow)
    try:
        parse_json(content)
        return model.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise UnreadableFileError(path, f"{f'field {where}: ' if where else ''}{first['msg']}") from None
    except ValueError as error:
        raise UnreadableFileError(path, f"is not JSON in UTF-8: {error}") from None


_LINK = "is a link; only plain files are read"


def odd_kind(mode: int) -> str:
    """Why something with this mode (``st_mode``) is not read; empty for a plain file."""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return _LINK
    if stat.S_ISDIR(mode):
        return "is a folder; give the file itself"
    return "is a device, a FIFO or a socket; only plain files are read"


def _refuse_kind(path: Path | str, mode: int) -> None:
    if reason := odd_kind(mode):
        raise UnreadableFileError(path, reason)


def _read(read: Callable[[int], bytes], path: Path | str, most_bytes: int) -> bytes:
    parts, size = [], 0
    while part := read(min(_CHUNK, most_bytes + 1 - size)):
        parts.append(part)
        size += len(part)
        if size > most_bytes:
            raise _too_large(path, f"has more than {most_bytes} bytes", most_bytes)
    return b"".join(parts)


def _too_large(path: Path | str, what: str, most_bytes: int) -> UnreadableFileError:
    return UnreadableFileError(path, f"{what}; {most_bytes} at most are read", too_large=True)


def _parse(parse: Callable[[], Any]) -> Any:
    try:
        return parse()
    except RecursionError:
        raise ValueError(f"has more than {MOST_DEPTH} lists or objects inside each other") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:80]!r} is there twice")
    return found


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def _number(text: str) -> float:
    value = float(text)
    return value if math.isfinite(value) else _not_finite(text[:40])


def _check(value: Any, *, nan: bool) -> None:
    """Raise ValueError for what a parsed document must not hold; without recursion."""
    left = [(value, 1)]
    while left:
        part, depth = left.pop()
        if isinstance(part, dict | list):
            if depth > MOST_DEPTH:
                raise ValueError(f"has more than {MOST_DEPTH} lists or objects inside each other")
            inner = part if isinstance(part, list) else [*part, *part.values()]
            left.extend((each, depth + 1) for each in inner)
        elif isinstance(part, str):
            if _SURROGATE.search(part):
                raise ValueError(f"the text {part[:80]!r} holds half a character (a lone surrogate)")
        elif isinstance(part, float) and not nan and not math.isfinite(part):
            _not_finite(str(part))
