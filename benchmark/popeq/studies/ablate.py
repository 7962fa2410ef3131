"""Ablation: is a distribution better than one point, and what does the boundary correction change?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popeq.board.differences import mean_difference, mean_score
from popeq.board.entries import Entry, samples_of
from popeq.board.groupings import Group
from popeq.board.names import cut
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.dataset import Dataset
from popeq.metrics import HEADLINE
from popeq.statistics import mean_inference
from popeq.studies.study import COLOURS, NAME, Study, simulated_note, table_by
from popeq.typing import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: A prompt's share of listeners within this share of the box's side of an edge (0.5 dB on the plane).
_MARGIN = 1 / 24
COLLAPSED = ("mean", "median")


def collapse(samples: Floats, to: str) -> Floats:
    """Samples (P, n, 2) with every draw of a prompt put on their mean or coordinate-wise median."""
    centre_of = np.mean if to == "mean" else np.median
    centre = centre_of(samples, axis=1, keepdims=True)
    return np.broadcast_to(centre, samples.shape).copy()


def ablation(entries: Sequence[Entry], scorer: Scorer, *, by: str | None = None) -> Study:
    """Each entry against its own mean and median collapsed to one point.

    Predictions of one point a prompt are left out: they are collapsed already.
    """
    cases, left_out = _cases(entries, scorer, scorer.dataset)

    def table_of(group: Group) -> pd.DataFrame:
        keep, own = group.keep, group.of_listeners
        if own:
            return _table(_cases([group.entry(e, scorer) for e in entries], own, scorer.dataset)[0], own)
        cut = [(n, t.take(keep), {k: p.take(keep) for k, p in c.items()}) for n, t, c in cases]
        return _table(cut, scorer.only(keep))

    table, split_notes = table_by(scorer, table_of, by)
    notes = [
        f"Shift: the distribution minus its one point, mean over prompts of {HEADLINE} in dB; negative: the "
        "distribution is better. Intervals and p are of each row, over prompts and listeners.",
        *([f"left out, points already: {', '.join(left_out)}."] if left_out else []),
        "The study shows whether this method's distribution helps; not whether another would help more.",
        *simulated_note(scorer),
        *split_notes,
    ]

    def draw(axes: Axes) -> None:
        height = np.arange(len(cases))
        for k, (to, colour) in enumerate(zip(COLLAPSED, COLOURS, strict=False)):
            shifts = [mean_difference(t, c[to], HEADLINE, scorer.panels) for _, t, c in cases]
            values = np.array([s.value for s in shifts])
            reach = np.array([s.interval()[1] - s.value for s in shifts])
            ends = reach if np.isfinite(reach).all() else None
            at = height + 0.12 * (2 * k - 1)
            axes.errorbar(values, at, xerr=ends, fmt="o", color=colour, label=f"own {to}", markersize=5)
        axes.axvline(0, color="0.5", linewidth=0.8)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.set_figheight(max(figure.get_figheight(), 1.6 + 0.19 * len(cases)))
        axes.set_yticks(height, cut([n for n, _, _ in cases], NAME), fontsize=9)
        axes.invert_yaxis()
        axes.set(xlabel="shift against one point (dB, negative: the distribution is better)")

    title = f"Is the distribution better than one point? {scorer.dataset.card.label}"
    return Study(title, table, tuple(notes), draw, keys=2 if by else 1)


#: A row's label, its scores, and those of its samples put on one point, by which point.
_Case = tuple[str, PromptTable, dict[str, PromptTable]]


def _cases(entries: Sequence[Entry], scorer: Scorer, dataset: Dataset) -> tuple[list[_Case], list[str]]:
    """The rows, with runs of a data set, that can be collapsed, and the labels of those that are points."""
    cases: list[_Case] = []
    left_out = []
    for entry in entries:
        drawn = [samples_of(run, scorer, dataset) for run in entry.runs]
        if not any(np.ptp(samples, axis=1).any() for samples in drawn):
            left_out.append(entry.label)
            continue
        points = {to: average([scorer.score(collapse(s, to)) for s in drawn]) for to in COLLAPSED}
        cases.append((entry.label, entry.table, points))
    return cases, left_out


def _table(cases: Sequence[_Case], scorer: Scorer) -> pd.DataFrame:
    rows = []
    for label, own, points in cases:
        mean = mean_score(own, HEADLINE, scorer.panels)
        low, high = mean.interval()
        row: dict[str, object] = {"predictor": label, "mean": mean.value, "low": low, "high": high}
        for to, collapsed in points.items():
            shift = mean_difference(own, collapsed, HEADLINE, scorer.panels)
            low, high = shift.interval()
            row |= {
                f"{to}_mean": float(np.mean(collapsed.scores(HEADLINE))),
                f"{to}_shift": shift.value,
                f"{to}_shift_low": low,
                f"{to}_shift_high": high,
                f"p_{to}": shift.p_value,
            }
            energy = own.scores("energy_score") - collapsed.scores("energy_score")
            row[f"{to}_energy_shift"] = float(np.mean(energy))
        rows.append(row | {"prompts": len(scorer.prompt_ids)})
    return pd.DataFrame(rows)


def edge_study(entries: Sequence[Entry], scorer: Scorer) -> Study:
    """Standard against reflective density by how close the listeners sit to the edge: three equal groups of
    prompts, and for each method what the boundary correction adds to its score."""
    shares = np.array([_edge_share(t.responses, scorer) for t in scorer.targets])
    order = np.argsort(shares, kind="stable")
    rows = []
    for name, keep in zip(("far", "between", "near"), np.array_split(order, 3), strict=True):
        if not len(keep):
            continue
        panels = scorer.only(keep.tolist()).panels
        for entry in entries:
            own = entry.table.take(keep.tolist())
            reflective, standard = own.scores(HEADLINE), own.scores("kantorovich")
            influence = zip(own.influence[HEADLINE], own.influence["kantorovich"], strict=True)
            shift = mean_inference(reflective - standard, [x - y for x, y in influence], panels)
            low, high = shift.interval()
            rows.append(
                {
                    "listeners": f"{name} from the edge" if name == "far" else name,
                    "edge_share": float(shares[keep].mean()),
                    "predictor": entry.label,
                    "standard_mean": float(np.mean(standard)),
                    "reflective_mean": float(np.mean(reflective)),
                    "shift": shift.value,
                    "shift_low": low,
                    "shift_high": high,
                    "prompts": len(keep),
                }
            )
    table = pd.DataFrame(rows)
    notes = (
        "Shift: reflective minus standard Kantorovich distance in dB; edge_share: listeners within 0.5 dB of "
        "an edge (a share of 1/24 of the box).",
        "The study shows how much of a score is the kernel's loss at the edge; not which of the two is "
        "closer to what listeners hear.",
        *simulated_note(scorer),
    )

    def draw(axes: Axes) -> None:
        for entry, colour in zip(entries, COLOURS, strict=False):
            gap = entry.table.scores(HEADLINE) - entry.table.scores("kantorovich")
            axes.scatter(shares, gap, s=16, color=colour, label=entry.label)
        axes.axhline(0, color="0.5", linewidth=0.8)
        axes.set(xlabel="share of listeners at an edge", ylabel="reflective minus standard (dB)")

    title = f"What the boundary correction changes: {scorer.dataset.card.label}"
    return Study(title, table, notes, draw, keys=3)


def _edge_share(points: Floats, scorer: Scorer) -> float:
    space = scorer.dataset.space
    gap = np.minimum(points - space.low, space.high - points) / space.size
    return float((gap.min(axis=1) <= _MARGIN).mean())
