"""Transfer: the same predictions scored against other listeners, to see whether a ranking holds for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import kendalltau

from popeq.board.categories import Group, split_table
from popeq.board.entries import Entry
from popeq.board.leaderboard import replicates_of
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.metrics import HEADLINE, Target
from popeq.statistics import hodges_lehmann, holm, score_interval, signed_rank
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
    own, far = table_medians(pairs)
    told = [
        f"{len(there.keep)} sentences; {HEADLINE} in dB, lower is better; shift is there minus here, paired "
        "by sentence, p after Holm over the rows.",
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
            xlabel=f"median against {scorer.dataset.card.label} (dB)",
            ylabel=f"median against {other.card.label} (dB)",
        )

    title = f"The same predictions against {other.card.label}"
    return Study(title, table, tuple(told), draw, keys=2 if by_category else 1)


def table_medians(pairs: Sequence[tuple[str, PromptTable, PromptTable]]) -> tuple[list[float], list[float]]:
    """Median headline scores here and there."""
    return (
        [float(np.median(here.scores(HEADLINE))) for _, here, _ in pairs],
        [float(np.median(far.scores(HEADLINE))) for _, _, far in pairs],
    )


def _agreement(own: Sequence[float], far: Sequence[float]) -> str:
    if len(own) < 3:
        return "Too few methods to compare two orders."
    tau = kendalltau(own, far).statistic
    return f"Order of {len(own)} methods by their medians here and there: Kendall's tau {tau:.2f}."


def _part(pairs: Sequence[tuple[str, PromptTable, PromptTable]], there: Other, group: Group) -> pd.DataFrame:
    part = Other.__new__(Other)
    part.own, part.scorer = there.own.only(group.keep), there.scorer.only(group.keep)
    cut = [(label, here.take(group.keep), far.take(group.keep)) for label, here, far in pairs]
    return _table(cut, part)


def _table(pairs: Sequence[tuple[str, PromptTable, PromptTable]], there: Other) -> pd.DataFrame:
    own, far = table_medians(pairs)
    ranks = [pd.Series(v).rank(method="min").astype(int).tolist() for v in (own, far)]
    replicates = replicates_of(there.own), replicates_of(there.scorer)
    rows = []
    for i, (label, here, moved) in enumerate(pairs):
        row: dict[str, object] = {"predictor": label}
        for name, scored, drawn in zip(("here", "there"), (here, moved), replicates, strict=True):
            value, low, high = score_interval(scored.scores(HEADLINE), scored.influence[HEADLINE], drawn)
            row |= {f"{name}_median": value, f"{name}_low": low, f"{name}_high": high}
        difference = moved.scores(HEADLINE) - here.scores(HEADLINE)
        shift, test = hodges_lehmann(difference), signed_rank(difference)
        row |= {"shift": shift.value, "shift_low": shift.low, "shift_high": shift.high}
        row |= {"p_holm": test.p_value, "effect_size": test.rank_biserial}
        row |= {"rank_here": ranks[0][i], "rank_there": ranks[1][i], "prompts": len(difference)}
        rows.append(row)
    table = pd.DataFrame(rows)
    table["p_holm"] = holm(table["p_holm"].to_numpy(dtype=np.float64))
    return table.sort_values("here_median", kind="stable", ignore_index=True)
