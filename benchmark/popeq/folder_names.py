"""Remove the folders of this machine from what is published: a path is shown by its last name."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

#: Beginnings of paths that have a meaning on one machine only.
_ROOTS = ("/", "~/", "./", "../")
#: The folders of an absolute path in running text, but not of a web address. Names of folders may have
#: blanks, so a few words of a sentence too many may be removed.
_NAME = r"[^/\n\t'\"`()\[\]{},;:<>|=]"
_IN_TEXT = re.compile(rf"(?<![\w/:.~<-])~?/(?:(?! ){_NAME}{{1,80}}(?<! )/)+(?={_NAME})")


def is_path(text: str) -> bool:
    """Whether a value is a path, judged by its beginning."""
    return text.startswith(_ROOTS) and "\n" not in text and bool(last_name(text))


def last_name(path: str) -> str:
    """The last name of a path, such as ``model`` of ``/srv/model/``; empty for a root."""
    name = PurePosixPath(path).name
    return "" if name in ("..", "~") else name


def without_folders(value: Any) -> Any:
    """Text, or the texts in a JSON value, with every absolute path cut to its last name."""
    if isinstance(value, str):
        return last_name(value) if value[:2] != "//" and _whole(value) else _IN_TEXT.sub("", value)
    if isinstance(value, dict):
        return {key: without_folders(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(each) for each in value]
    return value


def without_folders_in(word: str) -> str:
    """One word of a command line, ``PATH`` or ``name=PATH``, with the path cut to its last name."""
    name, equals, value = word.partition("=")
    if equals and is_path(value):
        return f"{name}={last_name(value)}"
    return last_name(word) if is_path(word) else str(without_folders(word))


def _whole(text: str) -> bool:
    """Whether a text is an absolute path and nothing else (it may hold blanks)."""
    parts = text.split("/")
    return text.startswith(("/", "~/")) and len([p for p in parts if p]) > 1 and ": " not in text
