"""Score predictions against a data set, prompt by prompt, from the samples alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pandas as pd

from popeq.dataset import Dataset
from popeq.dataset_folder import read_second_panel
from popeq.metrics import SCORES, DensitySettings, Target
from popeq.metrics.diagnostics import Outline, compared, coverage_of, outline
from popeq.parallel import one_blas_thread, parallel_map
from popeq.protocol import Protocol
from popeq.statistics import Panels
from popeq.typing import Floats

DIAGNOSTICS = ("coverage", "spread_ratio", "mean_shift", "edge_mass_gap")
#: The columns of numbers.
NUMBERS = (*SCORES, *DIAGNOSTICS)
PROMPT_COLUMNS = ("prompt_id", "category", "basis", *NUMBERS)


@dataclass(frozen=True, eq=False)
class PromptTable:
    """Scores and diagnostics by prompt (``frame``, columns PROMPT_COLUMNS, in test order), and the influence
    of each listener on all scores but ``sample_kantorovich`` (``influence[score][prompt]``, (m,) dB)."""

    frame: pd.DataFrame
    influence: Mapping[str, Sequence[Floats]]

    def scores(self, name: str) -> Floats:
        """One score by prompt, (P,), dB."""
        if name not in self._read:
            self._read[name] = self.frame[name].to_numpy(dtype=np.float64)
        return self._read[name]

    def values(self, name: str) -> tuple[Floats, Sequence[Floats] | None]:
        """``scores(name)`` with the listeners' influence on it, None where it is not known."""
        return self.scores(name), self.influence.get(name)

    @cached_property
    def _read(self) -> dict[str, Floats]:
        """Scores that were read before: pandas takes 50 times as long as a dictionary to find a column."""
        return {}

    def take(self, keep: Sequence[int]) -> PromptTable:
        """Some of the prompts, by position."""
        frame = self.frame.iloc[list(keep)].reset_index(drop=True)
        return PromptTable(frame, {name: [own[i] for i in keep] for name, own in self.influence.items()})


@dataclass(frozen=True, eq=False)
class ReferenceLine:
    """Expected scores by prompt of what has no row: ``scores[name]`` (P,), dB; in words, ``how`` they were
    obtained; ``influence[name][p]`` (m_p,) of each listener on them, dB, as for a row; whether they are
    ``estimated``."""

    name: str
    how: str
    scores: Mapping[str, Floats]
    influence: Mapping[str, Sequence[Floats]] = field(default_factory=dict)
    estimated: bool = False

    def values(self, name: str) -> tuple[Floats, Sequence[Floats] | None]:
        """One score by prompt, (P,) dB, and the influence of the listeners on it."""
        return self.scores[name], self.influence.get(name)

    def take(self, keep: Sequence[int]) -> ReferenceLine:
        """The line on some of the prompts, by position."""
        return replace(
            self,
            scores={name: own[list(keep)] for name, own in self.scores.items()},
            influence={name: [own[i] for i in keep] for name, own in self.influence.items()},
        )


@dataclass(frozen=True, eq=False)
class Scorer:
    """The test prompts of a data set under a protocol, ready to score any number of predictors.

    ``Scorer(dataset, protocol)`` has every test prompt. A scorer never changes: ``only`` gives
    a new one. ``prompt_ids`` and ``targets`` (the listeners' responses with their
    densities) are in the order in which samples are given.
    """

    dataset: Dataset
    protocol: Protocol
    prompt_ids: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()

    def __post_init__(self) -> None:
        if not self.targets:
            ids = self.prompt_ids or self.dataset.test_ids
            space, protocol = self.dataset.space, self.protocol
            settings = DensitySettings(protocol.grid_cells, protocol.bandwidth_floor)
            with one_blas_thread():
                answers = [p.responses for p in self.dataset.tested(ids)]
                targets = tuple(Target(points, space, settings) for points in answers)
            object.__setattr__(self, "prompt_ids", ids)
            object.__setattr__(self, "targets", targets)

    def only(self, keep: Sequence[int]) -> Scorer:
        """A scorer of some of the prompts, by position; no density is computed again."""
        if not len(keep):
            raise ValueError("a scorer needs at least one prompt")
        ids = tuple(self.prompt_ids[i] for i in keep)
        return Scorer(self.dataset, self.protocol, ids, tuple(self.targets[i] for i in keep))

    @cached_property
    def about(self) -> pd.DataFrame:
        """``prompt_id, text, category, basis`` and the card's groupings of the prompts, in order."""
        indexed = self.dataset.prompts.set_index("prompt_id")
        columns = ["text", "category", "basis", *self.dataset.card.groupings]
        return indexed.loc[list(self.prompt_ids), columns].reset_index()

    @cached_property
    def _outlines(self) -> Outline:
        """Mean, variance and share at the edges of each prompt's responses."""
        each = [outline(target.responses, self.dataset.space) for target in self.targets]
        return Outline(*(np.array(values) for values in zip(*each, strict=True)))

    @cached_property
    def listeners(self) -> list[Sequence[str]]:
        """Who answered each prompt."""
        return [p.listeners for p in self.dataset.tested(self.prompt_ids)]

    @cached_property
    def second_panel(self) -> Dataset | None:
        """The data set's second panel, if it brings one."""
        return read_second_panel(self.dataset)

    @cached_property
    def panels(self) -> Panels:
        """Who answered which prompt, for the uncertainty of means over these prompts."""
        return Panels(self.listeners)

    def score(self, samples: Floats, jobs: int = 1) -> PromptTable:
        """Every score and diagnostic of samples (P, n, 2), dB, one row for each prompt; by ``jobs``
        processes."""
        scored = parallel_map(
            _score_prompt, list(zip(self.targets, samples, strict=True)), jobs, what="scoring prompts"
        )
        numbers = {name: np.array([values[name] for values, _ in scored]) for name in scored[0][0]}
        influence = {name: [own[name] for _, own in scored] for name in scored[0][1]}
        return self.table_of(
            numbers | compared(outline(samples, self.dataset.space), self._outlines), influence
        )

    def table_of(
        self, numbers: Mapping[str, Floats], influence: Mapping[str, Sequence[Floats]]
    ) -> PromptTable:
        """The table of scores and diagnostics (``numbers[name]`` (P,), of NUMBERS) that are known already."""
        about = self.about[["prompt_id", "category", "basis"]]
        frame = pd.concat([about, pd.DataFrame(dict(numbers))], axis=1)
        return PromptTable(frame[list(PROMPT_COLUMNS)], influence)


def _score_prompt(target: Target, points: Floats) -> tuple[dict[str, float], dict[str, Floats]]:
    """Scores and coverage of one prompt's samples, and each listener's influence."""
    scored = target.score(points)
    covered = coverage_of(scored.predicted.reflective, target.responses, target.grid)
    return scored.values | {"coverage": covered}, scored.influence


def average(tables: Sequence[PromptTable]) -> PromptTable:
    """The mean of several seeds, prompt by prompt."""
    if len(tables) == 1:
        return tables[0]
    frame = tables[0].frame.copy()
    numbers = list(NUMBERS)
    frame[numbers] = np.mean([t.frame[numbers].to_numpy(dtype=np.float64) for t in tables], axis=0)
    influence = {
        name: [np.mean(parts, axis=0) for parts in zip(*(t.influence[name] for t in tables), strict=True)]
        for name in tables[0].influence
    }
    return PromptTable(frame, influence)
