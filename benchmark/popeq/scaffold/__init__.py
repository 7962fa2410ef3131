"""``popeq new``: a package for a predictor of one's own that installs, runs and passes its tests as it is."""

from __future__ import annotations

import importlib.resources
import importlib.util
import keyword
import re
from pathlib import Path
from string import Template
from typing import Literal, get_args

from popeq.atomic import FolderTakenError, new_folder
from popeq.errors import UsageError

Kind = Literal["numpy", "llm"]
KINDS: tuple[str, ...] = get_args(Kind)

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_FILES = {
    "common/pyproject.toml": "pyproject.toml",
    "common/README.md": "README.md",
    "common/gitattributes": ".gitattributes",
    "common/gitignore": ".gitignore",
    "common/test.yml": ".github/workflows/test.yml",
    "common/test_predictor.py": "tests/test_$module.py",
    "$kind/module.py": "src/$module/__init__.py",
}


def write_package(name: str, kind: Kind, parent: Path) -> list[Path]:
    """Write the package to ``parent/name`` and return its files, relative to that folder.

    Raises UsageError if the name cannot be one or is an installed module's, or the folder is there already.
    """
    if not _NAME.fullmatch(name) or len(name) > 64:
        raise UsageError(f"{name!r}: use lower-case words joined by '-', such as word-neighbours")
    module = name.replace("-", "_")
    found = importlib.util.find_spec(module)
    if keyword.iskeyword(module) or (found is not None and found.origin):  # a mere folder has no origin
        raise UsageError(f"{name!r}: Python has a module {module} already; choose another name")
    words = {
        "name": name,
        "module": module,
        "class_name": "".join(part.capitalize() for part in name.split("-")),
        "requirement": "popeq[llm]" if kind == "llm" else "popeq",
        "kind": kind,
    }
    templates = importlib.resources.files(__package__) / "templates"
    written = []
    try:
        with new_folder(parent / name) as folder:
            for source, target in _FILES.items():
                text = (templates / f"{Template(source).substitute(words)}.template").read_text("utf-8")
                path = Path(Template(target).substitute(words))
                (folder / path).parent.mkdir(parents=True, exist_ok=True)
                (folder / path).write_text(Template(text).substitute(words), encoding="utf-8")
                written.append(path)
    except FolderTakenError:
        raise UsageError(f"{parent / name}: is there already; nothing was changed") from None
    return written
