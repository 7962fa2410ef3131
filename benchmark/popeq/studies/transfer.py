"""Transfer: the same predictions scored against other listeners, to see whether a ranking holds for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from popeq.board.categories import Group, split_table
from popeq.board.differences import mean_score
from popeq.board.entries import Entry
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.metrics import HEADLINE, Target
from popeq.statistics import MeanEstimate, Panels, mean_inference
from popeq.studies.study import COLOURS, Study, simulated_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Other:
    """The prompts of another data set that say the same as prompts of the first."""

    def __init__(self, scorer: Scorer, other: Dataset) -> None:
        if other.space != scorer.dataset.space:
            raise UsageError(f"transfer: {other.name} has another plane than {scorer.dataset.name}")
        there = {p.prompt_id: _sentence(p.text) for p in other.unlabelled(list(other.prompts["prompt_id"]))}
        same = {text: prompt_id for prompt_id, text in reversed(there.items())}  # the first of equal ones
        texts = [_sentence(text) for text in scorer.about["text"]]
        self.keep = [i for i, text in enumerate(texts) if text in same]
        if not self.keep:
            raise UsageError(f"transfer: {other.name} and {scorer.dataset.name} share no sentence")
        self.own = scorer.only(self.keep)
        own = scorer.prompt_ids  # the same prompt id, where it says the same
        self.ids = tuple(own[i] if there.get(own[i]) == texts[i] else same[texts[i]] for i in self.keep)
        self.dataset = other
        self.scorer = scorer.only(self.keep)
        self.scorer.dataset, self.scorer.prompt_ids = other, self.ids
        self.scorer.targets = [Target(other.points(p), other.space, scorer.settings) for p in self.ids]


def _sentence(text: str) -> str:
    return " ".join(text.split()).casefold()


def transfer(entries: Sequence[Entry], scorer: Scorer, other: Dataset, *, by_category: bool = False) -> Study:
    """Each entry's score against its own listeners and against those of ``other``, on the same sentences.

    Raises
    ------
    UsageError
        If the two data sets share no sentence or no plane.
    """
    there = Other(scorer, other)
    ids, space = scorer.dataset.test_ids, scorer.dataset.space
    place = [ids.index(p) for p in there.own.prompt_ids]
    pairs = []
    for entry in entries:
        moved = [there.scorer.score(run.samples(ids, space)[place]) for run in entry.runs]
        pairs.append((entry.label, entry.table.take(there.keep), average(moved)))
    notes: list[str] = []
    table = _table(pairs, there)
    if by_category:
        table, notes = split_table(there.own, lambda g: _part(pairs, there, g))
    own, far = table_means(pairs)
    told = [
        f"{len(there.keep)} sentences; {HEADLINE} in dB, lower is better; shift is the mean over sentences "
        "of there minus here. Intervals and p are of each row, over sentences and both groups of listeners.",
        _agreement(own, far),
        "It says whether the same predictions suit other listeners of the same sentences; two panels of few "
        "listeners differ by chance alone, so equal scores are not equal tastes.",
        *simulated_note(scorer),
        *notes,
    ]

    def draw(axes: Axes) -> None:
        top = max(max(own), max(far)) * 1.08
        axes.plot([0, top], [0, top], color="0.7", linewidth=0.8)
        axes.scatter(own, far, color=COLOURS[0], zorder=3)
        for (label, _, _), x, y in list(zip(pairs, own, far, strict=True))[:30]:
            axes.annotate(label[:24], (x, y), (5, -3), textcoords="offset points", fontsize=8)
        axes.set(
            xlabel=f"mean against {scorer.dataset.card.label} (dB)",
            ylabel=f"mean against {other.card.label} (dB)",
        )

    title = f"The same predictions against {other.card.label}"
    return Study(title, table, tuple(told), draw, keys=2 if by_category else 1)


def table_means(pairs: Sequence[tuple[str, PromptTable, PromptTable]]) -> tuple[list[float], list[float]]:
    """Mean headline scores here and there."""
    return (
        [float(np.mean(here.scores(HEADLINE))) for _, here, _ in pairs],
        [float(np.mean(far.scores(HEADLINE))) for _, _, far in pairs],
    )


def _agreement(own: Sequence[float], far: Sequence[float]) -> str:
    if len(own) < 3:
        return "Too few methods to compare two orders."
    tau = kendalltau(own, far).statistic
    return f"Order of {len(own)} methods by their means here and there: Kendall's tau {tau:.2f}."


def _part(pairs: Sequence[tuple[str, PromptTable, PromptTable]], there: Other, group: Group) -> pd.DataFrame:
    part = Other.__new__(Other)
    part.own, part.scorer = there.own.only(group.keep), there.scorer.only(group.keep)
    cut = [(label, here.take(group.keep), far.take(group.keep)) for label, here, far in pairs]
    return _table(cut, part)


def _table(pairs: Sequence[tuple[str, PromptTable, PromptTable]], there: Other) -> pd.DataFrame:
    own, far = table_means(pairs)
    ranks = [pd.Series(v).rank(method="min").astype(int).tolist() for v in (own, far)]
    panels = there.own.panels, there.scorer.panels
    rows = []
    for i, (label, here, moved) in enumerate(pairs):
        row: dict[str, object] = {"predictor": label}
        for name, scored, panel in zip(("here", "there"), (here, moved), panels, strict=True):
            mean = mean_score(scored, HEADLINE, panel)
            low, high = mean.interval()
            row |= {f"{name}_mean": mean.value, f"{name}_low": low, f"{name}_high": high}
        shift = across(here, moved, there.own, there.scorer)
        low, high = shift.interval()
        row |= {"shift": shift.value, "shift_low": low, "shift_high": high}
        row |= {"p_value": shift.p_value, "effect_size": shift.effect_size}
        row |= {"rank_here": ranks[0][i], "rank_there": ranks[1][i], "prompts": there.own.panels.prompts}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("here_mean", kind="stable", ignore_index=True)


def across(here: PromptTable, there: PromptTable, own: Scorer, other: Scorer) -> MeanEstimate:
    """The mean over sentences of the headline there minus here, dB, where other people answered there.

    A listener's influence counts in the panel that it belongs to; one name in both data sets is taken for two
    people.
    """
    names, influence = [], []
    for p, (a, b) in enumerate(zip(here.influence[HEADLINE], there.influence[HEADLINE], strict=True)):
        names.append([f"here {n}" for n in own.listeners[p]] + [f"there {n}" for n in other.listeners[p]])
        both = len(a) + len(b)  # a weight of 1 / m in its own panel is one of 1 / both among all
        influence.append(np.concatenate([-a * both / len(a), b * both / len(b)]))
    difference = there.scores(HEADLINE) - here.scores(HEADLINE)
    return mean_inference(difference, influence, Panels(names))
