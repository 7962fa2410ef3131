"""Which runs are compared: found by name or folder, of one data set and protocol, complete, of one code."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from popeq.board.entries import Entry, make_entries, make_of, method_of
from popeq.board.notes import Note
from popeq.board.scoring import Scorer
from popeq.errors import UnknownNameError, UsageError
from popeq.folder_names import without_folders
from popeq.plugins import registry
from popeq.protocol import PUBLISHED, Protocol, newest
from popeq.runs.code import code_of, modules_of
from popeq.runs.folder import RECORD, Run, find_runs


def find(name: Run | Path | str, runs_dir: Path | str) -> tuple[list[Run], list[Note]]:
    """The runs that a person names, and a note for each run in a named folder that cannot be read.

    A name is the folder of a run, a folder of runs, ``FOLDER/NAME`` (the runs of the predictor NAME in a
    folder of runs, such as ``leaderboard/results/simulated-120/prior``) or ``NAME`` (its runs in
    ``runs_dir``). A folder that holds runs comes before a predictor of the same name.

    Raises
    ------
    UsageError
        If it is none of these; offers near names.
    RunError
        If the run in the named folder cannot be read.
    """
    if isinstance(name, Run):
        return [name], []
    path = Path(name)
    if (path / RECORD).is_file():
        return [Run.open(path)], []
    runs, unread = find_runs(path)
    if runs:
        return runs, [_left_out(why.replace(f"{path}{os.sep}", "")) for why in unread]
    folder = Path(runs_dir) if str(name) == path.name else path.parent
    known: dict[str, list[Run]] = {}
    for run in find_runs(folder)[0]:
        known.setdefault(run.record.predictor.name, []).append(run)
    if path.name in known:
        return known[path.name], []
    if path.is_dir():
        raise UsageError(f"{path}: holds no runs; 'popeq run' makes some")
    if path.exists() or not known:
        what = "is a file, not a run folder" if path.exists() else "does not exist"
        raise UsageError(f"{path}: {what}; 'popeq run' makes runs")
    kind = f"run folder, folder of runs or predictor with a run in {folder}"
    raise UnknownNameError(kind, path.name, known)


def gather(names: Sequence[Run | Path | str], runs_dir: Path | str) -> tuple[list[Run], list[Note]]:
    """Every run that is named, once; all of ``runs_dir`` if there are no names. Notes and errors as for
    ``find``."""
    found = [find(name, runs_dir) for name in names or [Path(runs_dir)]]
    runs = {run.folder.resolve(): run for own, _ in found for run in own}
    return list(runs.values()), [note for _, notes in found for note in notes]


def runs_of(name: Run | Path | str, runs_dir: Path | str, dataset_name: str | None = None) -> list[Run]:
    """The runs of one side of a comparison: the run that is named, or one for each seed of a predictor.

    Of a predictor or a folder of runs, those are taken that are complete, of the newest protocol, and drawn
    by the code that is installed now (see ``current``).

    Raises
    ------
    UsageError
        If there are none, or they are of several data sets, predictors or sets of parameters.
    """
    found, _ = find(name, runs_dir)
    if isinstance(name, Run) or found[0].folder == Path(name):
        return found
    own = [r for r in of_dataset(found, dataset_name) if r.record.status == "complete"]
    if not own:
        raise UsageError(f"{name}: has no complete run")
    protocol = newest_protocol(own)
    own, _ = current([r for r in own if r.record.protocol == protocol])
    if len({method_of(r.record) for r in own}) > 1:
        folders = ", ".join(str(r.folder) for r in own)
        raise UsageError(
            f"{name}: has runs of several predictors or with different parameters; name a folder: {folders}"
        )
    return list({(r.record.key, r.record.answered_by): r for r in own}.values())


def newest_protocol(runs: Sequence[Run]) -> Protocol:
    """The newest published protocol of the complete runs; of all if none is complete.

    Raises UsageError if they are under several protocols and none is published: no run chooses for others.
    """
    complete = [run for run in runs if run.record.status == "complete"]
    found = {run.record.protocol.fingerprint: run.record.protocol for run in complete or runs}
    if len(found) > 1 and not any(protocol in PUBLISHED for protocol in found.values()):
        labels = ", ".join(protocol.label for protocol in found.values())
        raise UsageError(f"these runs are under several protocols ({labels}); name those of one")
    return newest(found.values())


def of_dataset(runs: Sequence[Run], dataset_name: str | None) -> list[Run]:
    """The runs of one data set, which has to be named if there are several."""
    names = sorted({run.record.dataset.name for run in runs})
    if dataset_name is None:
        if len(names) > 1:
            raise UsageError(
                f"these runs are of several data sets ({', '.join(names)}) and scores of different data sets "
                "are never compared; choose one with --dataset"
            )
        return list(runs)
    own = [run for run in runs if run.record.dataset.name == dataset_name]
    if not own:
        raise UsageError(f"no run is of the data set {dataset_name!r}; there are runs of: {', '.join(names)}")
    return own


def comparable(runs: Sequence[Run], scorer: Scorer, *, strict: bool = False) -> tuple[list[Run], list[Note]]:
    """Complete runs of a scorer's data set revision and protocol, the newest of each key and served model,
    and a note for each run that is left out.

    Raises
    ------
    UsageError
        If all runs are of another revision or protocol, which are never compared; with ``strict`` if one is.
    """
    differing = [(run, _other(run, scorer)) for run in runs]
    wrong = [(run, why) for run, why in differing if why]
    if wrong and (strict or len(wrong) == len(runs)):
        raise UsageError(
            "\n".join(
                f"{run.folder}: {why}, so it cannot be compared; run it again: {run.record.command}"
                for run, why in wrong
            )
        )
    # Pages show the notes, so they have names of folders without the folders above them.
    notes = [
        _left_out(f"{run.folder.name}: {why}; run it again: {run.record.shown_command}") for run, why in wrong
    ]
    fitting = [run for run, why in differing if not why]
    # A served model is known by its name before it is asked, so that who answered is no part of the key.
    complete: dict[tuple[str, str], Run] = {}
    for run in fitting:
        if run.record.status != "complete":
            notes.append(_left_out(f"{run.folder.name} {_unfinished(run, scorer)}"))
            continue
        same = (run.record.expected_key, run.record.answered_by)
        older = complete.get(same)
        complete[same] = run
        if older is not None:
            notes.append(
                _left_out(f"{older.folder.name} is the same run as {run.folder.name}, which is newer")
            )
    return list(complete.values()), notes


def entry_of(runs: Sequence[Run], scorer: Scorer) -> Entry:
    """One side of a comparison, scored; the seeds are averaged prompt by prompt.

    Raises
    ------
    UsageError
        If a run is not complete, not comparable, or of another predictor than the first.
    """
    comparable(runs, scorer, strict=True)
    for run in runs:
        if run.record.status != "complete":
            raise UsageError(f"{run.folder}: {_unfinished(run, scorer)}, so it cannot be compared")
    entries = make_entries(runs, scorer)
    if len(entries) != 1:
        labels = ", ".join(entry.label for entry in entries)
        raise UsageError(f"one side of a comparison holds the runs of several methods: {labels}")
    return entries[0]


def current(runs: Sequence[Run]) -> tuple[list[Run], list[Note]]:
    """The runs without those of a method's other code, and a note for each of these.

    Where runs of one predictor and set of parameters differ in what drew them (its version, its code, the
    contents that its parameters name), those of the code installed now are kept, or if there are none, of
    the code of the newest run.
    """
    makes: dict[str, set[str]] = {}
    for run in runs:
        makes.setdefault(method_of(run.record), set()).add(make_of(run.record))
    unsure = [run for run in runs if len(makes[method_of(run.record)]) > 1]
    newest_last = sorted(unsure, key=lambda run: (_is_installed(run), run.record.started_at))
    chosen = {method_of(run.record): run for run in newest_last}
    kept, notes = [], []
    for run in runs:
        best = chosen.get(method_of(run.record), run)
        if make_of(run.record) == make_of(best.record):
            kept.append(run)
            continue
        notes.append(
            _left_out(
                f"{run.folder.name} was drawn by other code, or with another model, than "
                f"{best.folder.name}; name both folders to see both"
            )
        )
    return kept, notes


def _other(run: Run, scorer: Scorer) -> str:
    """Which other data set revision or protocol a run is of; empty if it is the scorer's."""
    record, revision = run.record, scorer.dataset.revision
    if record.dataset.revision != revision:
        return (
            f"is of {record.dataset.name} revision {record.dataset.revision[:12]}, "
            f"the data set here is of revision {revision[:12]}"
        )
    if record.protocol != scorer.protocol:
        return f"is under {record.protocol.label}, the comparison is under {scorer.protocol.label}"
    return ""


def _unfinished(run: Run, scorer: Scorer) -> str:
    """How far a run that is not complete came, and why it ended."""
    record = run.record
    done = max(record.prompts_done, len(run.done(scorer.dataset.test_ids)))
    why = record.failures[0].message if record.failures else "it was stopped or is still being drawn"
    return f"is {record.status}, {done} of {record.prompts} prompts ({without_folders(why)})"


def _is_installed(run: Run) -> bool:
    """Whether a run was drawn by the code that is installed now."""
    own = run.record.predictor
    spec = registry().predictors.get(own.name)
    return spec is not None and own.code is not None and code_of(modules_of(spec)).sha256 == own.code.sha256


def _left_out(text: str) -> Note:
    return Note("left out", f"left out: {text}")
