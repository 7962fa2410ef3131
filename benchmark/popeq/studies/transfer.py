"""Transfer: the same predictions scored against other listeners, to see whether a ranking holds for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import kendalltau, rankdata

from popeq.board.differences import mean_score
from popeq.board.entries import Entry
from popeq.board.groupings import Group
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.plain_text import same_sentence
from popeq.statistics import MeanEstimate, Panels, mean_inference
from popeq.studies.study import COLOURS, Study, name_beside, simulated_note, table_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, eq=False)
class SharedSentences:
    """The tested sentences that two data sets share: ``keep``, their positions among those of the first, and
    scorers of the same predictions against the listeners ``here`` (of the first) and ``there``."""

    keep: tuple[int, ...]
    here: Scorer
    there: Scorer

    def only(self, keep: Sequence[int]) -> SharedSentences:
        """Some of the shared sentences, by position."""
        kept = tuple(self.keep[i] for i in keep)
        return SharedSentences(kept, self.here.only(keep), self.there.only(keep))


def shared_sentences(scorer: Scorer, other: Dataset) -> SharedSentences:
    """The sentences of a scorer that are also prompts of ``other``, whatever their case and white space.

    Raises
    ------
    UsageError
        If there are none, or the two data sets have different planes.
    """
    if other.space != scorer.dataset.space:
        raise UsageError(f"transfer: {other.name} has another plane than {scorer.dataset.name}")
    by_id = {p.prompt_id: same_sentence(p.text) for p in other.unlabelled(list(other.prompts["prompt_id"]))}
    by_text = {text: prompt_id for prompt_id, text in reversed(by_id.items())}  # the first of equal ones
    texts = [same_sentence(text) for text in scorer.about["text"]]
    keep = tuple(i for i, text in enumerate(texts) if text in by_text)
    if not keep:
        raise UsageError(f"transfer: {other.name} and {scorer.dataset.name} share no sentence")
    own = scorer.prompt_ids  # the same prompt id, where it has the same sentence
    ids = [own[i] if by_id.get(own[i]) == texts[i] else by_text[texts[i]] for i in keep]
    here = scorer.only(keep)
    return SharedSentences(keep, here, Scorer(other, scorer.protocol, tuple(ids)))


def transfer_study(
    entries: Sequence[Entry], scorer: Scorer, other: Dataset, *, by: str | None = None
) -> Study:
    """Each entry's score against its own listeners and against those of ``other``, on the same sentences.

    Raises
    ------
    UsageError
        If the two data sets share no sentence or no plane.
    """
    shared = shared_sentences(scorer, other)
    ids, space = scorer.dataset.test_ids, scorer.dataset.space
    place = [ids.index(p) for p in shared.here.prompt_ids]
    pairs = []
    for entry in entries:
        scored = [shared.there.score(run.samples(ids, space)[place]) for run in entry.runs]
        pairs.append((entry.label, entry.table.take(shared.keep), average(scored)))

    def table_of(group: Group) -> pd.DataFrame:
        here = [group.entry(entry.take(shared.keep), shared.here).table for entry in entries]
        cut = [(n, h, there.take(group.keep)) for (n, _, there), h in zip(pairs, here, strict=True)]
        kept = tuple(shared.keep[i] for i in group.keep)
        own = SharedSentences(kept, group.scorer(shared.here), shared.there.only(group.keep))
        return _table(cut, own)

    table, split_notes = table_by(shared.here, table_of, by)
    own, far = table_means(pairs)
    notes = [
        f"{len(shared.keep)} sentences; {HEADLINE} in dB, lower is better; shift is the mean over sentences "
        "of there minus here. Intervals and p are of each row, over sentences and both groups of listeners.",
        _agreement(own, far),
        "The study shows whether the same predictions fit other listeners of the same sentences. Two panels "
        "of few listeners differ by chance alone, so equal scores are not equal preferences.",
        *simulated_note(scorer),
        *split_notes,
    ]

    def draw(axes: Axes) -> None:
        low, high = min(*own, *far), max(*own, *far)
        room = 0.08 * (high - low) or 0.1 * high or 1.0
        ends = (low - room, high + room)
        axes.plot(ends, ends, color="0.7", linewidth=0.8)
        axes.scatter(own, far, color=COLOURS[0], s=18, zorder=3)
        axes.set(xlim=ends, ylim=ends)
        name_beside(axes, [(label, x, y) for (label, _, _), x, y in zip(pairs, own, far, strict=True)])
        axes.set(
            xlabel=f"mean against {scorer.dataset.card.label} (dB)",
            ylabel=f"mean against {other.card.label} (dB)",
        )

    title = f"The same predictions against {other.card.label}"
    return Study(title, table, tuple(notes), draw, keys=2 if by else 1)


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


def _table(pairs: Sequence[tuple[str, PromptTable, PromptTable]], shared: SharedSentences) -> pd.DataFrame:
    ranks = [rankdata(means, method="min").astype(int).tolist() for means in table_means(pairs)]
    panels = shared.here.panels, shared.there.panels
    rows = []
    for i, (label, here, there) in enumerate(pairs):
        row: dict[str, object] = {"predictor": label}
        for name, scored, panel in zip(("here", "there"), (here, there), panels, strict=True):
            mean = mean_score(scored, HEADLINE, panel)
            low, high = mean.interval()
            row |= {f"{name}_mean": mean.value, f"{name}_low": low, f"{name}_high": high}
        shift = across(here, there, shared)
        low, high = shift.interval()
        row |= {"shift": shift.value, "shift_low": low, "shift_high": high}
        row |= {"p_value": shift.p_value, "effect_size": shift.effect_size}
        row |= {"rank_here": ranks[0][i], "rank_there": ranks[1][i], "prompts": shared.here.panels.prompts}
        rows.append(row)
    return pd.DataFrame(rows).sort_values("here_mean", kind="stable", ignore_index=True)


def across(here: PromptTable, there: PromptTable, shared: SharedSentences) -> MeanEstimate:
    """The mean over sentences of the headline there minus here, dB, where other people answered there.

    A listener's influence counts in the panel that it belongs to; one name in both data sets is taken for two
    people.
    """
    both = zip(shared.here.listeners, shared.there.listeners, strict=True)
    names = [[f"here {n}" for n in own] + [f"there {n}" for n in other] for own, other in both]
    influence = []
    for a, b in zip(here.influence[HEADLINE], there.influence[HEADLINE], strict=True):
        n = len(a) + len(b)  # a weight of 1 / m in its own panel is one of 1 / n among all
        influence.append(np.concatenate([-a * n / len(a), b * n / len(b)]))
    difference = there.scores(HEADLINE) - here.scores(HEADLINE)
    return mean_inference(difference, influence, Panels(names))
