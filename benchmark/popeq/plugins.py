"""Find plugins, one entry point at a time: a broken one becomes a warning, never a dead program."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Protocol, TypeVar

import pluggy

from popeq import hookspecs
from popeq.commands import CommandSpec
from popeq.contract import DatasetSpec, PredictorSpec
from popeq.eq.pairs import BUNDLED, CurvesSpec
from popeq.errors import UnknownNameError
from popeq.importing import ImporterSpec
from popeq.plain_text import folder_name

GROUP = "popeq"


class _Named(Protocol):
    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=_Named)


@dataclass
class Registry:
    """Everything that plugins brought, by name, with the distribution each thing came from.

    ``warnings`` holds one line for each plugin, or single offering, that could not be used.
    """

    manager: pluggy.PluginManager
    predictors: dict[str, PredictorSpec] = field(default_factory=dict)
    datasets: dict[str, DatasetSpec] = field(default_factory=dict)
    importers: dict[str, ImporterSpec] = field(default_factory=dict)
    commands: dict[str, CommandSpec] = field(default_factory=dict)
    curves: dict[str, CurvesSpec] = field(default_factory=lambda: dict(BUNDLED))
    sources: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def predictor(self, name: str) -> PredictorSpec:
        """The predictor of that name; raises UnknownNameError with near names."""
        if name not in self.predictors:
            raise UnknownNameError("predictor", name, self.predictors, "('popeq list' shows them all)")
        return self.predictors[name]

    def add(self, plugin: object, source: str) -> None:
        """Register one plugin; what it does wrong becomes a warning."""
        try:
            self.manager.register(plugin)
        except Exception as error:
            self.warnings.append(f"plugin {source}: not loaded: {_one_line(error)}")
            return
        self._collect(plugin, source, "popeq_predictors", PredictorSpec, self.predictors)
        self._collect(plugin, source, "popeq_datasets", DatasetSpec, self.datasets)
        self._collect(plugin, source, "popeq_importers", ImporterSpec, self.importers)
        self._collect(plugin, source, "popeq_commands", CommandSpec, self.commands)
        self._collect(plugin, source, "popeq_curves", CurvesSpec, self.curves)

    def _collect(self, plugin: object, source: str, hook: str, kind: type[S], into: dict[str, S]) -> None:
        implementation: Callable[[], Iterable[Any]] | None = getattr(plugin, hook, None)
        if implementation is None:
            return
        try:
            specs = list(implementation())
        except Exception as error:
            self.warnings.append(f"plugin {source}: {hook} failed: {_one_line(error)}")
            return
        for spec in specs:
            if not isinstance(spec, kind):
                self.warnings.append(f"plugin {source}: {hook} gave {spec!r}, not a {kind.__name__}")
            elif wrong := _name_problem(spec.name):
                self.warnings.append(f"plugin {source}: the name {spec.name!r} {wrong}")
            elif spec.name in into:
                holder = self.sources.get(f"{hook}:{spec.name}", "popeq")
                self.warnings.append(
                    f"plugin {source}: {spec.name!r} is taken by {holder}; give yours another name"
                )
            else:
                into[spec.name] = spec
                self.sources[f"{hook}:{spec.name}"] = source

    def source_of(self, predictor: str) -> str:
        """Distribution and version that brought a predictor, such as ``popeq 0.1.0``."""
        return self.sources.get(f"popeq_predictors:{predictor}", "unknown")


def _name_problem(name: str) -> str | None:
    """What is wrong with a name that folders are called after, in words."""
    try:
        folder_name(name, 100)
    except ValueError as error:
        return str(error)
    return None


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def build_registry(entry_points: Iterable[importlib.metadata.EntryPoint]) -> Registry:
    """Load each entry point by itself and collect what it brings."""
    manager = pluggy.PluginManager("popeq")
    manager.add_hookspecs(hookspecs)
    registry = Registry(manager)
    seen: set[tuple[str, str]] = set()
    for entry_point in sorted(entry_points, key=lambda e: (e.value.split(".")[0] not in _BUILT_IN, e.name)):
        if (entry_point.name, entry_point.value) in seen:
            continue
        seen.add((entry_point.name, entry_point.value))
        dist = entry_point.dist
        source = f"{dist.name} {dist.version}" if dist else entry_point.name
        try:
            plugin = entry_point.load()
        except (Exception, SystemExit) as error:
            label = f"{entry_point.name!r} of {source}" if dist else repr(entry_point.name)
            registry.warnings.append(f"plugin {label} ({entry_point.value}): not loaded: {_one_line(error)}")
            continue
        registry.add(plugin, source)
    return registry


_BUILT_IN = (
    "popeq_audio",
    "popeq_baselines",
    "popeq_data",
    "popeq_dsp",
    "popeq_groups",
    "popeq_llm",
    "popeq_mlflow",
    "popeq_peft",
)


@lru_cache(maxsize=1)
def registry() -> Registry:
    """The installed plugins, loaded once in a process."""
    return build_registry(importlib.metadata.entry_points(group=GROUP))
