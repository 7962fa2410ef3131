"""popeq: how well a predictor turns a sentence into the distribution of EQ settings that listeners choose.

The main job: ``load_dataset``, ``run``, ``score``, ``leaderboard``, ``compare``, ``verify``, ``regress``, and
the studies ``ceiling``, ``power``, ``transfer``, ``ablate``. In a notebook:
``list_predictors``, ``list_datasets``, ``load_predictor``. For plugin authors: ``hookimpl``, ``Prompt``,
``LabelledPrompt``, ``Predictor``, ``Parameters`` and the specs. Names are imported when first used, so that
``import popeq`` costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from popeq import errors, metrics, statistics, testing
    from popeq.api import Dataset, Leaderboard, Run, compare, leaderboard, load_dataset, run, score
    from popeq.commands import CommandSpec
    from popeq.content_hash import content_identity
    from popeq.contract import (
        Audio,
        DatasetSpec,
        LabelledPrompt,
        Parameters,
        Predictor,
        PredictorSpec,
        Prompt,
    )
    from popeq.errors import PopeqError, UsageError
    from popeq.hookspecs import hookimpl
    from popeq.importing import ImporterSpec, ImportResult
    from popeq.in_process import LoadedPredictor, list_predictors, load_predictor
    from popeq.lookup import list_datasets
    from popeq.protocol import Protocol
    from popeq.ranges import tuned, tuned_choice
    from popeq.runs.reporting import ProgressBar, Reporter
    from popeq.runs.settings import RunSettings
    from popeq.site.build import build_site
    from popeq.space import PLANE, Space
    from popeq.studying import ablate, ceiling, power, regress, transfer
    from popeq.sweeping import sweep
    from popeq.tuning.settings import SearchSettings
    from popeq.tuning.tuner import tune
    from popeq.verifying import verify

_HOMES = {
    "popeq.api": (
        "Dataset",
        "Leaderboard",
        "Run",
        "compare",
        "leaderboard",
        "load_dataset",
        "run",
        "score",
    ),
    "popeq.commands": ("CommandSpec",),
    "popeq.content_hash": ("content_identity",),
    "popeq.contract": (
        "Audio",
        "DatasetSpec",
        "LabelledPrompt",
        "Parameters",
        "Predictor",
        "PredictorSpec",
        "Prompt",
    ),
    "popeq.errors": ("PopeqError", "UsageError"),
    "popeq.hookspecs": ("hookimpl",),
    "popeq.importing": ("ImportResult", "ImporterSpec"),
    "popeq.in_process": ("LoadedPredictor", "list_predictors", "load_predictor"),
    "popeq.lookup": ("list_datasets",),
    "popeq.protocol": ("Protocol",),
    "popeq.ranges": ("tuned", "tuned_choice"),
    "popeq.site.build": ("build_site",),
    "popeq.runs.reporting": ("ProgressBar", "Reporter"),
    "popeq.runs.settings": ("RunSettings",),
    "popeq.space": ("PLANE", "Space"),
    "popeq.studying": ("ablate", "ceiling", "power", "regress", "transfer"),
    "popeq.sweeping": ("sweep",),
    "popeq.tuning.settings": ("SearchSettings",),
    "popeq.tuning.tuner": ("tune",),
    "popeq.verifying": ("verify",),
}
_MODULES = ("errors", "metrics", "statistics", "testing")
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__version__ = "0.1.0"

__all__ = [
    "PLANE",
    "Audio",
    "CommandSpec",
    "Dataset",
    "DatasetSpec",
    "ImportResult",
    "ImporterSpec",
    "LabelledPrompt",
    "Leaderboard",
    "LoadedPredictor",
    "Parameters",
    "PopeqError",
    "Predictor",
    "PredictorSpec",
    "ProgressBar",
    "Prompt",
    "Protocol",
    "Reporter",
    "Run",
    "RunSettings",
    "SearchSettings",
    "Space",
    "UsageError",
    "ablate",
    "build_site",
    "ceiling",
    "compare",
    "content_identity",
    "errors",
    "hookimpl",
    "leaderboard",
    "list_datasets",
    "list_predictors",
    "load_dataset",
    "load_predictor",
    "metrics",
    "power",
    "regress",
    "run",
    "score",
    "statistics",
    "sweep",
    "testing",
    "transfer",
    "tune",
    "tuned",
    "tuned_choice",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"popeq.{name}")
    if name in _HOME_OF:
        return getattr(importlib.import_module(_HOME_OF[name]), name)
    raise AttributeError(f"module 'popeq' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
