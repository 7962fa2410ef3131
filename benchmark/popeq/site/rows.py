"""What the pages show of each method: numbers, names and where they come from, ready for the templates."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from popeq.board.entries import Entry
from popeq.board.leaderboard import Leaderboard
from popeq.board.reference_lines import KNOWN, PERFECT, REFERENCE
from popeq.folder_names import without_folders
from popeq.metrics import HEADLINE
from popeq.plain_text import size_text, visible
from popeq.runs.card import Card
from popeq.runs.folder import Run
from popeq.site.pictures import Mark, Scale, interval_bar, score_scale

Row = dict[str, Any]
#: A mean and the ends of its interval: name on a page, and how the board's column ends.
ENDS = {"mean": "", "low": "_low", "high": "_high"}


def slug(label: str) -> str:
    """A file name for a method or prompt: safe, short, and its own for every label."""
    words = re.sub(r"[^a-z0-9]+", "-", label.lower()).strip("-")[:40].strip("-")
    return f"{words or 'x'}-{hashlib.sha256(label.encode()).hexdigest()[:8]}.html"


def reference_marks(board: Leaderboard) -> list[Mark]:
    """The reference and the reference lines at their mean headline score."""
    css = {PERFECT: "perfect", REFERENCE: "reference", KNOWN: "known"}
    return [
        Mark(css.get(line.name, "fresh"), line.name, float(np.mean(line.scores[HEADLINE])))
        for line in (board.reference, *board.lines)
    ]


def method_rows(board: Leaderboard) -> tuple[list[Row], list[Row], Scale]:
    """Rows of methods and of reference lines, and the scale of their bars."""
    table = board.table.to_dict(orient="records")
    scale = score_scale([r[f"{HEADLINE}_mean_high"] for r in table])
    marks = reference_marks(board)
    rows = [_row(cells, entry, scale, marks) for cells, entry in zip(table, board.entries, strict=False)]
    lines = [
        _scores(cells, scale, marks) | {"name": line.name, "how": line.how}
        for cells, line in zip(table[len(rows) :], (board.reference, *board.lines), strict=True)
    ]
    return rows, lines, scale


def _scores(cells: Mapping[Any, Any], scale: Scale, marks: Sequence[Mark]) -> Row:
    """A row's cells by the names of the board's columns, the headline's also by shorter ones, and its bar."""
    own = {name: float(cells[f"{HEADLINE}_mean{end}"]) for name, end in ENDS.items()}
    bar = interval_bar(scale, own["mean"], own["low"], own["high"], marks)
    return {**cells, **own, "median": cells[f"{HEADLINE}_median"], "bar": bar}


def _row(cells: Mapping[Any, Any], entry: Entry, scale: Scale, marks: Sequence[Mark]) -> Row:
    return _scores(cells, scale, marks) | {
        "label": entry.label,
        "href": f"method/{slug(entry.label)}",
        "size": model_size(entry),
        "time": duration(float(cells["time_s"])),
        "training": training_data(entry),
        "command": entry.record.shown_command,
    }


def model_size(entry: Entry) -> str:
    """The number of weights that a submission's card says its model has; empty where the model's name holds
    it, or nobody says."""
    weights = entry.card.model_parameters if entry.card and not entry.record.model else None
    return f"{size_text(weights)} weights" if weights else ""


def training_data(entry: Entry) -> str:
    """What a method has seen: what its submitter says, or what popeq gave it."""
    if entry.card:
        return entry.card.training_data
    given = f"The training prompts of {entry.record.dataset.name} with their responses, given by popeq."
    model = entry.model or entry.record.predictor.described.get("encoder")
    return f"{given} Also whatever {model} was trained on." if model else given


def duration(seconds: float) -> str:
    """A time in words short enough for a table."""
    if seconds < 100:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def script_rows(rows: Sequence[Row]) -> list[Row]:
    """What the page's script sorts, filters and searches by."""
    numbers = {"rank": "rank", "mean": "mean", "shift": "shift", "p": "p_value", "wilcoxon": "p_wilcoxon"}
    numbers |= {"skill": "skill", "kantorovich": "kantorovich_mean", "energy": "energy_score_mean"}
    made = []
    for row in rows:
        found = {key: row[column] for key, column in numbers.items()}
        values: Row = {key: round(v, 6) if math.isfinite(v) else None for key, v in found.items()}
        values |= {key: str(row[key]) for key in ("label", "kind", "trust", "model")}
        values["time"] = row["time_s"]
        text = " ".join(str(row[k]) for k in ("label", "model", "kind", "parameters"))
        made.append(values | {"text": text[:400].lower()})
    return made


def script_filters(rows: Sequence[Row]) -> list[tuple[str, str, list[str]]]:
    """What can be chosen: key, name, and values, for what has more than one."""
    found = [
        (key, name, sorted({str(row[key]) for row in rows} - {""}))
        for key, name in (("kind", "Kind"), ("trust", "Trust"), ("model", "Model"))
    ]
    return [(key, name, values) for key, name, values in found if len(values) > 1 or key != "model"]


def claim_row(card: Card) -> Row:
    """A self-reported entry; its card has a claim."""
    assert card.claim is not None
    return {
        "method": card.claim.method,
        "kind": card.kind,
        "model": card.model,
        "scores": [(name.replace("_", " "), value) for name, value in sorted(card.claim.scores.items())],
        "authors": ", ".join(card.authors),
        "training": card.training_data,
    }


def signatures(entry: Entry, prior: Entry | None, correlation: float | None) -> list[Row]:
    """The paper's failure signatures of a method, in numbers and words, beside those of ``prior``."""

    def mean(row: Entry | None, name: str) -> float:
        return float("nan") if row is None else float(row.table.frame[name].mean())

    spread, edge = mean(entry, "spread_ratio"), mean(entry, "edge_mass_gap")
    covered, shift = mean(entry, "coverage"), mean(entry, "mean_shift")
    words = {
        "spread_ratio": (
            "Spread as a share of the listeners'",
            "collapsed towards one place" if spread < 0.7 else "too wide" if spread > 1.3 else "about right",
        ),
        "mean_shift": ("Distance of the means, dB", f"{shift:.1f} dB off on average"),
        "edge_mass_gap": (
            "Share at the edges minus the listeners'",
            "avoids the edges" if edge < -0.05 else "prefers the edges" if edge > 0.05 else "about right",
        ),
        "coverage": (
            "Listeners inside the 80 % region",
            "over-confident" if covered < 0.7 else "too unsure" if covered > 0.9 else "calibrated",
        ),
    }
    rows = [
        {"name": name, "value": mean(entry, key), "prior": mean(prior, key), "reads": reads}
        for key, (name, reads) in words.items()
    ]
    if correlation is not None:
        reads = f"similar sentences {'' if correlation > 0.3 else 'do not '}have similar settings"
        name = "Text against distributional similarity of what was retrieved (rank correlation)"
        rows.append({"name": name, "value": correlation, "prior": float("nan"), "reads": reads})
    return rows


def run_facts(run: Run) -> list[tuple[str, str]]:
    """Where a run comes from."""
    record = run.record
    packages = ", ".join(f"{name} {version}" for name, version in record.environment.packages.items())
    return [
        ("run", run.folder.name),
        ("seed", str(record.seed)),
        ("origin", record.origin),
        ("predictions, SHA-256", record.predictions_sha256 or ""),
        ("identity, SHA-256", record.key),
        *([("code, SHA-256", record.predictor.code.sha256)] if record.predictor.code else []),
        *([("answered by", record.answered_by)] if record.answered_by else []),
        *([("answers", str(record.answers))] if record.answers else []),
        *((f"{name}, content", content) for name, content in record.predictor.identity.items()),
        ("finished", record.finished_at or ""),
        ("environment", f"Python {record.environment.python}, {record.environment.platform}; {packages}"),
    ]


def facts(entry: Entry) -> list[tuple[str, str]]:
    """Parameters and declarations of a method."""
    record = entry.record
    found = [("plugin", record.predictor.source), ("trained on", training_data(entry))]
    found += [
        (f"parameter {name}", repr(without_folders(value)))
        for name, value in record.predictor.parameters.items()
    ]
    found += [(str(name), str(value)) for name, value in record.predictor.described.items()]
    if entry.card:
        found += [("authors", ", ".join(entry.card.authors)), ("contact", entry.card.contact)]
        found += [("notes", entry.card.notes)] if entry.card.notes else []
    return [(visible(name), value) for name, value in found]


def score_table(board: Leaderboard) -> pd.DataFrame:
    """Every score by method and prompt."""
    frames = [entry.table.frame.drop(columns=["basis"]) for entry in board.entries]
    labels = [entry.label for entry in board.entries]
    return pd.concat(frames, keys=labels, names=["predictor"]).reset_index("predictor")


def pair_table(board: Leaderboard) -> pd.DataFrame:
    """Every pair once: shift of a minus b, the p that holds over all pairs, and effect size."""
    pairs = board.pairs
    i, j = np.triu_indices(len(pairs.labels), 1)
    labels = np.array(pairs.labels, dtype=object)
    return pd.DataFrame(
        {
            "a": labels[i],
            "b": labels[j],
            "shift": pairs.shift[i, j],
            "p_family": pairs.p[i, j],
            "effect_size": pairs.effect[i, j],
        }
    )
