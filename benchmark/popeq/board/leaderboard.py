"""The leaderboard: entries ranked by the median headline score, with intervals, tests and reference lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popeq.board import kept_scores
from popeq.board.entries import Entry, parameters_text
from popeq.board.kept_scores import Scored
from popeq.board.leaks import too_good
from popeq.board.notes import detectable, disagreements, least_shift, mixed_seeds, standing, suspicions
from popeq.board.reference_lines import PERFECT, ReferenceLine, reference_lines
from popeq.board.scoring import PromptTable, Scorer
from popeq.metrics import HEADLINE
from popeq.parallel import aside
from popeq.seeding import generator
from popeq.statistics import (
    Replicates,
    all_pairs,
    benjamini_hochberg,
    crossed_weights,
    hodges_lehmann,
    holm,
    interval,
    medians,
    replicate_scores,
    score_interval,
    signed_rank,
    tie_groups,
)

Floats = NDArray[np.float64]

COLUMNS = (
    "rank",
    "predictor",
    "reflective_kantorovich_median",
    "reflective_kantorovich_median_low",
    "reflective_kantorovich_median_high",
    "shift",
    "shift_low",
    "shift_high",
    "p_holm",
    "effect_size",
    "skill",
    "coverage",
    "time_s",
    "kind",
    "model",
    "trust",
    "flags",
    "seeds",
    "reflective_kantorovich_mean",
    "reflective_kantorovich_mean_low",
    "reflective_kantorovich_mean_high",
    "kantorovich_median",
    "kantorovich_median_low",
    "kantorovich_median_high",
    "kantorovich_mean",
    "kantorovich_mean_low",
    "kantorovich_mean_high",
    "sample_kantorovich_median",
    "energy_score_mean",
    "spread_ratio",
    "mean_shift",
    "edge_mass_gap",
    "parameters",
    "prompts",
    "dataset",
    "revision",
)
REFERENCE = "prior"
ALPHA = 0.05
_REPLICATES = 2000
_AGGREGATES: dict[str, Callable[..., Any]] = {"median": np.median, "mean": np.mean}
_INTERVAL_SCORES = (HEADLINE, "kantorovich")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of rows: ``shift[i, j]`` is the Hodges-Lehmann shift of i minus j (dB), ``q`` the
    Benjamini-Hochberg value, ``effect`` the rank-biserial correlation; all (n, n), labels in table order."""

    labels: tuple[str, ...]
    shift: Floats
    q: Floats
    effect: Floats


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A ranked table (``table``, columns COLUMNS; reference lines last, without a rank), the pairwise tests,
    ``notes`` to be read with it, and what it was made from: entries in table order, reference lines, the
    ``reference`` that shifts are from, and ``least_shift``, what the prompts can show (dB; None without a row
    to compare)."""

    table: pd.DataFrame
    pairs: Pairs
    notes: tuple[str, ...]
    entries: tuple[Entry, ...]
    lines: tuple[ReferenceLine, ...]
    reference: PromptTable
    least_shift: float | None


def build(
    entries: Sequence[Entry],
    scorer: Scorer,
    notes: Sequence[str] = (),
    lines: Sequence[ReferenceLine] | None = None,
    *,
    reference: PromptTable | None = None,
    jobs: int = 1,
    keep: bool = False,
) -> Leaderboard:
    """Rank entries that are of one data set revision and one protocol.

    ``lines`` are the reference lines and ``reference`` the scores of the training prior, if at hand already;
    otherwise ``jobs`` processes measure them, or with ``keep`` they are what was measured here before.
    """
    entries = sorted(entries, key=lambda e: (float(np.median(e.table.scores(HEADLINE))), e.label))
    at_hand = reference_row(entries) or reference
    with aside(partial(_yardsticks, scorer, lines, at_hand, jobs, keep), jobs) as yardsticks:
        replicates = replicates_of(scorer)
        pairs = _all_pairs(entries)
        medians = np.array([np.median(e.table.scores(HEADLINE)) for e in entries])
        ranks = tie_groups(medians, pairs.q, pairs.shift, alpha=ALPHA)
        spans = [intervals(e.table.scores, e.table.influence, replicates) for e in entries]
        lines, reference = yardsticks()
    against = against_reference(entries, reference)
    perfect = next((line.scores[HEADLINE] for line in lines if line.name == PERFECT), None)
    floor = float("nan") if perfect is None else float(np.median(perfect))
    prior = float(np.median(reference.scores(HEADLINE)))
    _, surely, _ = score_interval(reference.scores(HEADLINE), reference.influence[HEADLINE], replicates)
    if surely <= floor:  # no room that the data can see, and a ratio to nothing means nothing
        floor = float("nan")
    flags = {
        e.label: (*e.flags, *too_good(float(np.mean(e.table.scores(HEADLINE))), perfect)) for e in entries
    }
    rows = []
    for entry, rank, span, versus in zip(entries, ranks, spans, against, strict=True):
        row: dict[str, object] = {"rank": int(rank), "predictor": entry.label, **span, **versus}
        row |= {
            "skill": _skill(float(np.median(entry.table.scores(HEADLINE))), prior, floor),
            "sample_kantorovich_median": float(np.median(entry.table.scores("sample_kantorovich"))),
            "energy_score_mean": float(np.mean(entry.table.scores("energy_score"))),
            "time_s": float(np.mean([run.record.wall_s for run in entry.runs])),
            "kind": entry.kind,
            "model": entry.model,
            "trust": entry.trust,
            "flags": "; ".join(flags[entry.label]),
            "parameters": parameters_text(entry.record),
            "seeds": ",".join(str(run.record.seed) for run in entry.runs),
        }
        frame = entry.table.frame
        row |= {
            n: float(frame[n].mean()) for n in ("coverage", "spread_ratio", "mean_shift", "edge_mass_gap")
        }
        rows.append(row)
    rows += [_line_row(line, replicates, prior, floor) for line in lines]
    for row in rows:
        row |= {
            "prompts": len(scorer.prompt_ids),
            "dataset": scorer.dataset.card.label,
            "revision": scorer.dataset.revision[:12],
        }
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["rank"] = table["rank"].astype("Int64")
    shift = least_shift(entries, reference)
    told = [
        *standing(scorer, lines, REFERENCE, ALPHA),
        *mixed_seeds(entries),
        *detectable(len(scorer.prompt_ids), shift, REFERENCE),
        *disagreements(pairs.labels, medians, pairs.q, pairs.shift, ALPHA),
        *suspicions(flags),
        *notes,
    ]
    return Leaderboard(table, pairs, tuple(told), tuple(entries), tuple(lines), reference, shift)


def summary_table(entry: Entry, scorer: Scorer) -> pd.DataFrame:
    """One row: median and mean of an entry's density distances with their intervals, and the number of
    prompts; for a run by itself."""
    replicates = replicates_of(scorer)
    cells = intervals(entry.table.scores, entry.table.influence, replicates)
    return pd.DataFrame([{"prompts": len(scorer.prompt_ids), **cells}])


def reference_row(entries: Sequence[Entry]) -> PromptTable | None:
    """The row of the training prior that shifts and skill refer to."""
    return next((e.table for e in entries if e.record.predictor.name == REFERENCE), None)


def _yardsticks(
    scorer: Scorer,
    lines: Sequence[ReferenceLine] | None,
    reference: PromptTable | None,
    jobs: int,
    keep: bool,
) -> tuple[list[ReferenceLine], PromptTable]:
    """Reference lines and the scores of the training prior, each measured unless at hand."""
    measured = reference_lines(scorer, jobs=jobs, keep=keep) if lines is None else list(lines)
    return measured, reference or _prior_table(scorer, jobs, keep)


def _prior_table(scorer: Scorer, jobs: int, keep: bool) -> PromptTable:
    """The training prior's scores, from the same draws made here."""
    samples = prior_samples(scorer)
    place = kept_scores.place_of(hashlib.sha256(samples.tobytes()).hexdigest(), scorer)
    found = kept_scores.read(place, scorer) if keep else None
    if found is None:
        found = Scored(scorer.score(samples, jobs), [])
        if keep:
            kept_scores.write(place, found)
    return found.table


def prior_samples(scorer: Scorer) -> Floats:
    """Draws (P, n, 2) from the pooled training responses of each test prompt's stage."""
    draws = {}
    for stage in scorer.dataset.stages:
        pool = scorer.dataset.pooled(stage.train)
        for prompt_id in set(stage.test) & set(scorer.prompt_ids):
            rng = generator("leaderboard", REFERENCE, prompt_id)
            draws[prompt_id] = pool[rng.integers(len(pool), size=scorer.protocol.n_samples)]
    return np.stack([draws[p] for p in scorer.prompt_ids])


def replicates_of(scorer: Scorer) -> Replicates:
    """The draws of prompts and listeners that all tables and studies of these prompts are judged on."""
    return crossed_weights(scorer.listeners, _REPLICATES, generator("leaderboard", "bootstrap"))


def intervals(
    scores: Callable[[str], Floats],
    influence: Mapping[str, Sequence[Floats]],
    replicates: Replicates,
    names: Sequence[str] = _INTERVAL_SCORES,
) -> dict[str, float]:
    """Median and mean of density distances with their intervals, over the same replicates."""
    cells: dict[str, float] = {}
    for score in names:
        drawn = replicate_scores(scores(score), influence.get(score), replicates)
        for name, statistic in _AGGREGATES.items():
            low, high = interval(medians(drawn) if name == "median" else drawn.mean(axis=-1))
            value = float(statistic(scores(score)))
            cells |= {f"{score}_{name}": value, f"{score}_{name}_low": low, f"{score}_{name}_high": high}
    return cells


def line_intervals(line: ReferenceLine, replicates: Replicates) -> dict[str, float]:
    """Median and mean of a reference line's density distances with their intervals."""
    return intervals(line.scores.__getitem__, line.influence, replicates)


def against_reference(entries: Sequence[Entry], reference: PromptTable) -> list[dict[str, float]]:
    """Shift, Holm-adjusted p and effect size of each entry against the reference; empty for itself."""
    base = reference.scores(HEADLINE)
    others = [e.table is not reference for e in entries]
    tests = [signed_rank(e.table.scores(HEADLINE) - base) for e in entries]
    p = holm([t.p_value if other else float("nan") for t, other in zip(tests, others, strict=True)])
    cells = []
    for entry, other, test, adjusted in zip(entries, others, tests, p, strict=True):
        if not other:
            cells.append(dict.fromkeys(("shift", "shift_low", "shift_high", "p_holm", "effect_size"), np.nan))
            continue
        shift = hodges_lehmann(entry.table.scores(HEADLINE) - base)
        cells.append(
            {
                "shift": shift.value,
                "shift_low": shift.low,
                "shift_high": shift.high,
                "p_holm": float(adjusted),
                "effect_size": test.rank_biserial,
            }
        )
    return cells


def _all_pairs(entries: Sequence[Entry]) -> Pairs:
    paired = all_pairs([e.table.scores(HEADLINE) for e in entries])
    upper = np.triu_indices(len(entries), 1)
    q = np.full_like(paired.p, np.nan)
    q[upper] = benjamini_hochberg(paired.p[upper])
    q.T[upper] = q[upper]
    return Pairs(tuple(e.label for e in entries), paired.shift, q, paired.effect)


def _skill(score: float, prior: float, perfect: float) -> float:
    return (prior - score) / (prior - perfect)


def _line_row(line: ReferenceLine, replicates: Replicates, prior: float, floor: float) -> dict[str, object]:
    row: dict[str, object] = {"rank": None, "predictor": f"[{line.name}]"}
    row |= line_intervals(line, replicates)
    for score, column in (("sample_kantorovich", "_median"), ("energy_score", "_mean")):
        if score in line.scores:
            row[f"{score}{column}"] = float(_AGGREGATES[column[1:]](line.scores[score]))
    row["skill"] = _skill(float(np.median(line.scores[HEADLINE])), prior, floor)
    return row
