"""``popeq.tune``: trials of a predictor's parameters by successive halving, on the validation split alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

import popeq.api as api
from popeq.board.scoring import Scorer
from popeq.contract import PredictorSpec
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_DATASET
from popeq.errors import RunError, UsageError
from popeq.installing import need
from popeq.locks import Lock
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.ranges import Range
from popeq.runs.answering import mixed
from popeq.runs.folder import Run, find_runs
from popeq.runs.identity import identity_of
from popeq.runs.plan import given_name, run_command, typed_parameters
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings
from popeq.seeding import generator
from popeq.tuning.halving import goes_on, proposal, within
from popeq.tuning.planning import plan_search
from popeq.tuning.record import (
    RECORD,
    Cost,
    RoundRecord,
    Search,
    TrialRecord,
    TuningRecord,
    read_tuning,
    write_tuning,
)
from popeq.tuning.settings import DEFAULT_SEARCH, SearchSettings
from popeq.tuning.view import asking, tuning_view

#: Folder, in that of the search, of the run under way and of those that failed.
_UNDER_WAY = "rounds"
#: So many failed trials at the very beginning end a search: what is wrong is not the settings.
_MOST_FAILED = 3


def tune(
    predictor: str | PredictorSpec,
    dataset: str | Path | Dataset = DEFAULT_DATASET,
    *,
    fixed: Mapping[str, object] | None = None,
    search: SearchSettings = DEFAULT_SEARCH,
    settings: RunSettings = DEFAULT_SETTINGS,
    on_round: Callable[[TuningRecord, int], None] | None = None,
    **changes: object,
) -> TuningRecord:
    """Search the ranges that a predictor's parameters declare (``popeq.ranges``) for the best setting.

    A trial is scored by the mean headline score of the validation prompts, whose answers stay out of the
    process that predicts them; the data set's test split is cut off before anything runs. The first trial is
    the predictor's defaults. Each round is a run of its own with more epochs (a predictor that has the
    parameter ``epochs``) or more validation prompts (any other).

    Parameters
    ----------
    fixed
        Parameters by name that are held and not searched.
    search
        How many settings are tried, with which budgets, and the folder of ``tuning.json`` and of runs under
        way, from which a search that was stopped goes on. Budgets grow by ``reduction`` from one round to the
        next, and about one trial in ``reduction`` goes on.
    settings
        How each run is carried out.
    on_round
        Called as ``on_round(record, trial)`` after each round.
    changes
        Fields of ``search`` and of ``settings`` by name, such as ``trials=40``.

    Raises
    ------
    UsageError
        For wrong names or numbers, a predictor without ranges, a data set without a validation split or with
        folds, or a folder that holds another search.
    RunError
        If no trial could be fitted, or another process works in the folder.
    """
    need("optuna", "tune")
    own = {name: changes.pop(name) for name in SearchSettings.model_fields if name in changes}
    search = search.with_changes(**own)
    settings = settings.with_changes(**changes).checked()
    loaded = api.as_dataset(dataset)
    view, given = tuning_view(loaded), given_name(loaded)
    spec = registry().predictor(predictor) if isinstance(predictor, str) else predictor
    planned = plan_search(spec, view, given, fixed or {}, search)
    place = f"{spec.name}-{view.name.removesuffix('-tuning')}-{search.seed}"
    folder = search.output or Path("tuning") / place
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = Lock(folder / ".lock", wait=False)
    except BlockingIOError:
        raise RunError(f"another popeq process is tuning in {folder}; wait for it") from None
    except OSError as error:
        raise UsageError(f"{folder}: cannot be written: {error.strerror or error}") from None
    with lock:
        return _Tuner(spec, view, planned, folder, settings, on_round).run(search.trials)


class _Tuner:
    """One search in its folder. It holds a view of the data set that has no test prompts."""

    def __init__(
        self,
        spec: PredictorSpec,
        view: Dataset,
        search: Search,
        folder: Path,
        settings: RunSettings,
        on_round: Callable[[TuningRecord, int], None] | None,
    ) -> None:
        self.spec, self.view, self.search, self.folder = spec, view, search, folder
        self.on_round = on_round
        self.settings = settings.with_changes(runs_dir=folder / _UNDER_WAY)
        self.record = self._begun()
        # Which prompts count at the lower rounds, the same for every trial.
        order = generator("tune", search.seed, "prompts").permutation(view.test_ids)
        self.order = [str(p) for p in order]
        self.scorers: dict[tuple[str, ...], Scorer] = {}

    def _begun(self) -> TuningRecord:
        """The search in the folder; a new one if there is none. Raises UsageError if it is another one."""
        found = None if self.settings.fresh else read_tuning(self.folder / RECORD)
        # Where nothing worked, it was hardly the settings: failures are not kept.
        if found is None or all(t.state == "failed" for t in found.trials):
            cost = Cost(trials=0, fits=0, fit_s=0.0, wall_s=0.0)
            return TuningRecord(search=self.search, simulated=self.view.card.simulated, cost=cost)
        other = [n for n in Search.model_fields if getattr(found.search, n) != getattr(self.search, n)]
        if other:
            raise UsageError(
                f"{self.folder}: holds another search (different: {', '.join(other)}); give another folder "
                "with -o, or remove this one"
            )
        return found

    def run(self, trials: int) -> TuningRecord:
        """Try settings until there are ``trials``, or no others."""
        if not self.record.trials and (defaults := self._defaults()) is not None:
            self._keep([TrialRecord(parameters=defaults)], defaults=0)
        while True:
            if not self.record.trials or self.record.trials[-1].state != "running":
                if len(self.record.trials) >= trials:
                    break
                setting = proposal(*self._asked(self.record.trials))
                if setting is None:
                    break
                self._keep([*self.record.trials, TrialRecord(parameters=setting)])
            self._round()
            if len(self.record.trials) == _MOST_FAILED and all(
                t.state == "failed" for t in self.record.trials
            ):
                break
        return self._end()

    def _defaults(self) -> dict[str, Any] | None:
        """The searched parameters' own defaults, if they lie in the ranges."""
        held = typed_parameters(self.spec, self.search.fixed).model_dump(mode="json")
        own = {name: held[name] for name in self.search.ranges}
        return own if within(self.search.ranges, own) else None

    def _asked(self, trials: list[TrialRecord]) -> tuple[Mapping[str, Range], list[TrialRecord], int, int]:
        return self.search.ranges, trials, self.search.seed, self.search.budget.reduction

    def _round(self) -> None:
        """Give the last trial its next budget, and say what becomes of it."""
        *before, trial = self.record.trials
        held = typed_parameters(self.spec, self.search.fixed, flag="--set")
        if identity_of(self.spec, held).sha256 != self.search.code:
            raise RunError(
                f"{self.spec.name}: its code, or a model of its, changed during the search in {self.folder}; "
                "begin another with -o"
            )
        budgets = self.search.budget.rounds
        last, message = self._fitted(trial, budgets[len(trial.rounds)])
        trial = trial.model_copy(update={"rounds": [*trial.rounds, last], "message": message})
        if last.score_db is None:
            state = "failed"
        elif len(trial.rounds) == len(budgets):
            state = "complete"
        else:
            state = "running" if goes_on(*self._asked([*before, trial])) else "stopped"
        self._keep([*before, trial.model_copy(update={"state": state})])
        self._tidy()
        if self.on_round:
            self.on_round(self.record, len(before))

    def _fitted(self, trial: TrialRecord, budget: int) -> tuple[RoundRecord, str]:
        """Fit once and draw what this round asks for."""
        by_epochs = self.search.budget.parameter == "epochs"
        drawn = {prompt: score for r in trial.rounds for prompt, score in r.scores.items()}
        options = {**self.search.fixed, **trial.parameters}
        if by_epochs:
            asked, drawn, options = self.order, {}, {**options, "epochs": budget}
        else:
            asked = [p for p in self.order[:budget] if p not in drawn]
        view = asking(self.view, asked)
        try:
            (run,) = api.run(
                self.spec,
                view,
                seeds=self.search.seed,
                options=options,
                settings=self.settings,
            )
        except UsageError as error:  # parameters that do not go together
            return _round_record(budget, None, {}, {}), str(error)
        if run.record.status != "complete":
            first = run.record.failures[0]
            return _round_record(budget, run, {}, {}), f"{first.kind}: {first.message} (see {run.folder})"
        before = {r.answered_by for t in self.record.trials for r in t.rounds if r.answered_by}
        if (who := run.record.answered_by) and before - {who}:
            raise RunError(f"{self.folder}: {mixed(before.pop(), who)}")
        if view.test_ids not in self.scorers:
            self.scorers[view.test_ids] = Scorer(view, DEFAULT_PROTOCOL)
        scorer = self.scorers[view.test_ids]
        frame = scorer.score(run.samples(view.test_ids, view.space)).frame
        scores = dict(zip(frame["prompt_id"], frame[self.search.metric].astype(float), strict=True))
        return _round_record(budget, run, scores, drawn | scores), ""

    def _tidy(self) -> None:
        """Remove runs whose scores are kept; what failed is left to be looked at."""
        for run in find_runs(self.folder / _UNDER_WAY)[0]:
            if run.record.status == "complete":
                shutil.rmtree(run.folder, ignore_errors=True)

    def _keep(self, trials: list[TrialRecord], **changes: Any) -> None:
        """Write how far the search is."""
        rounds = [r for t in trials for r in t.rounds]
        complete = [i for i, t in enumerate(trials) if t.state == "complete"]
        best = min(complete, key=lambda i: (trials[i].rounds[-1].score_db, i), default=None)
        cost = Cost(
            trials=len(trials),
            fits=len(rounds),
            fit_s=sum(r.fit_s for r in rounds),
            wall_s=sum(r.wall_s for r in rounds),
        )
        command = None if best is None else self._command(trials[best])
        changes = {"status": "unfinished", **changes}
        self.record = self.record.model_copy(
            update={"trials": trials, "best": best, "cost": cost, "command": command, **changes}
        )
        write_tuning(self.folder / RECORD, self.record)

    def _command(self, trial: TrialRecord) -> str:
        search = self.search
        parameters = typed_parameters(self.spec, {**search.fixed, **trial.parameters})
        return run_command(self.spec, parameters, search.dataset, search.seed)

    def _end(self) -> TuningRecord:
        if self.record.best is None:
            first = next((t.message for t in self.record.trials if t.message), "")
            raise RunError(f"{self.spec.name}: no setting could be fitted; the first: {first}")
        self._keep(self.record.trials, status="complete")
        return self.record


def _round_record(
    budget: int, run: Run | None, scores: Mapping[str, float], so_far: Mapping[str, float]
) -> RoundRecord:
    stages = run.record.stages if run else []
    values = list(so_far.values())
    return RoundRecord(
        budget=budget,
        scores=dict(scores),
        score_db=float(np.mean(values)) if values else None,
        median_db=float(np.median(values)) if values else None,
        fit_s=sum(s.fit_s for s in stages),
        sample_s=sum(s.sample_s for s in stages),
        wall_s=run.record.wall_s if run else 0.0,
        peak_memory_mb=max((s.peak_memory_mb for s in stages), default=0.0),
        answered_by=run.record.answered_by if run else "",
    )
