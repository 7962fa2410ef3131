"""Score against the size of the model behind a method."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from popeq.board.differences import mean_difference, mean_score
from popeq.board.entries import Entry
from popeq.board.groupings import Group
from popeq.board.reference_lines import training_responses
from popeq.board.scoring import Scorer
from popeq.errors import UsageError
from popeq.folder_names import without_folders
from popeq.metrics import HEADLINE
from popeq.plain_text import size_text
from popeq.studies.study import Study, draw_estimates, log_axis, name_lines, simulated_note, table_by

if TYPE_CHECKING:
    from matplotlib.axes import Axes


#: Parameters that say which model it is and how it is loaded.
_OF_THE_MODEL = ("model", "base_url", "revision", "dtype", "device")


def size_study(entries: Sequence[Entry], scorer: Scorer, *, by: str | None = None) -> Study:
    """Methods by the number of parameters of their models, each against the same method with the smallest.

    Rows without a model of known size are horizontal lines of the picture.

    Raises
    ------
    UsageError
        If no row has a model of known size.
    """
    sized = [entry for entry in entries if entry.model_size]
    if not sized:
        raise UsageError("no row has a model whose size is known, so there is nothing to show by size")
    sized.sort(key=lambda e: (e.record.predictor.name, e.model_size))
    methods: dict[str, list[Entry]] = {}
    for entry in sized:
        methods.setdefault(_method(entry, sized), []).append(entry)
    table, split_notes = table_by(scorer, lambda group: _table(methods, scorer, group), by)
    notes = [
        f"Mean over prompts of {HEADLINE}, dB, lower is better. Shift: a row minus the same method with the "
        "smallest model; negative: the larger model is better. Intervals and p are of each row, over prompts "
        "and listeners.",
        "Models differ in more than their size (data, training), so a difference is one of these models.",
        *simulated_note(scorer),
        *split_notes,
    ]

    def draw(axes: Axes) -> None:
        shift = np.linspace(-0.09, 0.09, len(methods)) if len(methods) > 1 else [0.0]
        for i, (name, own) in enumerate(methods.items()):
            means = [mean_score(e.table, HEADLINE, scorer.panels) for e in own]
            draw_estimates(axes, i, np.array([e.model_size for e in own]) * np.exp(shift[i]), means, name)
        log_axis(axes, [entry.model_size for entry in sized], size_text)
        axes.set(xlabel="parameters of the model", ylabel="mean headline score, dB")
        flat = {e.label: e.mean for e in entries if not e.model and e.kind == "baseline"}
        flat["training responses"] = float(training_responses(scorer).scores[HEADLINE].mean())
        name_lines(axes, flat)

    title = f"Score and size of the model: {scorer.dataset.card.label}"
    return Study(title, table, tuple(notes), draw, keys=3 if by else 2)


def _method(entry: Entry, entries: Sequence[Entry]) -> str:
    """An entry's predictor, with the parameters that differ between the entries of that predictor, its model
    left out."""
    predictor = entry.record.predictor
    same = [e.record.predictor.parameters for e in entries if e.record.predictor.name == predictor.name]
    own = [
        f"{key}={value}"
        for key, value in without_folders(predictor.parameters).items()
        if key not in _OF_THE_MODEL and any(p.get(key) != predictor.parameters[key] for p in same)
    ]
    return f"{predictor.name} ({', '.join(own)})" if own else predictor.name


def _table(methods: dict[str, list[Entry]], scorer: Scorer, group: Group) -> pd.DataFrame:
    panels, rows = group.scorer(scorer).panels, []
    for name, own in methods.items():
        smallest = group.entry(own[0], scorer).table
        for entry in own:
            table = group.entry(entry, scorer).table
            mean = mean_score(table, HEADLINE, panels)
            low, high = mean.interval()
            row = {"predictor": name, "model": entry.model, "parameters": entry.model_size}
            row |= {"mean": mean.value, "low": low, "high": high}
            if entry is not own[0]:
                shift = mean_difference(table, smallest, HEADLINE, panels)
                low, high = shift.interval()
                row |= {"shift": shift.value, "shift_low": low, "shift_high": high, "p_value": shift.p_value}
            rows.append(row | {"seeds": entry.seeds, "prompts": len(group.keep)})
    columns = ["predictor", "model", "parameters", "mean", "low", "high"]
    columns += ["shift", "shift_low", "shift_high", "p_value", "seeds", "prompts"]
    return pd.DataFrame(rows, columns=columns)
