"""Scores that were computed here before, kept by the content of all they are made from.

A file is found only if the predictions, the data set with its second panel, the protocol, the scoring code
and the libraries below it are what they were, to the byte: what is read is what would be computed.
A file begins with a tag that the processes of predictors cannot make (popeq.tag_key). ``popeq verify`` never
looks.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import popeq
from popeq.board.scoring import Scorer
from popeq.caches import ContentCache
from popeq.content_hash import file_sha256
from popeq.others_files import UnreadableFileError, read_plain
from popeq.tag_key import tag
from popeq.typing import Floats

#: Sources whose change makes kept scores worthless, below the package's folder.
_SOURCES = (
    "metrics/**/*.py",
    "board/*.py",
    "runs/folder.py",
    "runs/record.py",
    "protocol.py",
    "space.py",
    "dataset*.py",
    "seeding.py",
)
_INFLUENCE = "influence_"
_TAG_BYTES = 32
_MOST_BYTES = 256 << 20
_LIBRARIES = ("numpy", "scipy", "POT", "numba", "pandas")


class Numbers(NamedTuple):
    """What a file holds: numbers by prompt, ``scores[name]`` (P,), each listener's influence on some of them,
    ``influence[name][p]`` (m_p,), and signs that a predictor has seen the answers, in words."""

    scores: Mapping[str, Floats]
    influence: Mapping[str, Sequence[Floats]]
    flags: list[str]


@lru_cache(maxsize=1)
def scoring_code() -> str:
    """What scores are computed with, as a hash."""
    root = Path(popeq.__file__).parent
    parts: list[object] = [os.environ.get("POPEQ_SOLVER", "")]
    for library in _LIBRARIES:
        try:
            parts.append(version(library))
        except PackageNotFoundError:
            parts.append("")
    parts += [[p.name, file_sha256(p)] for pattern in _SOURCES for p in sorted(root.glob(pattern))]
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
        scoring_code(),
    ]
    return _cache().path(parts)


def _cache() -> ContentCache:
    return ContentCache("scores", ".npz")


def read(place: Path, scorer: Scorer, names: Sequence[str]) -> Numbers | None:
    """The numbers of these names that are kept there; None if there are none, they are damaged, or they do
    not have popeq's tag."""
    try:
        held = read_plain(place, _MOST_BYTES)
        content = held[_TAG_BYTES:]
        made = tag(place.name, content)
        if made is None or not hmac.compare_digest(made, held[:_TAG_BYTES]):
            return None
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            numbers, flags = arrays["numbers"], [str(flag) for flag in arrays["flags"]]
            influence = {
                n.removeprefix(_INFLUENCE): arrays[n] for n in arrays.files if n.startswith(_INFLUENCE)
            }
    except (UnreadableFileError, OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
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


def write(place: Path, numbers: Numbers) -> None:
    """Keep numbers; where that is not possible they are computed again next time."""
    arrays: dict[str, Any] = {
        "numbers": np.stack(list(numbers.scores.values()), axis=1),
        "flags": np.array(numbers.flags, dtype=np.str_),
    }
    arrays |= {_INFLUENCE + name: np.concatenate(values) for name, values in numbers.influence.items()}
    content = io.BytesIO()
    np.savez(content, **arrays)
    made = tag(place.name, content.getvalue())
    if made is not None:
        _cache().write(place, made + content.getvalue())
