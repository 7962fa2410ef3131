"""What a run is: its code, its parameters as recorded, and the contents they name; and how two differ."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from popeq.contract import Parameters, PredictorSpec
from popeq.errors import UsageError
from popeq.folder_names import is_path, last_name
from popeq.runs.code import changed_files, code_of, in_words, modules_of
from popeq.runs.spec import CodeRecord, PredictorRecord

_CONTENT, _PATH = "sha256:", "path:"


@dataclass(frozen=True)
class Identity:
    """``code`` draws a run with ``parameters`` (files and folders by their last names), whose predictions
    also depend on ``more``."""

    code: CodeRecord
    parameters: dict[str, Any]
    more: dict[str, str]

    @property
    def sha256(self) -> str:
        """One hash (hex) for the code and what the parameters name, without the parameters' values."""
        contents = {name: given for name, given in self.more.items() if not given.startswith(_PATH)}
        parts = [self.code.sha256, self.code.popeq, contents]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def identity_of(spec: PredictorSpec, parameters: Parameters) -> Identity:
    """The identity of runs of a predictor with some parameters, from what is on disk now.

    A parameter whose content ``parameters.identity()`` gives counts by that content, wherever it lies. Any
    other that is a path (``/``, ``~/``, ``./`` or ``../`` in front) counts by the path's text, of which the
    record keeps a hash and the last name.

    Raises
    ------
    UsageError
        If ``identity()`` fails, or does not give text by name.
    """
    more = _declared(spec, parameters)
    values = parameters.model_dump(mode="json")
    for name, value in values.items():
        if more.get(name, "").startswith(_CONTENT) and isinstance(value, str):
            values[name] = last_name(value) or value
            continue
        paths: list[str] = []
        values[name] = _named(value, paths)
        if paths and name not in more:
            more[name] = f"{_PATH}{hashlib.sha256(chr(0).join(paths).encode()).hexdigest()[:16]}"
    return Identity(code_of(modules_of(spec)), values, dict(sorted(more.items())))


def _declared(spec: PredictorSpec, parameters: Parameters) -> dict[str, str]:
    try:
        given: Any = parameters.identity()
    except UsageError:
        raise
    except Exception as error:  # a plugin's own code
        reason = " ".join(str(error).split())
        raise UsageError(
            f"{spec.name}: the identity() of its parameters failed: {type(error).__name__}: {reason}"
        ) from None
    if not isinstance(given, Mapping) or not all(isinstance(t, str) for pair in given.items() for t in pair):
        raise UsageError(f"{spec.name}: the identity() of its parameters must give a mapping of text to text")
    return dict(given)


def _named(value: Any, paths: list[str]) -> Any:
    """A value with the last names of the paths in it; the paths themselves are added to ``paths``."""
    if isinstance(value, str) and is_path(value):
        paths.append(value)
        return last_name(value)
    if isinstance(value, dict):
        return {key: _named(each, paths) for key, each in value.items()}
    if isinstance(value, list):
        return [_named(each, paths) for each in value]
    return value


def difference(old: PredictorRecord, new: PredictorRecord, since: str) -> str:
    """Why ``new`` is not what was run in ``since``, as words after "because"; empty if it may be the same."""
    if old.code is None or new.code is None:
        return "" if old.code is new.code else f"{since} does not say which code drew it"
    if old.code.sha256 != new.code.sha256:
        files = in_words(changed_files(old.code.files, new.code.files))
        return f"the code changed since {since}" + (f" ({files})" if files else "")
    if old.code.popeq != new.code.popeq:
        return f"popeq was {old.code.popeq} in {since} and is {new.code.popeq} now"
    if old.source != new.source:
        return f"it came from {old.source} in {since} and comes from {new.source} now"
    both = old.identity.keys() | new.identity.keys()
    names = sorted(name for name in both if old.identity.get(name) != new.identity.get(name))
    return f"the content of {in_words(names)} changed since {since}" if names else ""
