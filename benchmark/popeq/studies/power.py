"""Power: how many prompts and listeners would separate two methods, from what one data set shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import nctdtr, stdtrit

from popeq.board.differences import mean_difference
from popeq.board.entries import Entry
from popeq.board.groupings import split_table
from popeq.board.scoring import PromptTable, Scorer
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.statistics import LEAST_PROMPTS, satterthwaite
from popeq.studies.study import COLOURS, Study, log_axis, simulated_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes


WANTED_POWER, LEVEL = 0.8, 0.05
PROMPTS = (10, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480)
PANELS = (5, 11, 22, 44)


@dataclass(frozen=True)
class Components:
    """Where the score difference of two methods varies, dB: ``shift`` is its mean over prompts; ``prompt``,
    ``listener`` and ``interaction`` are standard deviations: between prompts, of a listener over all prompts,
    and of one listener's answer to one prompt."""

    shift: float
    prompt: float
    listener: float
    interaction: float

    def standard_error(self, prompts: float, panel: int) -> float:
        """Standard error of the mean difference over ``prompts`` prompts that the same ``panel`` listeners
        answer, dB."""
        own = self.prompt**2 / prompts + self.interaction**2 / (prompts * panel)
        return float(np.sqrt(own + self.listener**2 / panel))


def components(a: PromptTable, b: PromptTable, listeners: list[tuple[str, ...]]) -> Components:
    """Variance components of the headline difference ``a - b`` over prompts and listeners.

    To first order the difference of a prompt is its value for the population plus the mean of its listeners'
    influences (see ``popeq.metrics``). The influences split, by the method of moments, into what a listener
    does on all prompts and what is left; what they explain is taken off the variance between prompts.
    """
    difference = a.scores(HEADLINE) - b.scores(HEADLINE)
    effects = [
        np.asarray(x) - np.asarray(y)
        for x, y in zip(a.influence[HEADLINE], b.influence[HEADLINE], strict=True)
    ]
    sizes = np.array([len(e) for e in effects])
    total = float(np.mean([e @ e / (len(e) - 1) for e in effects if len(e) > 1]))
    by_listener: dict[str, list[float]] = {}
    for names, effect in zip(listeners, effects, strict=True):
        for name, value in zip(names, effect, strict=True):
            by_listener.setdefault(name, []).append(float(value))
    # Products of one listener's effects on two prompts have the listener's variance as their mean.
    answered = [np.array(v) for v in by_listener.values() if len(v) > 1]
    products = sum(float(v.sum() ** 2 - v @ v) for v in answered)
    pairs = sum(len(v) * (len(v) - 1) for v in answered)
    shrink = float(np.mean(1.0 - 1.0 / sizes))  # the influences are centred inside a prompt
    listener = min(max(products / pairs / shrink, 0.0), total) if pairs else 0.0
    interaction = total - listener
    prompt = max(float(np.var(difference, ddof=1)) - float(np.mean(interaction / sizes)), 0.0)
    return Components(float(difference.mean()), prompt**0.5, listener**0.5, interaction**0.5)


def power_of(parts: Components, shift: float, prompts: int, panel: int) -> float:
    """Chance that the board's test at 5 % finds a true mean difference ``shift`` (dB), in its direction, with
    this many prompts and the same listeners for all of them.

    By the noncentral t distribution with the degrees of freedom that the test has on average.
    """
    error = parts.standard_error(prompts, panel)
    own = (parts.prompt**2 + parts.interaction**2 / panel) / prompts
    of_people = (parts.listener**2 + parts.interaction**2 / prompts) / panel
    most = min(prompts, panel) - 1.0
    df = float(satterthwaite(np.array(error**2), np.array(own), prompts, np.array(of_people), panel, most))
    centre = abs(shift) / error
    return 1.0 - float(nctdtr(df, centre, stdtrit(df, 1.0 - LEVEL / 2.0)))


def power_study(
    a: Entry, b: Entry, scorer: Scorer, *, difference: float | None = None, by: str | None = None
) -> Study:
    """Power over numbers of prompts and listeners, and the fewest prompts for 80 %.

    ``difference`` (dB) is the shift to find; by default the one between the two entries.

    Raises
    ------
    UsageError
        If there are fewer than ``LEAST_PROMPTS`` prompts, or the difference is 0.
    """
    if len(scorer.prompt_ids) < LEAST_PROMPTS:
        raise UsageError(f"power: {len(scorer.prompt_ids)} prompts are too few to estimate how scores vary")
    whole = _Pair(a.table, b.table, scorer, difference)
    if whole.shift == 0:
        raise UsageError("power: the two do not differ at all; give a --difference in dB")
    curves = {m: [power_of(whole.parts, whole.shift, n, m) for n in PROMPTS] for m in PANELS}
    table = _table(curves)
    split_notes: list[str] = []
    if by:
        table, split_notes = split_table(
            scorer,
            by,
            lambda g: _components_table(
                _Pair(g.entry(a, scorer).table, g.entry(b, scorer).table, g.scorer(scorer), difference)
            ),
        )
    parts = whole.parts
    notes = [
        f"{a.label} minus {b.label}: shift {whole.measured:.2f} dB on {len(scorer.prompt_ids)} prompts, p = "
        f"{whole.p_value:.2g}; to be found: {whole.shift:.2f} dB, {HEADLINE}, the board's test at 5 %.",
        f"Standard deviations: between prompts {parts.prompt:.2f}, of a listener over all prompts "
        f"{parts.listener:.2f}, of one answer {parts.interaction:.2f} dB.",
        *(_prompts_needed(curves[m], m) for m in PANELS),
        "The study shows what a larger one of the same kind would find if the shift is the true one. A shift "
        "that was measured on few prompts is itself uncertain, and other kinds of prompts vary otherwise.",
        *simulated_note(scorer),
        *split_notes,
    ]

    def draw(axes: Axes) -> None:
        for (panel, curve), colour in zip(curves.items(), COLOURS, strict=False):
            axes.plot(PROMPTS, curve, "o-", color=colour, label=f"{panel} listeners", markersize=4)
        axes.axhline(WANTED_POWER, color="0.4", linewidth=0.8, linestyle="--")
        axes.axvline(len(scorer.prompt_ids), color="0.4", linewidth=0.8, linestyle=":")
        log_axis(axes, PROMPTS)
        axes.set(xlabel="prompts", ylabel="power", ylim=(0, 1.02))

    title = f"Power to find {whole.shift:.2f} dB between {a.label[:40]} and {b.label[:40]}"
    return Study(title, table, tuple(notes), draw, keys=1)


class _Pair:
    """Two methods on some prompts: what they differ by and where it varies."""

    def __init__(self, a: PromptTable, b: PromptTable, scorer: Scorer, difference: float | None) -> None:
        found = mean_difference(a, b, HEADLINE, scorer.panels)
        self.prompts = scorer.panels.prompts
        self.parts = components(a, b, [tuple(own) for own in scorer.listeners])
        self.measured, self.p_value = found.value, found.p_value
        self.shift = self.measured if difference is None else difference


def _components_table(pair: _Pair) -> pd.DataFrame:
    parts = pair.parts
    enough = pair.prompts >= LEAST_PROMPTS
    return pd.DataFrame(
        [
            {
                "prompts": pair.prompts,
                "shift": pair.measured,
                "p_value": pair.p_value,
                "sd_prompt": parts.prompt if enough else np.nan,
                "sd_listener": parts.listener if enough else np.nan,
                "sd_answer": parts.interaction if enough else np.nan,
            }
        ]
    )


def _table(curves: dict[int, list[float]]) -> pd.DataFrame:
    rows = [
        {"prompts": n} | {f"power_{m}_listeners": curve[i] for m, curve in curves.items()}
        for i, n in enumerate(PROMPTS)
    ]
    return pd.DataFrame(rows)


def _prompts_needed(curve: list[float], panel: int) -> str:
    """The fewest prompts for 80 % power with a panel, between two computed ones by their logarithms."""
    reached = [i for i, value in enumerate(curve) if value >= WANTED_POWER]
    if not reached:
        return f"{panel} listeners: not reached with {PROMPTS[-1]} prompts."
    at = reached[0]
    if at == 0:
        return f"{panel} listeners: {PROMPTS[0]} prompts or fewer reach 80 % power."
    share = (WANTED_POWER - curve[at - 1]) / max(curve[at] - curve[at - 1], 1e-9)
    low, high = np.log(PROMPTS[at - 1]), np.log(PROMPTS[at])
    prompts = round(float(np.exp(low + share * (high - low))))
    return f"{panel} listeners: about {prompts} prompts reach 80 % power."
