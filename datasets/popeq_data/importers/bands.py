"""Import settings of equalisers: graphic bands, tone controls or parametric filters.

Graphic bands are the curve itself, linear in log-frequency between bands and level beyond the outer ones: the
width of a product's filters is rarely known, and a row of equal sliders has to be a level, not a ripple.
Tone controls and parametric filters are sections of the RBJ cookbook at 48 kHz.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from popeq.csv_table import Row, Table
from popeq.dataset_card import PROMPT_COLUMNS, DatasetCard
from popeq.dataset_tables import read_answers, read_prompts
from popeq.eq import GRID_HZ, HIGH_HZ, LOW_HZ, biquad, log_frequency
from popeq.eq.pairs import RATE_HZ, section_coefficients
from popeq.errors import InvalidInputError, UsageError
from popeq.foreign_csv import read_foreign, recognise_decimal
from popeq.importing import ImportResult
from popeq.typing import Floats
from popeq_data.importers.assemble import round_robin
from popeq_data.importers.band_columns import KINDS, Columns, read_columns
from popeq_data.importers.options import BandsOptions
from popeq_data.importers.own import card_of, finished, in_db, points_frame
from popeq_data.importers.plane import Placement, better_pair, place

FOLDS = 5
#: A gain beyond this is a mistake in the file.
MOST_GAIN_DB = 60.0
LEAST_EXPLAINED = 0.7
#: Q of tone controls, which is that of the pairs of shelves.
TONE_Q = 0.7
_IDS = ("prompt_id", "listener_id")
#: Where parametric filters, which have no fixed bands, are reported by band.
_OCTAVES_HZ = [62.5 * 2.0**i for i in range(9)]


def import_bands(settings: Path, parameters: BandsOptions) -> ImportResult:
    """Read a file of equaliser settings, one row an answer, and make a data set of their projections.

    Raises
    ------
    InvalidInputError
        With every problem of the rows, each naming file, row and column.
    UsageError
        One line: options that do not fit together, columns that are no bands, a file that could be read in
        two ways, settings outside the box that are not to be clipped.
    """
    card = card_of(parameters, "bands")
    beside = parameters.prompts is None
    own = (*_IDS, *((*PROMPT_COLUMNS[1:], *card.groupings) if beside else ()))
    table = read_foreign(settings, (*_IDS, "text") if beside else _IDS, None, parameters.decimal)
    if "text" in table.missing:
        raise UsageError(f"{settings}: has no column text; add it, or give the prompts by --prompts FILE")
    if table.problems:
        raise InvalidInputError(f"{settings.name} is not a file of equaliser settings", table.problems)
    columns = read_columns([n for n in table.columns if n not in own], str(settings), parameters.unit)
    cells = [(row, row.cells[name]) for row in table.rows for name in columns.numbers]
    recognise_decimal(table, cells, parameters.decimal)
    if parameters.prompts is None:
        asked = _prompts_of(table, card)
    else:
        wanted = (*PROMPT_COLUMNS[:3], *card.groupings)
        asked = read_foreign(parameters.prompts, wanted, PROMPT_COLUMNS[3:])
    prompts = read_prompts(asked, card.groupings)
    read_answers(table, asked)
    curves = curves_of(table, columns, parameters.unit)
    if problems := asked.problems + table.problems:
        raise InvalidInputError(f"{settings.name} is not a file of equaliser settings", problems)
    placed = place(curves, parameters.scale, card.space.space)
    frame = points_frame(table.rows, placed.rounded)
    files = {} if parameters.prompts is None else {"prompts": parameters.prompts}
    found = {
        "equaliser": _described(columns),
        "scale": parameters.scale,
        "settings": "least squares with a free level, to 0.001 dB",
        **explained(placed, columns),
    }
    lines = [row.line for row in table.rows]
    return finished(card, prompts, frame, lines, parameters, {**files, "settings": settings}, found)


def curves_of(table: Table, columns: Columns, unit: str) -> Floats:
    """Gains in dB at ``GRID_HZ`` of the settings of each row, (n, 256); problems are added to the table."""
    total = np.zeros((len(table.rows), len(GRID_HZ)))
    for names in columns.filters:
        kinds = [_kind(table, row, names) for row in table.rows]
        on = [(i, kind) for i, kind in enumerate(kinds) if kind]
        for i, kind in on:
            total[i] += _filter(table, table.rows[i], names, kind, unit)
    if not columns.bands:
        return total
    gains = np.array([[_gain(table, row, b.column, unit) for b in columns.bands] for row in table.rows])
    if columns.layout == "graphic bands":
        at = log_frequency([band.frequency_hz for band in columns.bands])
        return np.stack([np.interp(log_frequency(GRID_HZ), at, row) for row in gains])
    for band, own in zip(columns.bands, gains.T, strict=True):
        assert band.kind is not None
        total += _section(band.kind, own, band.frequency_hz, TONE_Q)
    return total


def explained(placed: Placement, columns: Columns) -> dict[str, object]:
    """Lines of a report: what the plane keeps of the curves, and a pair that keeps more if that is little."""
    share = placed.variance_explained
    hz = [band.frequency_hz for band in columns.bands] or _OCTAVES_HZ
    report: dict[str, object] = {
        "share of variance explained by the plane": round(share, 4),
        "by band": {
            f"{f:g} Hz": f"{own:.2f} ({left:.1f} of {total:.1f} dB RMS is left)"
            for f, (own, left, total) in zip(hz, placed.by_band(hz), strict=True)
        },
    }
    if share < LEAST_EXPLAINED:
        better = better_pair(placed)
        advice = "no other pair that was tried keeps more"
        if better:
            advice = (
                f"--curves {better.space.curves} keeps {better.variance_explained:.0%}, with "
                f"{better.share_clipped:.0%} of the settings outside the box"
            )
        report["warning"] = f"the plane keeps {share:.0%} of the variance of the curves; {advice}"
    return report


def _section(kind: str, gain_db: Floats | float, hz: float, q: float) -> Floats:
    """Gains in dB of one section at ``GRID_HZ``, (..., 256)."""
    return biquad.gain_db(section_coefficients(kind, gain_db, hz, q), GRID_HZ, RATE_HZ)  # type: ignore[arg-type]


def _gain(table: Table, row: Row, column: str, unit: str) -> float:
    gain = in_db(table, row, column, unit)
    if abs(gain) > MOST_GAIN_DB:
        table.problem(f"{gain:g} dB is no gain from -{MOST_GAIN_DB:g} to {MOST_GAIN_DB:g} dB", row, column)
        return float("nan")
    return gain


def _kind(table: Table, row: Row, names: dict[str, str]) -> str:
    """The kind of a filter; empty if the row does not use it."""
    text = row.cells[names["kind"]]
    kind = text.casefold().replace(" ", "_").replace("-", "_")
    if not text:
        for part, name in names.items():
            if row.cells[name]:
                table.problem(f"has a {part} but {names['kind']} is empty", row, name)
        return ""
    if kind not in KINDS:
        table.problem(
            f"{text!r} is not one of {', '.join(KINDS)}; leave unused filters empty", row, names["kind"]
        )
        return ""
    return kind


def _filter(table: Table, row: Row, names: dict[str, str], kind: str, unit: str) -> Floats:
    known = len(table.problems)
    gain = _gain(table, row, names["gain"], unit)
    hz = table.number(row.cells[names["frequency"]], row, names["frequency"])
    q = table.number(row.cells[names["q"]], row, names["q"])
    if hz < LOW_HZ or hz > HIGH_HZ:
        what = f"{hz:g} Hz is outside the audible range, {LOW_HZ:g} to {HIGH_HZ:g} Hz"
        table.problem(what, row, names["frequency"])
    if q <= 0 or q > 100:
        table.problem(f"{q:g} is no Q above 0 and up to 100", row, names["q"])
    return np.zeros(len(GRID_HZ)) if len(table.problems) > known else _section(kind, gain, hz, q)


def _described(columns: Columns) -> str:
    if columns.filters:
        return f"{len(columns.filters)} parametric filters"
    names = ", ".join(f"{band.frequency_hz:g} Hz" for band in columns.bands)
    how = "linear in log-frequency between bands" if columns.layout == "graphic bands" else "shelves and peak"
    return f"{len(columns.bands)} {columns.layout} ({names}), {how}"


def _prompts_of(table: Table, card: DatasetCard) -> Table:
    """The prompts that the rows of settings name; rows of one prompt have to agree.

    Without a column fold or split, prompts are put in five folds, in turn in the order of their ids.
    """
    names = [n for n in (*PROMPT_COLUMNS, *card.groupings) if n in table.columns]
    first: dict[str, Row] = {}
    for row in table.rows:
        known = first.setdefault(row.cells["prompt_id"], row)
        for name in names:
            if row.cells[name] != known.cells[name]:
                table.problem(f"is not that of row {known.line}, which has the same prompt_id", row, name)
    fold = round_robin(first, FOLDS)
    usual = {"category": "imported"} if "category" not in names else {}
    folded = not {"fold", "split"} & set(names)
    rows = []
    for prompt_id, row in first.items():
        own = {"fold": str(fold[prompt_id])} if folded else {}
        rows.append(Row(row.line, {name: row.cells[name] for name in names} | usual | own))
    missing = [name for name in card.groupings if name not in names]
    if missing:
        raise UsageError(f"{table.file}: has no column {', '.join(missing)} for --grouping")
    return Table(table.file, (*names, *usual, *(["fold"] if folded else [])), rows)
