"""Draw a run again, from its record alone, and say whether the predictions come out the same."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from popeq.board.signed import Reproduction
from popeq.dataset import Dataset
from popeq.errors import PopeqError
from popeq.runs.folder import Run
from popeq.runs.identity import difference
from popeq.runs.plan import Plan, make_plans
from popeq.runs.runner import draw
from popeq.runs.settings import DEFAULT_SETTINGS, RunSettings


@dataclass(frozen=True)
class Redrawn:
    """``problem`` says why a run was not reproduced, and is empty if it was; ``note`` what a reader should
    know of it all the same; ``entry`` what is written down of a run that was reproduced."""

    problem: str
    note: str = ""
    entry: Reproduction | None = None


def redraw(
    run: Run,
    dataset: Dataset,
    options: Mapping[str, object] | None = None,
    settings: RunSettings = DEFAULT_SETTINGS,
) -> Redrawn:
    """Draw a run again in a temporary folder and compare every sample with those that it has.

    The predictor, parameters, seed and protocol are those of the record, the data set and the code those that
    are here; ``note`` says if the code is another one. The same means the same numbers, to the last digit
    that is written. A server is asked again: nothing that was kept of its answers is used.

    Parameters
    ----------
    options
        Parameters in place of the record's: where a model's folder, of which a record has the last name
        alone, lies here. They must name the same content.
    """
    record, own = run.record, run.record.predictor
    if record.origin != "drawn":
        return Redrawn("popeq did not draw it: it was made from a file of predictions")
    try:
        values = {**own.parameters, **(options or {})}
        (plan,) = make_plans([own.name], dataset, record.protocol, [record.seed], values)
        problem, note = _held_against(plan, run)
        if problem:
            return Redrawn(problem)
        kept = run.samples(dataset.test_ids, dataset.space)
        with tempfile.TemporaryDirectory(prefix="popeq-redraw-") as folder:
            (again,) = draw([plan], settings.with_changes(runs_dir=Path(folder), fresh=True))
            if again.record.status != "complete":
                why = again.record.failures[0].message if again.record.failures else "it was stopped"
                return Redrawn(f"it could not be drawn again: {why}")
            if (who := again.record.answered_by) != record.answered_by:
                was = record.answered_by or "a server that did not say who it is"
                return Redrawn(f"{was} answered it, and {who or 'one that does not say it'} answers now")
            drawn = again.samples(dataset.test_ids, dataset.space)
    except PopeqError as error:
        return Redrawn(f"it could not be drawn again: {error}")
    differs = (kept != drawn).any(axis=-1)
    if differs.any():
        apart = float(np.abs(kept - drawn).max())
        line = f"{differs.sum()} of {differs.size} samples differ, by up to {apart:.2g} dB"
        return Redrawn(f"{line}{f' ({note})' if note else ''}")
    code = plan.spec.predictor.code
    assert code is not None
    entry = Reproduction(
        when=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        popeq=code.popeq,
        code_sha256=code.sha256,
        same_code=own.code is not None and own.code.sha256 == code.sha256,
    )
    return Redrawn("", note, entry)


def _held_against(plan: Plan, run: Run) -> tuple[str, str]:
    """What keeps a plan from being of the same run, and what may differ but is worth saying."""
    made, own = run.record.predictor, plan.spec.predictor
    for name in sorted(made.identity.keys() | own.identity.keys()):
        if made.code is not None and made.identity.get(name) != own.identity.get(name):
            was, now = made.identity.get(name, "nothing")[:20], own.identity.get(name, "not here")[:20]
            return f"{name} was {was} and is {now}; if it is a folder, give it with -o {name}=FOLDER", ""
    same = {name for name, content in own.identity.items() if content.startswith("sha256:")}
    other = sorted(
        name
        for name, value in own.parameters.items()
        if name not in same and made.parameters.get(name, value) != value
    )
    if other:
        return f"the parameters differ: {', '.join(other)}", ""
    return "", difference(made, own, run.folder.name)
