"""The leaderboard: entries ranked by the median headline score, with intervals, tests and reference lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popeq.board.entries import Entry, parameters_text
from popeq.board.reference_lines import ReferenceLine, reference_lines
from popeq.board.scoring import PromptTable, Scorer
from popeq.metrics import HEADLINE
from popeq.seeding import generator
from popeq.statistics import (
    Replicates,
    benjamini_hochberg,
    contradictions,
    crossed_weights,
    detectable_shift,
    hodges_lehmann,
    holm,
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
    "model",
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
    and ``notes`` to be read with it."""

    table: pd.DataFrame
    pairs: Pairs
    notes: tuple[str, ...]


def build(entries: Sequence[Entry], scorer: Scorer, notes: Sequence[str] = ()) -> Leaderboard:
    """Rank entries that are of one data set revision and one protocol."""
    entries = sorted(entries, key=lambda e: (float(np.median(e.table.scores(HEADLINE))), e.label))
    lines = reference_lines(scorer)
    replicates = crossed_weights(scorer.listeners, _REPLICATES, generator("leaderboard", "bootstrap"))
    pairs = _all_pairs(entries)
    medians = np.array([np.median(e.table.scores(HEADLINE)) for e in entries])
    ranks = tie_groups(medians, pairs.q, pairs.shift, alpha=ALPHA)
    reference = _reference(entries, scorer)
    against = _against_reference(entries, reference)
    perfect = next((line for line in lines if line.name.startswith("perfect")), None)
    floor = float(np.median(perfect.scores[HEADLINE])) if perfect else float("nan")
    prior = float(np.median(reference.scores(HEADLINE)))
    _, surely, _ = score_interval(reference.scores(HEADLINE), reference.influence[HEADLINE], replicates)
    if surely <= floor:  # no room that the data can see, and a ratio to nothing means nothing
        floor = float("nan")
    rows = []
    for entry, rank, versus in zip(entries, ranks, against, strict=True):
        row: dict[str, object] = {"rank": int(rank), "predictor": entry.label}
        row |= _intervals(entry.table, replicates)
        row |= versus
        row |= {
            "skill": _skill(float(np.median(entry.table.scores(HEADLINE))), prior, floor),
            "sample_kantorovich_median": float(np.median(entry.table.scores("sample_kantorovich"))),
            "energy_score_mean": float(np.mean(entry.table.scores("energy_score"))),
            "time_s": float(np.mean([run.record.wall_s for run in entry.runs])),
            "model": entry.record.model,
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
            "prompts": len(scorer.dataset.test_ids),
            "dataset": scorer.dataset.card.label,
            "revision": scorer.dataset.revision[:12],
        }
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["rank"] = table["rank"].astype("Int64")
    told = [
        *_standing_notes(scorer, lines),
        *_mixed_seeds(entries),
        *_detectable(entries, reference),
        *_disagreements(medians, pairs),
        *_too_good(entries, perfect),
        *notes,
    ]
    return Leaderboard(table, pairs, tuple(told))


def _reference(entries: Sequence[Entry], scorer: Scorer) -> PromptTable:
    """The training prior that shifts and skill refer to: its row, or the same draws made here."""
    for entry in entries:
        if entry.record.predictor.name == REFERENCE:
            return entry.table
    return scorer.score(prior_samples(scorer))


def prior_samples(scorer: Scorer) -> Floats:
    """Draws (P, n, 2) from the pooled training responses of each test prompt's stage."""
    draws = {}
    for stage in scorer.dataset.stages:
        pool = scorer.dataset.pooled(stage.train)
        for prompt_id in stage.test:
            rng = generator("leaderboard", REFERENCE, prompt_id)
            draws[prompt_id] = pool[rng.integers(len(pool), size=scorer.protocol.n_samples)]
    return np.stack([draws[p] for p in scorer.dataset.test_ids])


def _intervals(table: PromptTable, replicates: Replicates) -> dict[str, float]:
    cells: dict[str, float] = {}
    for score in _INTERVAL_SCORES:
        for name, statistic in _AGGREGATES.items():
            value, low, high = score_interval(
                table.scores(score), table.influence.get(score), replicates, statistic=statistic
            )
            cells |= {f"{score}_{name}": value, f"{score}_{name}_low": low, f"{score}_{name}_high": high}
    return cells


def _against_reference(entries: Sequence[Entry], reference: PromptTable) -> list[dict[str, float]]:
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
    n = len(entries)
    shift, effect, p = np.zeros((n, n)), np.zeros((n, n)), np.full((n, n), np.nan)
    for i in range(n):
        for j in range(i + 1, n):
            difference = entries[i].table.scores(HEADLINE) - entries[j].table.scores(HEADLINE)
            test = signed_rank(difference)
            shift[i, j] = hodges_lehmann(difference).value
            effect[i, j], p[i, j] = test.rank_biserial, test.p_value
    upper = np.triu_indices(n, 1)
    q = np.full((n, n), np.nan)
    q[upper] = benjamini_hochberg(p[upper])
    q.T[upper] = q[upper]
    return Pairs(tuple(e.label for e in entries), shift - shift.T, q, effect - effect.T)


def _skill(score: float, prior: float, perfect: float) -> float:
    return (prior - score) / (prior - perfect)


def _line_row(line: ReferenceLine, replicates: Replicates, prior: float, floor: float) -> dict[str, object]:
    row: dict[str, object] = {"rank": None, "predictor": f"[{line.name}]"}
    for score in _INTERVAL_SCORES:
        for name, statistic in _AGGREGATES.items():
            value, low, high = score_interval(line.scores[score], None, replicates, statistic=statistic)
            row |= {f"{score}_{name}": value, f"{score}_{name}_low": low, f"{score}_{name}_high": high}
    for score, column in (("sample_kantorovich", "_median"), ("energy_score", "_mean")):
        if score in line.scores:
            row[f"{score}{column}"] = float(_AGGREGATES[column[1:]](line.scores[score]))
    row["skill"] = _skill(float(np.median(line.scores[HEADLINE])), prior, floor)
    return row


def _standing_notes(scorer: Scorer, lines: Sequence[ReferenceLine]) -> list[str]:
    card = scorer.dataset.card
    notes = [
        f"{card.label} {card.version}, revision {scorer.dataset.revision[:12]}, {scorer.protocol.label}. "
        "All scores in dB, lower is better; intervals are 95 %.",
    ]
    if card.simulated:
        notes.append("SIMULATED listeners: a good score shows agreement with the generator, not with people.")
    if lines:
        how = "; ".join(f"{line.name}: {line.how}" for line in lines)
        notes.append(f"In [brackets]: reference lines, not predictors; finite samples never score 0 ({how}).")
        notes.append("Intervals resample prompts and listeners, those of the reference lines prompts only.")
    notes.append(
        f"Ranks: Benjamini-Hochberg over all pairs at {ALPHA:g}; p_holm: Holm over the rows against "
        f"{REFERENCE}."
    )
    if not lines:
        notes.append("No reference lines: some prompts have fewer than four listeners.")
    return notes


def _mixed_seeds(entries: Sequence[Entry]) -> list[str]:
    seeds = {e.label: ",".join(str(r.record.seed) for r in e.runs) for e in entries}
    if len(set(seeds.values())) < 2:
        return []
    listed = "; ".join(f"{label}: {own}" for label, own in seeds.items())
    return [f"rows are of different seeds, so luck is averaged out in some only ({listed})."]


def _detectable(entries: Sequence[Entry], reference: PromptTable) -> list[str]:
    base = reference.scores(HEADLINE)
    spreads = [
        float(np.std(e.table.scores(HEADLINE) - base, ddof=1)) for e in entries if e.table is not reference
    ]
    if not spreads or len(base) < 2:
        return []
    shift = detectable_shift(float(np.median(spreads)), len(base))
    if not np.isfinite(shift):
        return [
            f"{len(base)} prompts are too few for the paired test to show any difference at the 5 % level."
        ]
    return [
        f"{len(base)} prompts can show (80 % power, 5 % level) a true shift against {REFERENCE} of about "
        f"{shift:.2f} dB; smaller differences stay undecided."
    ]


def _disagreements(medians: Floats, pairs: Pairs) -> list[str]:
    return [
        f"sort and test disagree: {pairs.labels[i]} stands before {pairs.labels[j]} by the median, but the "
        f"paired test finds {pairs.labels[j]} better (q = {pairs.q[i, j]:.2g})."
        for i, j in contradictions(medians, pairs.q, pairs.shift, alpha=ALPHA)
    ]


def _too_good(entries: Sequence[Entry], perfect: ReferenceLine | None) -> list[str]:
    if perfect is None:
        return []
    limit = float(np.mean(perfect.scores[HEADLINE]))
    return [
        f"suspicious: {e.label} has a mean below the perfect predictor's; check for leaked test answers."
        for e in entries
        if float(np.mean(e.table.scores(HEADLINE))) < limit
    ]
