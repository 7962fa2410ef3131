"""Ablation: is a distribution worth it, and what does the boundary correction of the headline change?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popeq.board.categories import split_table
from popeq.board.entries import Entry
from popeq.board.leaderboard import replicates_of
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.metrics import HEADLINE
from popeq.statistics import hodges_lehmann, holm, score_interval, signed_rank
from popeq.studies.study import COLOURS, Study, simulated_note

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = NDArray[np.float64]

#: A prompt's share of listeners within this share of the box's side of an edge (0.5 dB on the plane).
_MARGIN = 1 / 24
COLLAPSED = ("mean", "median")


def collapse(samples: Floats, to: str) -> Floats:
    """Samples (P, n, 2) with every draw of a prompt put on their mean or coordinate-wise median."""
    centre_of = np.mean if to == "mean" else np.median
    centre = centre_of(samples, axis=1, keepdims=True)
    return np.broadcast_to(centre, samples.shape).copy()


def ablate(entries: Sequence[Entry], scorer: Scorer, *, by_category: bool = False) -> Study:
    """Each entry against its own mean and median collapsed to one point.

    Points predictions (no spread in any prompt) are left out: they are collapsed already.
    """
    ids, space = scorer.dataset.test_ids, scorer.dataset.space
    cases: list[tuple[str, PromptTable, dict[str, PromptTable]]] = []
    left_out = []
    for entry in entries:
        drawn = [run.samples(ids, space) for run in entry.runs]
        if not any(np.ptp(samples, axis=1).any() for samples in drawn):
            left_out.append(entry.label)
            continue
        points = {to: average([scorer.score(collapse(s, to)) for s in drawn]) for to in COLLAPSED}
        cases.append((entry.label, entry.table, points))
    notes: list[str] = []
    table = _table(cases, scorer)
    if by_category:
        table, notes = split_table(
            scorer,
            lambda g: _table(
                [(n, t.take(g.keep), {k: p.take(g.keep) for k, p in c.items()}) for n, t, c in cases],
                scorer.only(g.keep),
            ),
        )
    told = [
        f"Shift: the distribution minus its one point, {HEADLINE} in dB, paired by prompt; negative: the "
        "distribution is worth it. p after Holm over the rows.",
        *([f"left out, points already: {', '.join(left_out)}."] if left_out else []),
        "It says whether this method's spread helps; not whether another spread would help more.",
        *simulated_note(scorer),
        *notes,
    ]

    def draw(axes: Axes) -> None:
        height = np.arange(len(cases))
        for k, (to, colour) in enumerate(zip(COLLAPSED, COLOURS, strict=False)):
            shifts = [hodges_lehmann(t.scores(HEADLINE) - c[to].scores(HEADLINE)) for _, t, c in cases]
            values = np.array([s.value for s in shifts])
            ends = np.abs([[s.value - s.low, s.high - s.value] for s in shifts]).T if shifts else None
            ends = None if ends is None or not np.isfinite(ends).all() else ends
            at = height + 0.12 * (2 * k - 1)
            axes.errorbar(values, at, xerr=ends, fmt="o", color=colour, label=f"own {to}", markersize=5)
        axes.axvline(0, color="0.5", linewidth=0.8)
        axes.set_yticks(height, [n[:28] for n, _, _ in cases])
        axes.invert_yaxis()
        axes.set(xlabel="shift against one point (dB, negative: the distribution is better)")

    title = f"Is the distribution worth it? {scorer.dataset.card.label}"
    return Study(title, table, tuple(told), draw, keys=2 if by_category else 1)


def _table(cases: Sequence[tuple[str, PromptTable, dict[str, PromptTable]]], scorer: Scorer) -> pd.DataFrame:
    replicates = replicates_of(scorer)
    rows = []
    for label, own, points in cases:
        value, low, high = score_interval(own.scores(HEADLINE), own.influence[HEADLINE], replicates)
        row: dict[str, object] = {"predictor": label, "median": value, "low": low, "high": high}
        for to, collapsed in points.items():
            difference = own.scores(HEADLINE) - collapsed.scores(HEADLINE)
            shift, test = hodges_lehmann(difference), signed_rank(difference)
            row |= {
                f"{to}_median": float(np.median(collapsed.scores(HEADLINE))),
                f"{to}_shift": shift.value,
                f"{to}_shift_low": shift.low,
                f"{to}_shift_high": shift.high,
                f"p_{to}": test.p_value,
            }
            energy = own.scores("energy_score") - collapsed.scores("energy_score")
            row[f"{to}_energy_shift"] = hodges_lehmann(energy).value
        rows.append(row | {"prompts": len(scorer.prompt_ids)})
    table = pd.DataFrame(rows)
    for to in COLLAPSED:
        if f"p_{to}" in table:
            table[f"p_{to}"] = holm(table[f"p_{to}"].to_numpy(dtype=np.float64))
    return table


def edges(entries: Sequence[Entry], scorer: Scorer) -> Study:
    """Standard against reflective density by how close the listeners sit to the edge: three equal groups of
    prompts, and for each method what the boundary correction adds to its score."""
    shares = np.array([_edge_share(t.responses, scorer) for t in scorer.targets])
    order = np.argsort(shares, kind="stable")
    rows = []
    for name, keep in zip(("far", "between", "near"), np.array_split(order, 3), strict=True):
        if not len(keep):
            continue
        for entry in entries:
            own = entry.table.take(keep.tolist())
            difference = own.scores(HEADLINE) - own.scores("kantorovich")
            shift = hodges_lehmann(difference)
            rows.append(
                {
                    "listeners": f"{name} from the edge" if name == "far" else name,
                    "edge_share": float(shares[keep].mean()),
                    "predictor": entry.label,
                    "standard_median": float(np.median(own.scores("kantorovich"))),
                    "reflective_median": float(np.median(own.scores(HEADLINE))),
                    "shift": shift.value,
                    "shift_low": shift.low,
                    "shift_high": shift.high,
                    "prompts": len(keep),
                }
            )
    table = pd.DataFrame(rows)
    told = (
        "Shift: reflective minus standard Kantorovich distance in dB; edge_share: listeners within 0.5 dB of "
        "an edge (a share of 1/24 of the box).",
        "It says how much of a score is the kernel's loss at the edge; not which of the two listeners hear.",
        *simulated_note(scorer),
    )

    def draw(axes: Axes) -> None:
        for entry, colour in zip(entries, COLOURS, strict=False):
            gap = entry.table.scores(HEADLINE) - entry.table.scores("kantorovich")
            axes.scatter(shares, gap, s=16, color=colour, label=entry.label[:28])
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.set(xlabel="share of listeners at an edge", ylabel="reflective minus standard (dB)")

    title = f"What the boundary correction changes: {scorer.dataset.card.label}"
    return Study(title, table, told, draw, keys=3)


def _edge_share(points: Floats, scorer: Scorer) -> float:
    space = scorer.dataset.space
    gap = np.minimum(points - space.low, space.high - points) / space.size
    return float((gap.min(axis=1) <= _MARGIN).mean())
