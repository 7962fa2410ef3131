"""Has a predictor become worse? By the interval of the mean difference over prompts: docs/regression.md."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pandas as pd

from popeq.board.comparison import by_prompt
from popeq.board.differences import mean_difference
from popeq.board.entries import Entry
from popeq.board.scoring import Scorer
from popeq.board.selection import entry_of
from popeq.dataset import Dataset
from popeq.errors import PopeqError
from popeq.metrics import HEADLINE, SCORES
from popeq.render import html_table
from popeq.runs.folder import Run
from popeq.statistics import LEAST_PROMPTS, MeanEstimate

Verdict = Literal["pass", "regressed", "inconclusive"]

#: Loss in dB that is tolerated by default; how it was chosen is in docs/regression.md.
DEFAULT_MARGIN_DB = 0.25


class NotComparableError(PopeqError):
    """The two sides cannot be compared prompt by prompt."""

    exit_code = 3


@dataclass(frozen=True, eq=False)
class Regression:
    """What the gate found. ``shift`` is the mean over prompts of head minus base in dB (positive: head is
    worse), ``low`` and ``high`` the ends of its 95 % interval; ``prompts`` the single prompts, the largest
    loss first (``prompt_id, text, category, base, head, difference``)."""

    verdict: Verdict
    base: str
    head: str
    metric: str
    margin_db: float
    shift: MeanEstimate
    prompts: pd.DataFrame
    dataset: str

    @property
    def low(self) -> float:
        """Lower end of the 95 % interval of the loss, dB."""
        return self.shift.interval()[0]

    @property
    def high(self) -> float:
        """Upper end of the 95 % interval of the loss, dB."""
        return self.shift.interval()[1]

    @property
    def exit_code(self) -> int:
        """0 pass, 1 regressed, 2 inconclusive."""
        return {"pass": 0, "regressed": 1, "inconclusive": 2}[self.verdict]

    def _repr_html_(self) -> str:
        """The losses of single prompts and the verdict, in a notebook."""
        return html_table(self.prompts, self.lines)

    @property
    def lines(self) -> list[str]:
        """The verdict and its reasons, for people."""
        m = f"{self.margin_db:g} dB"
        why = {
            "pass": f"not worse by more than {m}",
            "regressed": f"worse, and not shown to be so by {m} at most",
            "inconclusive": f"neither a loss is shown nor that it is {m} at most",
        }[self.verdict]
        base, head = self.prompts["base"].mean(), self.prompts["head"].mean()
        lines = [
            f"{self.verdict.upper()}: {self.head} against {self.base}: {why} (95% interval)",
            f"  {self.metric} on {len(self.prompts)} prompts of {self.dataset}: mean {base:.2f} -> "
            f"{head:.2f} dB, shift {self.shift.value:+.3f} dB, interval [{self.low:+.3f}, {self.high:+.3f}]",
        ]
        if self.verdict == "inconclusive":
            lines.append(f"  {self._what_would_settle_it()}")
        return lines

    def _what_would_settle_it(self) -> str:
        if not self.shift.df:
            return f"{len(self.prompts)} prompts are too few for a verdict; {LEAST_PROMPTS} are the least"
        wanted = self.margin_db - max(self.shift.value, 0.0)
        if wanted <= 0.0:
            return "the loss seen is above the margin, but may be chance; draw more seeds of both sides"
        margin = f"a margin of {self.high:.2f} dB would settle it"
        # The part that varies by person does not become less with more prompts.
        left = (self.shift.se * wanted / (self.high - self.shift.value)) ** 2 - self.shift.se_people**2
        if left <= 0.0:
            return f"more prompts of these listeners alone would not settle it, other listeners may; {margin}"
        own = self.shift.se**2 - self.shift.se_people**2
        prompts = math.ceil(len(self.prompts) * own / left)
        return f"about {prompts} prompts like these would settle it, more seeds of both sides help; {margin}"


def judge(shift: MeanEstimate, margin_db: float = DEFAULT_MARGIN_DB) -> Verdict:
    """The verdict on a mean difference, head minus base in dB, lower scores being better.

    The 95 % interval decides, as in trials of non-inferiority (ICH E9): *pass* if it lies wholly at or below
    the margin, else *regressed* if it lies wholly above zero, else *inconclusive*.

    Raises
    ------
    ValueError
        If the margin is negative or not finite.
    """
    if not (math.isfinite(margin_db) and margin_db >= 0.0):
        raise ValueError(f"the margin must be finite and not negative, not {margin_db}")
    low, high = shift.interval()
    if high <= margin_db:
        return "pass"
    return "regressed" if low > 0.0 else "inconclusive"


def regress(
    base: Sequence[Run],
    head: Sequence[Run],
    dataset: Dataset,
    *,
    metric: str = HEADLINE,
    margin_db: float = DEFAULT_MARGIN_DB,
) -> Regression:
    """Compare two predictors, each by its runs (seeds are averaged prompt by prompt).

    Raises
    ------
    NotComparableError
        If a side has no complete run, or data set revision, protocol or metric differ.
    """
    if metric not in SCORES:
        raise NotComparableError(f"no score is called {metric!r}; there are: {', '.join(SCORES)}")
    try:
        scorer = Scorer(dataset, base[0].record.protocol)
        b, h = (entry_of(runs, scorer) for runs in (base, head))
    except PopeqError as error:
        raise NotComparableError(str(error)) from None
    if not scorer.prompt_ids:
        raise NotComparableError("no prompt was scored")
    prompts = by_prompt(scorer, metric, base=b, head=h)
    prompts["difference"] = prompts["head"] - prompts["base"]
    prompts = prompts.sort_values("difference", ascending=False, kind="stable", ignore_index=True)
    shift, labels = mean_difference(h.table, b.table, metric, scorer.panels), (_label(b), _label(h))
    verdict, name = judge(shift, margin_db), dataset.card.label
    return Regression(verdict, *labels, metric, margin_db, shift, prompts, name)


def _label(entry: Entry) -> str:
    predictor = entry.record.predictor
    return f"{predictor.name} ({predictor.source}, seed {entry.seeds})"
