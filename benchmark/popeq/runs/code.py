"""Which files draw a run, found without importing them, and what changed in them since another run.

The rule is the same for every distribution. Counted are the whole top-level packages (or modules) that hold
the predictor, its parameters and, transitively, whatever these modules import, as far as the packages belong
to a distribution that brings popeq plugins. The harness, the package ``popeq``, counts by its version, which
is its contract. How a distribution is installed (wheel, editable, a folder on the path) makes no difference.
"""

from __future__ import annotations

import ast
import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import unquote, urlparse

from popeq import __version__
from popeq.content_hash import file_sha256, files_below
from popeq.contract import PredictorSpec
from popeq.plugins import GROUP
from popeq.runs.spec import CodeRecord

_HARNESS = "popeq"
_SHOWN_DIGITS = 8
#: Folders in which distributions of all kinds lie side by side.
_SHARED = ("site-packages", "dist-packages")
#: Text that may name a module: ``package.module`` or ``module:Class``.
_REFERENCE = re.compile(r"[A-Za-z_]\w*(?=[.:])(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?", re.ASCII)


@dataclass(frozen=True)
class Unit:
    """A top-level package or module: its name, and the folder or file that it is."""

    name: str
    place: Path

    def files(self) -> list[tuple[str, Path]]:
        """Its files by name, such as ``my_package/blob.py``."""
        folder = self.name.replace(".", "/")
        if self.place.is_file():
            return [(folder + self.place.suffix, self.place)]
        return [(f"{folder}/{name}", path) for name, path in files_below(self.place)]

    def sources(self, module: str) -> Iterator[tuple[str, Path]]:
        """The source files that Python runs to import a dotted name, each with the package it is in."""
        if self.place.is_file():
            yield self.name.rpartition(".")[0], self.place
            return
        package, folder = self.name, self.place
        yield package, folder / "__init__.py"
        for part in module.split(".")[len(self.name.split(".")) :]:
            yield package, folder / f"{part}.py"
            package, folder = f"{package}.{part}", folder / part
            yield package, folder / "__init__.py"


def modules_of(spec: PredictorSpec) -> tuple[str, str]:
    """The modules that hold a predictor and its parameters."""
    return spec.factory.partition(":")[0], spec.parameters.__module__


def code_of(modules: Iterable[str]) -> CodeRecord:
    """What draws a run whose predictor and parameters are in ``modules``, as it is on disk now.

    Files are read again only if they changed. A module that cannot be found adds nothing: the version of its
    distribution is then all that is known of it.
    """
    units: dict[str, Unit | None] = {}
    own = list(dict.fromkeys(modules))
    waiting, asked = list(own), set(own)
    used, sources = set[Unit](), set[Path]()
    while waiting:
        module = waiting.pop()
        unit = _unit(module, units)
        if unit is None or unit.name == _HARNESS or not (module in own or _is_a_plugins(unit)):
            continue
        for package, path in unit.sources(module):
            if path in sources or not path.is_file():
                continue
            used.add(unit)
            sources.add(path)
            found = _imports(str(path), file_sha256(path), package) - asked
            asked |= found
            waiting += found
    counted = {name: file_sha256(path) for unit in used for name, path in unit.files()}
    digest = hashlib.sha256(json.dumps(sorted(counted.items())).encode()).hexdigest()
    files = {name: counted[name][:_SHOWN_DIGITS] for name in sorted(counted)}
    return CodeRecord(sha256=digest, popeq=__version__, files=files)


def changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Names of the files that are in one of two records only, or in both and differ, sorted."""
    return sorted(name for name in old.keys() | new.keys() if old.get(name) != new.get(name))


def in_words(names: list[str], most: int = 3) -> str:
    """The first few names and how many more there are."""
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest


def _unit(module: str, known: dict[str, Unit | None]) -> Unit | None:
    """The top-level package or module of a dotted name, noted in ``known``; in a namespace package the first
    part below it that is none. None if it is not a file or folder."""
    parts = module.split(".")
    if parts[0] in sys.stdlib_module_names:
        return None
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        if name in known:
            return known[name]
        try:
            spec = importlib.util.find_spec(name)
        except (ImportError, ValueError, AttributeError):
            spec = None
        if spec is None or spec.origin:  # a namespace package has no origin
            known[name] = None
            if spec and spec.origin and spec.has_location:
                own = Path(spec.origin)
                place = own if spec.submodule_search_locations is None else own.parent
                known[name] = Unit(name, place) if place.exists() else None
            return known[name]
    return None


@lru_cache(maxsize=4096)
def _imports(path: str, _: str, package: str) -> frozenset[str]:
    """Dotted names that a source file in ``package`` imports anywhere, or holds as text of their own
    (``"package.module:Class"``); for a content that has been read before, from memory."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return frozenset()
    return frozenset(_names_in(tree, package))


def _names_in(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            with contextlib.suppress(ImportError):  # more dots than there are packages above
                module = importlib.util.resolve_name("." * node.level + (node.module or ""), package)
                yield from (f"{module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Constant) and _REFERENCE.fullmatch(str(node.value)):
            yield str(node.value).partition(":")[0]


def _is_a_plugins(unit: Unit) -> bool:
    """Whether a distribution that brings popeq plugins holds a package or module."""
    names, folders = _held_by_plugins(tuple(sys.path))
    if unit.name.partition(".")[0] in names:
        return True
    root = unit.place.resolve()
    for _ in unit.name.split("."):
        root = root.parent
    return any(
        root.is_relative_to(folder) and not set(_SHARED) & set(root.relative_to(folder).parts)
        for folder in folders
    )


@lru_cache(maxsize=4)
def _held_by_plugins(_: tuple[str, ...]) -> tuple[frozenset[str], frozenset[Path]]:
    """Names of the top-level parts of the distributions that bring popeq plugins, as far as their files are
    listed, and folders whose packages are theirs (editable installs); looked up once for a path."""
    names, folders = set[str](), set[Path]()
    plugins = importlib.metadata.entry_points(group=GROUP)
    for dist in {e.dist.name: e.dist for e in plugins if e.dist}.values():
        listed = dist.files
        if listed is None:  # no list of its files
            names |= {e.value.partition(":")[0].partition(".")[0] for e in dist.entry_points}
            root = Path(str(dist.locate_file(""))).resolve()
            folders |= {root} if root.name not in _SHARED else set()
        for file in listed or ():
            if len(file.parts) == 1 and file.suffix == ".pth":
                folders |= _folders_in(Path(str(dist.locate_file(file))))
            elif file.parts[0] != ".." and not file.parts[0].endswith((".dist-info", ".data")):
                names.add(file.parts[0].partition(".")[0])
        folders |= _editable_folder(dist.read_text("direct_url.json"))
    return frozenset(names - {"", "__pycache__"}), frozenset(folders)


def _folders_in(path_file: Path) -> set[Path]:
    """Folders that a .pth file puts on the path."""
    try:
        lines = path_file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    return {Path(line.strip()).resolve() for line in lines if line.strip() and not line.startswith("import ")}


def _editable_folder(direct_url: str | None) -> set[Path]:
    """The folder that an editable install points to; none if it is no such install."""
    try:
        content = json.loads(direct_url or "{}")
        if not content.get("dir_info", {}).get("editable"):
            return set()
        return {Path(unquote(urlparse(content["url"]).path)).resolve()}
    except (ValueError, KeyError, AttributeError, TypeError):
        return set()
