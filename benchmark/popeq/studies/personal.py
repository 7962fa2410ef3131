"""What it is worth to know some of a person's own answers when the next one is predicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from pydantic import Field

from popeq.board.entries import Entry
from popeq.board.groupings import Group, of_listeners
from popeq.board.people import people_note
from popeq.board.scoring import Scorer
from popeq.errors import UsageError
from popeq.settings import Settings
from popeq.statistics import Family
from popeq.studies.one_listener import (
    OTHERS,
    SAMPLES,
    Answers,
    Drawn,
    OtherListeners,
    Population,
    Predicted,
    answers_of,
    drawn_answers,
    kinds_of,
)
from popeq.studies.personal_scores import (
    GROUPS,
    UNCHANGED,
    Cell,
    Cells,
    Targets,
    average_cells,
    groups_of,
    personal_cells,
)
from popeq.studies.personalisers import METHODS, check_statsmodels
from popeq.studies.study import Study, draw_estimates, log_axis, simulated_note, table_by
from popeq.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = (
    *("population", "method", "own", "mean", "low", "high", "shift", "shift_low", "shift_high"),
    *("p_value", "p_family", "edge_percent", "prompts"),
)
_OTHER = {"prompt": "another sentence or another track", "text": "another sentence"}


class PersonalSettings(Settings):
    """How many of a person's own answers are known, and which."""

    own: tuple[int, ...] = Field(
        (0, 1, 2, 5, 10), description="Numbers of a person's own answers to other prompts that are known."
    )
    other: str = Field(
        "prompt",
        description="What another prompt is: prompt (another sentence or track), text (another sentence) or "
        "a grouping of the data set (another group).",
    )
    seed: int = Field(0, ge=0, description="Chooses the answers that are known, and the groups of people.")


DEFAULT_PERSONAL: PersonalSettings = PersonalSettings()


def personal_study(
    entries: Sequence[Entry],
    scorer: Scorer,
    settings: PersonalSettings = DEFAULT_PERSONAL,
    *,
    by: str | None = None,
    jobs: int = 1,
) -> Study:
    """The energy score of predictions for one person by how many of their own answers are known.

    The populations that are changed are the other listeners of each prompt and the samples of the entries,
    whose seeds are averaged.

    Raises
    ------
    UsageError
        If nobody answered twice, or often enough, or too few people did; if ``own`` has no number above 0 or
        ``other`` is unknown; if ``by`` groups listeners; if statsmodels is missing.
    """
    check_statsmodels()
    if by and of_listeners(scorer.dataset, by):
        raise UsageError(
            f"{scorer.dataset.name}: popeq personal splits its table by groups of prompts, not of listeners; "
            f"for one group of listeners give --dataset {scorer.dataset.name}@group-NAME"
        )
    name, own = scorer.dataset.name, sorted(set(settings.own))
    if not own or own[0] < 0 or own[-1] < 1:
        raise UsageError("personal: own needs whole numbers from 0, one of them above 0, such as 0,1,2,5,10")
    answers = answers_of(scorer.dataset, scorer.prompt_ids)
    kinds = kinds_of(scorer.dataset, scorer.prompt_ids, settings.other)
    drawn = drawn_answers(answers, kinds, own[-1], settings.seed, name)
    groups = groups_of(answers, settings.seed, name)
    populations: list[Population] = [OtherListeners(answers)]
    place = [scorer.dataset.test_ids.index(p) for p in scorer.prompt_ids]
    for entry in entries:
        drawn_by = (run.samples(scorer.dataset.test_ids, scorer.dataset.space) for run in entry.runs)
        populations += [Predicted(answers, entry.label, samples[place]) for samples in drawn_by]
    found: dict[str, list[Cells]] = {}
    cells = personal_cells(populations, drawn, own, groups, scorer.dataset.space, jobs)
    for population, each in zip(populations, cells, strict=True):
        found.setdefault(population.label, []).append(each)
    means = {label: average_cells(seeds) for label, seeds in found.items()}
    everything = Compared(answers, drawn, means)
    table, split_notes = table_by(scorer, lambda group: _group_table(everything.only(group)), by)
    notes = [
        *(everything.worth(label) for label in means),
        *_notes(scorer, everything, settings),
        *split_notes,
    ]
    title = f"One listener: {scorer.dataset.card.label}"
    return Study(title, table, tuple(notes), everything.draw, keys=4 if by else 3)


class Compared:
    """Every method with every number of known answers against the population that it changes."""

    def __init__(self, answers: Answers, drawn: Drawn, means: Mapping[str, Cells]) -> None:
        self.answers, self.drawn, self.means = answers, drawn, means
        people = [answers.people[j] for j in answers.person[drawn.targets]]
        self.targets = Targets(answers.prompt[drawn.targets], people)
        self.most = max(k for cells in means.values() for _, k in cells)

    def only(self, group: Group) -> Compared | None:
        """The same for some of the prompts; None if no target is among them."""
        kept = np.isin(self.targets.prompt, group.keep)
        if not kept.any():
            return None
        drawn = Drawn(self.drawn.targets[kept], self.drawn.known[kept], 0)
        means = {
            label: {key: Cell(cell.scores[kept], cell.edge[kept]) for key, cell in cells.items()}
            for label, cells in self.means.items()
        }
        return Compared(self.answers, drawn, means)

    def differences(self, label: str) -> dict[tuple[str, int], Floats]:
        """Energy score of each method minus that of the population, (T,) dB, by method and number."""
        cells = self.means[label]
        before = cells[UNCHANGED, 0].scores
        return {key: cell.scores - before for key, cell in cells.items() if key[0] != UNCHANGED}

    def table(self) -> pd.DataFrame:
        """One row for each population, method and number of known answers."""
        rows = []
        for label, cells in self.means.items():
            differences = self.differences(label)
            adjusted = dict(zip(differences, self._family(label).p_family, strict=True))
            for key, cell in cells.items():
                mean = self.targets.mean(cell.scores)
                low, high = mean.interval()
                row: dict[str, object] = {"population": label, "method": key[0], "own": key[1]}
                row |= {"mean": mean.value, "low": low, "high": high}
                if key in differences:
                    shift = self.targets.mean(differences[key])
                    low, high = shift.interval()
                    row |= {"shift": shift.value, "shift_low": low, "shift_high": high}
                    row |= {"p_value": shift.p_value, "p_family": adjusted[key]}
                row |= {"edge_percent": 100.0 * cell.edge.mean()}
                rows.append(row | {"prompts": self.targets.panels.prompts})
        return pd.DataFrame(rows, columns=_COLUMNS)

    def _family(self, label: str, k: int | None = None) -> Family:
        """All differences of a population, or those with k known answers, adjusted for each other."""
        return self.targets.family([d for key, d in self.differences(label).items() if k in (None, key[1])])

    def best(self, label: str) -> str:
        """The method with the lowest mean score with the most known answers."""
        differences = self.differences(label)
        return min(METHODS, key=lambda method: self.targets.mean(differences[method, self.most]).value)

    def worth(self, label: str) -> str:
        """In one sentence what the best method is worth with the most known answers, in dB."""
        method = self.best(label)
        shift = self.targets.mean(self.differences(label)[method, self.most])
        before = self.targets.mean(self.means[label][UNCHANGED, 0].scores).value
        low, high = shift.interval(1.0 - self._family(label, self.most).level)
        start = (
            f"What personalising is worth, {label}: with {self.most} own answers the best of {len(METHODS)} "
            f"methods ({method})"
        )
        if shift.value >= 0.0:
            return (
                f"{start} does not lower the energy score of {before:.3f} dB: the shift is {shift.value:.3f} "
                f"dB (95 % interval, with the choice of the method: {low:.3f} to {high:.3f})."
            )
        return (
            f"{start} lowers the energy score from {before:.3f} dB by {-shift.value:.3f} dB (95 % interval, "
            f"with the choice of the method: {-high:.3f} to {-low:.3f})."
        )

    def draw(self, axes: Axes) -> None:
        """Shift against the number of known answers: every method of one population, or of several the best
        of each."""
        labels = list(self.means)
        one = labels[-1] if len(labels) < 3 else None
        lines = [(one, m) for m in METHODS] if one else [(label, self.best(label)) for label in labels]
        numbers = sorted({k for cells in self.means.values() for _, k in cells if k})
        axes.axhline(0.0, color="0.6", linewidth=0.8)
        for i, (label, method) in enumerate(lines):
            differences = self.differences(label)
            shifts = [self.targets.mean(differences[method, k]) for k in numbers]
            aside = 1.0 + 0.03 * (i - (len(lines) - 1) / 2)
            draw_estimates(axes, i, np.array(numbers) * aside, shifts, f"{label}: {method}")
        log_axis(axes, numbers)
        axes.set(xlabel="own answers that are known", ylabel="energy score against the population, dB")


def _group_table(group: Compared | None) -> pd.DataFrame:
    return pd.DataFrame(columns=_COLUMNS) if group is None else group.table()


def _notes(scorer: Scorer, everything: Compared, settings: PersonalSettings) -> list[str]:
    drawn = everything.drawn
    other = _OTHER.get(settings.other, f"another group of {settings.other}")
    left = f"; {drawn.left_out} answers of people with fewer are left out" if drawn.left_out else ""
    notes = [
        "Energy score in dB of a prediction against one person's answer, lower is better; "
        f"{len(drawn.targets)} answers of {everything.targets.panels.people} people, each with "
        f"{everything.most} own answers to other prompts ({other}){left}. Shift: a method minus the "
        "population. Intervals and p are over prompts and people; p_family holds the error over all rows of "
        "one population.",
        f"{OTHERS}: the other answers to the same prompt; a run: {SAMPLES} of its samples. How a person "
        "differs is measured from the other listeners' answers to the known prompts, for every population, "
        "so that a run's error for everybody is not counted as the worth of a person; what methods know of "
        f"how people differ is estimated on other people ({GROUPS} groups). Samples that are moved out of "
        "the plane are put on its edge: edge_percent of them.",
    ]
    if set(everything.means) - {OTHERS}:
        notes.append(people_note(scorer.dataset, scorer.prompt_ids))
    return [*notes, *simulated_note(scorer)]
