"""Scores that were computed here before, kept by the content of all they are made from.

A file is found only if the predictions, the data set with its second panel, the protocol, the scoring code
and the libraries below it are what they were, to the byte: what is read is what would be computed.
``popeq verify`` never looks.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import popeq
from popeq.atomic import write_bytes
from popeq.board.scoring import NUMBERS, PromptTable, Scorer
from popeq.caches import cache_folder
from popeq.errors import PopeqError
from popeq.typing import Floats

#: Sources whose change makes kept scores worthless, below the package's folder.
_SOURCES = (
    "metrics/*.py",
    "metrics/solver/*.py",
    "board/*.py",
    "runs/folder.py",
    "runs/record.py",
    "protocol.py",
    "space.py",
    "dataset*.py",
    "seeding.py",
)
_INFLUENCE = "influence_"
_LIBRARIES = ("numpy", "scipy", "POT", "numba", "pandas")


class Scored(NamedTuple):
    """The scores of one run, and signs that its predictor has seen the answers, in words."""

    table: PromptTable
    flags: list[str]


class Numbers(NamedTuple):
    """What a file holds: numbers by prompt, ``scores[name]`` (P,), each listener's influence on some of them,
    ``influence[name][p]`` (m_p,), and flags in words."""

    scores: dict[str, Floats]
    influence: dict[str, list[Floats]]
    flags: list[str]


@lru_cache(maxsize=1)
def _code() -> str:
    """What scores are computed with, as a hash."""
    root = Path(popeq.__file__).parent
    parts: list[object] = [os.environ.get("POPEQ_SOLVER", "")]
    for library in _LIBRARIES:
        try:
            parts.append(version(library))
        except PackageNotFoundError:
            parts.append("")
    for pattern in _SOURCES:
        for path in sorted(root.glob(pattern)):
            parts.append([path.name, hashlib.sha256(path.read_bytes()).hexdigest()])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def place_of(scored: str, scorer: Scorer) -> Path:
    """The file in which scores of this would be kept: the SHA-256 of predictions, or the words for what is
    made from the data set alone."""
    parts = [
        scored,
        scorer.dataset.revision,
        scorer.second_panel.revision if scorer.second_panel else "",
        scorer.prompt_ids,
        scorer.protocol.model_dump_json(),
        _code(),
    ]
    key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return cache_folder() / "scores" / key[:2] / f"{key}.npz"


def read(place: Path, scorer: Scorer) -> Scored | None:
    """The scores that are kept there; None if there are none, or they are damaged."""
    found = read_numbers(place, scorer, NUMBERS)
    return found and Scored(scorer.table_of(found.scores, found.influence), found.flags)


def write(place: Path, scored: Scored) -> None:
    """Keep scores; where that is not possible they are computed again next time."""
    scores = {name: scored.table.frame[name].to_numpy(dtype=np.float64) for name in NUMBERS}
    write_numbers(place, Numbers(scores, scored.table.influence, scored.flags))


def read_numbers(place: Path, scorer: Scorer, names: Sequence[str]) -> Numbers | None:
    """The numbers of these names that are kept there; None if there are none, or they are damaged."""
    try:
        with np.load(place, allow_pickle=False) as arrays:
            numbers, flags = arrays["numbers"], [str(flag) for flag in arrays["flags"]]
            influence = {
                n.removeprefix(_INFLUENCE): arrays[n] for n in arrays.files if n.startswith(_INFLUENCE)
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    sizes = [len(target.responses) for target in scorer.targets]
    if numbers.shape != (len(sizes), len(names)) or any(len(v) != sum(sizes) for v in influence.values()):
        return None
    cuts = np.cumsum(sizes)[:-1]
    return Numbers(
        dict(zip(names, np.ascontiguousarray(numbers.T), strict=True)),
        {name: np.split(values, cuts) for name, values in influence.items()},
        flags,
    )


def write_numbers(place: Path, numbers: Numbers) -> None:
    """Keep numbers; where that is not possible they are computed again next time."""
    arrays: dict[str, Any] = {
        "numbers": np.stack(list(numbers.scores.values()), axis=1),
        "flags": np.array(numbers.flags, dtype=np.str_),
    }
    arrays |= {_INFLUENCE + name: np.concatenate(values) for name, values in numbers.influence.items()}
    content = io.BytesIO()
    np.savez(content, **arrays)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(place, content.getvalue())
    except (OSError, PopeqError):
        return
