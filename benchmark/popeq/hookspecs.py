"""The plugin hooks. A plugin is a module or package with functions of these names, marked
``@popeq.hookimpl`` and registered in the entry-point group ``popeq``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

from popeq.commands import CommandSpec
from popeq.contract import DatasetSpec, PredictorSpec
from popeq.eq.pairs import CurvesSpec
from popeq.importing import ImporterSpec

if TYPE_CHECKING:
    from popeq.runs.record import RunRecord

hookspec = pluggy.HookspecMarker("popeq")
hookimpl = pluggy.HookimplMarker("popeq")


@hookspec
def popeq_predictors() -> list[PredictorSpec]:  # type: ignore[empty-body]
    """Predictors that this plugin brings."""


@hookspec
def popeq_datasets() -> list[DatasetSpec]:  # type: ignore[empty-body]
    """Data set folders that this plugin brings."""


@hookspec
def popeq_importers() -> list[ImporterSpec]:  # type: ignore[empty-body]
    """Importers of other people's files that this plugin brings; each becomes ``popeq data import NAME``."""


@hookspec
def popeq_curves() -> list[CurvesSpec]:  # type: ignore[empty-body]
    """Pairs of curves that this plugin brings; a data set names one as ``curves`` in its ``[space]``."""


@hookspec
def popeq_commands() -> list[CommandSpec]:  # type: ignore[empty-body]
    """Commands that this plugin brings; each becomes ``popeq NAME``."""


@hookspec
def popeq_run_started(run: RunRecord) -> None:
    """A run begins, or goes on where an earlier one stopped."""


@hookspec
def popeq_prompt_done(run: RunRecord, prompt_id: str) -> None:
    """The samples of one more prompt are on disk."""


@hookspec
def popeq_run_finished(run: RunRecord) -> None:
    """A run ended; ``run.status`` says how."""
