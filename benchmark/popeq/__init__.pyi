"""The public names of popeq and their homes; ``__init__.py`` imports each when it is first used."""

from . import eq, errors, metrics, statistics, testing
from .adapting import adapt
from .api import Dataset, Leaderboard, Run, compare, leaderboard, load_dataset, run, score
from .commands import CommandSpec
from .content_hash import content_identity
from .contract import (
    Audio,
    DatasetSpec,
    LabelledPrompt,
    Parameters,
    Predictor,
    PredictorSpec,
    Prompt,
)
from .eq import Axis, CurvePair, CurvesSpec, Section
from .errors import PopeqError, UsageError
from .hookspecs import hookimpl
from .importing import ImporterSpec, ImportResult
from .in_process import LoadedPredictor, list_predictors, load_predictor
from .learning import LearningSettings, learn
from .lookup import list_datasets
from .protocol import Protocol
from .ranges import tuned, tuned_choice
from .runs.reporting import ProgressBar, Reporter
from .runs.settings import RunSettings
from .site.build import build_site
from .space import PLANE, Space
from .studies.personal import PersonalSettings
from .studying import ablate, ceiling, personal, power, regress, sizes, transfer
from .sweeping import sweep
from .tuning.settings import SearchSettings
from .tuning.tuner import tune
from .verifying import verify

__version__: str

__all__ = [
    "PLANE",
    "Audio",
    "Axis",
    "CommandSpec",
    "CurvePair",
    "CurvesSpec",
    "Dataset",
    "DatasetSpec",
    "ImportResult",
    "ImporterSpec",
    "LabelledPrompt",
    "Leaderboard",
    "LearningSettings",
    "LoadedPredictor",
    "Parameters",
    "PersonalSettings",
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
    "Section",
    "Space",
    "UsageError",
    "ablate",
    "adapt",
    "build_site",
    "ceiling",
    "compare",
    "content_identity",
    "eq",
    "errors",
    "hookimpl",
    "leaderboard",
    "learn",
    "list_datasets",
    "list_predictors",
    "load_dataset",
    "load_predictor",
    "metrics",
    "personal",
    "power",
    "regress",
    "run",
    "score",
    "sizes",
    "statistics",
    "sweep",
    "testing",
    "transfer",
    "tune",
    "tuned",
    "tuned_choice",
    "verify",
]
