"""The predictor that ``popeq ask`` and ``popeq render`` ask, by their options. Light to import."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from popeq import __version__
from popeq.activity import doing

if TYPE_CHECKING:
    from popeq_audio.fitted import Fitted


class AskedPredictor(BaseModel):
    """A predictor by the options of the command, as they were given; with ``fresh`` it is fitted again."""

    model_config = ConfigDict(frozen=True)

    predictor: str
    dataset: str
    options: tuple[str, ...]
    model: str | None
    seed: int
    fresh: bool = False

    def paths(self) -> list[Path]:
        """Files and folders that the options name: what they hold may change."""
        values = [self.dataset, self.model or "", *(o.partition("=")[2] for o in self.options)]
        return [Path(v).expanduser().resolve() for v in values if v and Path(v).expanduser().exists()]

    def key(self) -> str:
        """Changes with the options, what they name from here, the program and its version."""
        options = self.model_dump(exclude={"fresh"})
        parts = [options, sorted(map(str, self.paths())), __version__, sys.executable]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def fitted(self) -> Fitted:
        """The predictor, fitted or read from the cache. Raises UsageError as ``open_fitted`` does."""
        from popeq_audio.fitted import open_fitted

        given = given_parameters(self.options, self.model)
        with doing(f"loading and fitting {self.predictor} on {self.dataset}"):
            return open_fitted(self.predictor, self.dataset, given, self.seed, self.fresh)


def given_parameters(options: Sequence[str], model: str | None) -> dict[str, str]:
    """The parameters that ``-o`` and ``--model`` give."""
    from popeq.runs.plan import parse_options

    return parse_options([*options, *([] if model is None else [f"model={model}"])])
