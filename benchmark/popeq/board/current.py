"""Of runs that one method left behind while it was developed: those of the code that is installed now."""

from __future__ import annotations

from collections.abc import Sequence

from popeq.board.entries import make_of, method_of
from popeq.plugins import registry
from popeq.runs.code import code_of, modules_of
from popeq.runs.folder import Run


def current(runs: Sequence[Run]) -> tuple[list[Run], list[str]]:
    """The runs without those of a method's other code, and a note for each of these.

    Where runs of one predictor and set of parameters differ in what drew them (its version, its code, the
    contents that its parameters name), those of the code installed now are kept, or if there are none, of
    what began the newest run.
    """
    makes: dict[str, set[str]] = {}
    for run in runs:
        makes.setdefault(method_of(run.record), set()).add(make_of(run.record))
    several = {method for method, found in makes.items() if len(found) > 1}
    unsure = [run for run in runs if method_of(run.record) in several]
    newest = {
        method_of(run.record): run
        for run in sorted(unsure, key=lambda run: (_is_installed(run), run.record.started_at))
    }
    left_out = [r for r in unsure if make_of(r.record) != make_of(newest[method_of(r.record)].record)]
    notes = [
        f"left out: {run.folder.name} was drawn by other code, or with another model, than "
        f"{newest[method_of(run.record)].folder.name}; name both folders to see both"
        for run in left_out
    ]
    return [run for run in runs if run not in left_out], notes


def _is_installed(run: Run) -> bool:
    """Whether a run was drawn by the code that is installed now."""
    own = run.record.predictor
    spec = registry().predictors.get(own.name)
    return spec is not None and own.code is not None and code_of(modules_of(spec)).sha256 == own.code.sha256
