"""The leaderboard: entries ranked by the mean headline score, with intervals, tests and reference lines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from popeq.board.differences import Scores, difference_cells, mean_difference, mean_score
from popeq.board.entries import Entry, parameters_text
from popeq.board.leaks import too_good
from popeq.board.notes import Note, board_notes
from popeq.board.reference_lines import PERFECT, reference_lines, training_responses
from popeq.board.rendered import (
    RENDERED,
    RENDERED_COLUMNS,
    has_rendered,
    rendered_reference,
    rendered_text,
)
from popeq.board.scoring import DIAGNOSTICS, ReferenceLine, Scorer
from popeq.board.thrown_away import flags_of
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.parallel import in_background
from popeq.render import html_table
from popeq.seeding import generator
from popeq.statistics import Panels, all_pairs, rank_ranges, signed_rank
from popeq.typing import Floats

COLUMNS = (
    "rank",
    "rank_worst",
    "predictor",
    "reflective_kantorovich_mean",
    "reflective_kantorovich_median",
    "shift",
    "shift_low",
    "shift_high",
    "p_value",
    "skill",
    "least_shift",
    "reflective_kantorovich_mean_low",
    "reflective_kantorovich_mean_high",
    "effect_size",
    "p_wilcoxon",
    "coverage",
    "time_s",
    "kind",
    "model",
    "trust",
    "flags",
    "seeds",
    "kantorovich_mean",
    "kantorovich_mean_low",
    "kantorovich_mean_high",
    "kantorovich_median",
    "sample_kantorovich_mean",
    "energy_score_mean",
    "spread_ratio",
    "mean_shift",
    "edge_mass_gap",
    "parameters",
    "prompts",
    "dataset",
    "revision",
)
ALPHA = 0.05
_INTERVAL_SCORES = (HEADLINE, "kantorovich")


@dataclass(frozen=True, eq=False)
class Pairs:
    """Every pair of rows: ``shift[i, j]`` is the mean difference of i minus j (dB), ``p`` its two-sided p
    adjusted for all pairs, ``effect`` the shift in standard deviations over prompts; all (n, n), labels in
    table order."""

    labels: tuple[str, ...]
    shift: Floats
    p: Floats
    effect: Floats


@dataclass(frozen=True, eq=False)
class Leaderboard:
    """A ranked table (``table``, columns COLUMNS; reference lines last, without a rank), the pairwise tests,
    ``remarks`` to be read with it, and what it was made from: entries in table order, the ``reference`` that
    shift and skill are against, and the other reference lines. ``compared_with`` is the label of the row that
    shifts are against in place of the reference, if there is one."""

    table: pd.DataFrame
    pairs: Pairs
    remarks: tuple[Note, ...]
    entries: tuple[Entry, ...]
    reference: ReferenceLine
    lines: tuple[ReferenceLine, ...]
    compared_with: str | None = None

    def _repr_html_(self) -> str:
        """The table and notes, in a notebook."""
        return html_table(self.table, self.notes)

    @property
    def notes(self) -> tuple[str, ...]:
        """The texts of ``remarks``."""
        return tuple(note.text for note in self.remarks)

    @property
    def least_shift(self) -> float:
        """The least true shift against the reference that a row of median uncertainty shows with 80 % power,
        dB; infinite with too few prompts."""
        return float(np.median(self.table["least_shift"].dropna().to_numpy(dtype=np.float64)))


def build(
    entries: Sequence[Entry],
    scorer: Scorer,
    notes: Sequence[Note] = (),
    lines: Sequence[ReferenceLine] | None = None,
    *,
    compared_with: str | None = None,
    jobs: int = 1,
    keep: bool = False,
) -> Leaderboard:
    """Rank entries that are of one data set revision and one protocol.

    Rows ``with_rendered`` make a board with RENDERED_COLUMNS and a note on them. ``lines`` are those of
    ``reference_lines``, if they are known already; otherwise ``jobs`` processes measure them, or with
    ``keep`` they are what was measured here before. ``compared_with`` is the row that shifts are against
    (``row_of``), in place of the training responses.

    Raises
    ------
    UsageError
        If there is no such row, or more than one.
    """
    entries = sorted(entries, key=lambda e: (e.mean, e.label))
    base = None if compared_with is None else row_of(entries, compared_with)
    label = None if base is None else base.label
    panels, rendered = scorer.panels, has_rendered(entries)
    given = None if lines is None else list(lines)
    with in_background(
        lambda: reference_lines(scorer, jobs=jobs, keep=keep) if given is None else given, jobs
    ) as measured:
        reference = training_responses(scorer)
        if rendered:
            reference = rendered_reference(reference, scorer)
        scores, influence = zip(*(e.table.values(HEADLINE) for e in entries), strict=True)
        paired = all_pairs(scores, influence, panels, generator("leaderboard", "bootstrap"))
        other = reference if base is None else base.table
        cells = [
            score_cells(e.table, panels) | (against(e, other, panels) if e is not base else {})
            for e in entries
        ]
        lines = measured()
    perfect = next((line for line in lines if line.name == PERFECT), None)
    room = float("nan")  # between the reference and the perfect predictor, dB
    if perfect is not None:
        seen = mean_difference(reference, perfect, HEADLINE, panels)
        # A ratio to room that the data cannot show would mean nothing.
        room = seen.value if seen.interval()[0] > 0.0 else room
    pairs = Pairs(tuple(e.label for e in entries), paired.shift, paired.p_family, paired.effect)
    best, worst = rank_ranges(pairs.shift, pairs.p, ALPHA)
    flags = {e.label: (*e.flags, *too_good(e.mean, perfect)) for e in entries}
    rows = [
        {"rank": int(first), "rank_worst": int(last), "predictor": entry.label}
        | own
        | {
            "skill": -mean_difference(entry.table, reference, HEADLINE, panels).value / room,
            "flags": "; ".join((*flags[entry.label], *flags_of(entry))),
        }
        | _facts(entry)
        | rendered_cells(entry.table, panels)
        for entry, first, last, own in zip(entries, best, worst, cells, strict=True)
    ]
    rows += [_line_row(line, reference, room, panels) for line in (reference, *lines)]
    table = pd.DataFrame(rows, columns=_columns(rendered))
    table["prompts"] = len(scorer.prompt_ids)
    table["dataset"] = scorer.dataset.card.label
    table["revision"] = scorer.dataset.revision[:12]
    table = table.astype({"rank": "Int64", "rank_worst": "Int64"})
    board = Leaderboard(table, pairs, (), tuple(entries), reference, tuple(lines), label)
    own = board_notes(scorer, entries, lines, board.least_shift, flags, ALPHA, label)
    own += [Note("reading", rendered_text(entries))] if rendered else []
    return replace(board, remarks=(*own, *notes))


def summary_table(entry: Entry, scorer: Scorer) -> pd.DataFrame:
    """One row: mean and median of an entry's density distances with the means' intervals, and the number of
    prompts; for a run by itself. ``rendered_mmd`` too, for an entry that has it."""
    own = score_cells(entry.table, scorer.panels) | rendered_cells(entry.table, scorer.panels)
    return pd.DataFrame([{"prompts": len(scorer.prompt_ids), **own}])


def score_cells(
    row: Scores, panels: Panels, names: Sequence[str] = _INTERVAL_SCORES, medians: bool = True
) -> dict[str, float]:
    """The mean of density distances over prompts with its interval, and the median if wanted, dB."""
    cells: dict[str, float] = {}
    for name in names:
        mean = mean_score(row, name, panels)
        low, high = mean.interval()
        cells |= {f"{name}_mean": mean.value, f"{name}_mean_low": low, f"{name}_mean_high": high}
        if medians:
            cells[f"{name}_median"] = float(np.median(row.values(name)[0]))
    return cells


def rendered_cells(row: Scores, panels: Panels) -> dict[str, float]:
    """The mean of ``rendered_mmd`` with its interval, no unit; nothing for a row that does not have it."""
    has = RENDERED in (row.scores if isinstance(row, ReferenceLine) else row.frame)
    return score_cells(row, panels, (RENDERED,), medians=False) if has else {}


def _columns(rendered: bool) -> list[str]:
    """COLUMNS, with those of ``rendered_mmd`` behind the other scores if wanted."""
    behind = COLUMNS.index("energy_score_mean") + 1
    return [*COLUMNS[:behind], *(RENDERED_COLUMNS if rendered else ()), *COLUMNS[behind:]]


def row_of(entries: Sequence[Entry], name: str) -> Entry:
    """The row of a label, or of a predictor that has one row; UsageError if there is none or several."""
    found = [e for e in entries if e.label == name]
    found = found or [e for e in entries if e.record.predictor.name == name]
    if len(found) == 1:
        return found[0]
    labels = "; ".join(e.label for e in found or entries)
    problem = "more than one row has this name" if found else "no row has this name"
    raise UsageError(f"{name}: {problem}; name one of: {labels}")


def against(entry: Entry, reference: Scores, panels: Panels) -> dict[str, float]:
    """``difference_cells`` of an entry against the reference, and the p of the signed-rank test, which holds
    given these listeners."""
    wilcoxon = signed_rank(entry.table.scores(HEADLINE) - reference.values(HEADLINE)[0]).p_value
    return difference_cells(entry.table, reference, HEADLINE, panels) | {"p_wilcoxon": wilcoxon}


def _facts(entry: Entry) -> dict[str, object]:
    """What a row says besides its comparison: other means, and where it is from."""
    frame = entry.table.frame
    columns = {"sample_kantorovich_mean": "sample_kantorovich", "energy_score_mean": "energy_score"}
    columns |= {name: name for name in DIAGNOSTICS}
    return {column: float(frame[name].mean()) for column, name in columns.items()} | {
        "time_s": float(np.mean([run.record.wall_s for run in entry.runs])),
        "kind": entry.kind,
        "model": entry.model,
        "trust": entry.trust,
        "parameters": parameters_text(entry.record),
        "seeds": entry.seeds,
    }


def _line_row(
    line: ReferenceLine, reference: ReferenceLine, room: float, panels: Panels
) -> dict[str, object]:
    """A line's means, which are what was validated; no medians."""
    row: dict[str, object] = {"predictor": f"[{line.name}]", **score_cells(line, panels, medians=False)}
    row |= rendered_cells(line, panels)
    for score in ("sample_kantorovich", "energy_score"):
        if score in line.scores:
            row[f"{score}_mean"] = float(np.mean(line.scores[score]))
    row["skill"] = -mean_difference(line, reference, HEADLINE, panels).value / room + 0.0
    return row
