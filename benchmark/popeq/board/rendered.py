"""``rendered_mmd`` on a board: a column that is computed only where it is asked for, and what it says."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from popeq.board import kept_scores
from popeq.board.entries import Entry, samples_of
from popeq.board.kept_scores import Numbers
from popeq.board.scoring import PromptTable, ReferenceLine, Scorer
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.metrics.rendered import RenderedTarget, mean_kernel, rendered_features
from popeq.parallel import parallel_map
from popeq.protocol import SECONDARY_METRIC_VERSIONS
from popeq.runs.folder import Run
from popeq.space import Space
from popeq.typing import Floats

RENDERED = "rendered_mmd"
#: Columns of a board that has it.
RENDERED_COLUMNS = (f"{RENDERED}_mean", f"{RENDERED}_mean_low", f"{RENDERED}_mean_high")
#: Fewer rows have no rank correlation worth a figure.
_LEAST_ROWS = 3


def has_rendered(entries: Sequence[Entry]) -> bool:
    """Whether the tables of all rows hold ``rendered_mmd``."""
    return all(RENDERED in entry.table.frame for entry in entries)


def with_rendered(
    entries: Sequence[Entry],
    scorer: Scorer,
    drawn: Dataset | None = None,
    *,
    jobs: int = 1,
    keep: bool = True,
) -> list[Entry]:
    """The same rows, whose tables also hold ``rendered_mmd`` and the influence of listeners on it.

    Nothing else in them changes. ``drawn`` is the data set that the runs are of, by default the scorer's.
    Runs are scored in ``jobs`` processes; with ``keep``, what the same code computed here before is read,
    from files of its own.

    Raises
    ------
    UsageError
        If a prompt has one listener, or the protocol one sample.
    """
    _check(scorer)
    runs = [run for entry in entries for run in entry.runs]
    places = [_place_of(run, scorer) if keep else None for run in runs]
    kept = [place and kept_scores.read(place, scorer, (RENDERED,)) for place in places]
    tasks = [(run, place) for run, place, found in zip(runs, places, kept, strict=True) if not found]
    computed = iter(parallel_map(_score_one, tasks, jobs, (scorer, drawn or scorer.dataset)))
    scored = iter([found or next(computed) for found in kept])
    return [replace(e, table=_extended(e.table, [next(scored) for _ in e.runs])) for e in entries]


def rendered_table(run: Run, scorer: Scorer) -> pd.DataFrame:
    """``prompt_id`` and ``rendered_mmd`` of a run; UsageError as for ``with_rendered``."""
    _check(scorer)
    values = _score_one(run, None, scorer, scorer.dataset).scores[RENDERED]
    return pd.DataFrame({"prompt_id": scorer.prompt_ids, RENDERED: values})


def rendered_reference(line: ReferenceLine, scorer: Scorer) -> ReferenceLine:
    """The line of the training responses with their ``rendered_mmd``: all of them, not drawn."""
    places = {prompt_id: i for i, prompt_id in enumerate(scorer.prompt_ids)}
    values, influence = np.zeros(len(places)), [np.zeros(m) for m in scorer.panels.sizes]
    for stage in scorer.dataset.stages:
        tested = [places[p] for p in stage.test if p in places]
        if tested:
            pool = rendered_features(scorer.dataset.pooled(stage.train), scorer.dataset.space)
            inner = mean_kernel(pool)
            for i in tested:
                values[i], influence[i] = _target(scorer, i).score_of(pool, inner)
    return replace(
        line,
        scores={**line.scores, RENDERED: values},
        influence={**line.influence, RENDERED: influence},
    )


def rendered_text(entries: Sequence[Entry]) -> str:
    """The note of a board that has the column: what it is, and how its order agrees with the headline's."""
    about = (
        f"{RENDERED} (version {SECONDARY_METRIC_VERSIONS[RENDERED]}, not part of the protocol): squared MMD, "
        "without bias, between features of pink noise and of a synthetic track at the samples' and at the "
        "listeners' settings; no unit, lower is better, 0 expected of a perfect predictor. It ranks nothing."
    )
    if len(entries) < _LEAST_ROWS:
        return about
    from scipy.stats import kendalltau, spearmanr

    ours, theirs = ([np.mean(e.table.scores(name)) for e in entries] for name in (RENDERED, HEADLINE))
    figures = spearmanr(ours, theirs).statistic, kendalltau(ours, theirs).statistic
    if not np.isfinite(figures).all():
        return about
    return (
        f"{about} Rank correlation of its means with those of {HEADLINE} over {len(entries)} rows: "
        f"Spearman {figures[0]:.2f}, Kendall {figures[1]:.2f}."
    )


def _check(scorer: Scorer) -> None:
    """UsageError where there is no unbiased estimate."""
    dataset = scorer.dataset
    for prompt_id, listeners in zip(scorer.prompt_ids, scorer.panels.sizes, strict=True):
        if listeners < 2:
            raise UsageError(
                f"{dataset.name}: prompt {prompt_id} has one listener; {RENDERED} needs at least two for "
                "every prompt, leave it out"
            )
    if scorer.protocol.n_samples < 2:
        raise UsageError(f"{scorer.protocol.label}: has one sample a prompt; {RENDERED} needs at least two")


def _target(scorer: Scorer, i: int) -> RenderedTarget:
    return RenderedTarget(scorer.targets[i].responses, scorer.dataset.space)


def _score_one(run: Run, place: Path | None, scorer: Scorer, drawn: Dataset) -> Numbers:
    """``rendered_mmd`` of a run, also written to a place if there is one."""
    samples = samples_of(run, scorer, drawn)
    found = [_target(scorer, i).score(own) for i, own in enumerate(samples)]
    scored = Numbers(
        {RENDERED: np.array([one.value for one in found])}, {RENDERED: [one.influence for one in found]}, []
    )
    if place is not None:
        kept_scores.write(place, scored)
    return scored


def _place_of(run: Run, scorer: Scorer) -> Path:
    """The file of a run's ``rendered_mmd``, also by its version and by what the curves do."""
    version, curves = SECONDARY_METRIC_VERSIONS[RENDERED], _sha256_of_features(scorer.dataset.space)
    return kept_scores.place_of(f"{RENDERED} {version}, {curves}: {run.predictions_sha256()}", scorer)


def _sha256_of_features(space: Space) -> str:
    """A hash of the features on a lattice over the box: other curves, perhaps a plugin's, are another one."""
    axes = [np.linspace(*ends, 25) for ends in zip(space.low, space.high, strict=True)]
    points = space.clip(np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2))
    return hashlib.sha256(rendered_features(points, space).tobytes()).hexdigest()


def _extended(table: PromptTable, seeds: Sequence[Numbers]) -> PromptTable:
    """A table with the mean over seeds, as ``average`` makes it of the other scores."""
    values: Floats = np.mean([own.scores[RENDERED] for own in seeds], axis=0)
    by_seed = zip(*(own.influence[RENDERED] for own in seeds), strict=True)
    influence = [np.mean(parts, axis=0) for parts in by_seed]
    return PromptTable(table.frame.assign(**{RENDERED: values}), {**table.influence, RENDERED: influence})
