"""Which runs make a board: found, checked to be comparable, grouped over seeds, scored again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popeq.board import kept_scores
from popeq.board.kept_scores import Scored
from popeq.board.leaks import copied, other_panel
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.board.trust import card_of, trust_of, weakest
from popeq.errors import UsageError
from popeq.metrics import HEADLINE
from popeq.parallel import spread
from popeq.runs.card import Card, Trust
from popeq.runs.folder import RECORD, Run, find_runs
from popeq.runs.record import RunRecord

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Entry:
    """A row to be: a predictor with one set of parameters, its runs (one a seed), its scores by prompt, how
    far it can be trusted, and ``flags`` of leaked answers in words."""

    label: str
    runs: tuple[Run, ...]
    table: PromptTable
    trust: Trust = "reproduced"
    flags: tuple[str, ...] = ()
    card: Card | None = None

    @property
    def record(self) -> RunRecord:
        """The record of the first seed, for what all seeds share."""
        return self.runs[0].record

    @property
    def kind(self) -> str:
        """What sort of method it is: from the plugin, or from the card of a submission."""
        return (
            self.card.kind if self.card and self.record.origin == "submitted" else self.record.predictor.kind
        )

    @property
    def model(self) -> str:
        """The model behind it as tables show it; empty if there is none."""
        return self.record.model or (self.card.model if self.card else "")

    def take(self, keep: Sequence[int]) -> Entry:
        """The same row on some of the prompts, by position."""
        return replace(self, table=self.table.take(keep))


def gather(paths: Sequence[Path | str], runs_dir: Path | str) -> tuple[list[Run], list[str]]:
    """Runs from run folders or folders of runs; all of ``runs_dir`` if no path is given.

    Returns the runs, and a note for each run of a folder of runs that cannot be read.
    """
    given = [Path(p) for p in paths] or [Path(runs_dir)]
    runs: list[Run] = []
    notes: list[str] = []
    for path in given:
        if (path / RECORD).is_file():
            runs.append(Run.open(path))
            continue
        if not path.is_dir():
            what = "is a file, not a run folder" if path.exists() else "does not exist"
            raise UsageError(f"{path}: {what}; 'popeq run' makes runs")
        found, broken = find_runs(path)
        notes += [f"left out: {why}" for why in broken]
        if not found:
            raise UsageError(f"{path}: holds no runs; 'popeq run' makes some")
        runs += found
    return list({run.folder.resolve(): run for run in runs}.values()), notes


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


def usable(runs: Sequence[Run], scorer: Scorer, *, named: bool = True) -> tuple[list[Run], list[str]]:
    """Complete runs, the newest of each key, and a note for each run left out.

    Raises
    ------
    UsageError
        Naming every run of another revision or protocol, which are never compared; if nobody named the
        runs (they were found in a folder), they are left out with a note instead.
    """
    revision, protocol = scorer.dataset.revision, scorer.protocol
    wrong, fitting = [], []
    for run in runs:
        record = run.record
        if record.dataset.revision != revision:
            wrong.append(
                f"{run.folder}: is of {record.dataset.name} revision {record.dataset.revision[:12]}, "
                f"this board of revision {revision[:12]}; run it again: {record.command}"
            )
        elif record.protocol != protocol:
            wrong.append(
                f"{run.folder}: is under {record.protocol.label}, this board under {protocol.label}; "
                f"run it again: {record.command}"
            )
        else:
            fitting.append(run)
    if wrong and (named or not fitting):
        raise UsageError("\n".join(["runs that cannot stand on one board:", *wrong]))
    newest: dict[str, Run] = {}
    notes = [f"left out: {line}" for line in wrong]
    for run in fitting:
        record = run.record
        if record.status == "complete":
            newest[record.key] = run
        else:
            why = record.failures[0].message if record.failures else "stopped or still being drawn"
            notes.append(
                f"left out: {run.folder} is {record.status}, {len(run.done(scorer.dataset.test_ids))} of "
                f"{record.prompts} prompts ({why})"
            )
    return list(newest.values()), notes


def make_entries(runs: Sequence[Run], scorer: Scorer, jobs: int = 1, *, keep: bool = True) -> list[Entry]:
    """Score every run from its predictions, in ``jobs`` processes, and average the seeds of one predictor and
    parameter set. A wrong card.json is an error.

    With ``keep``, predictions that were scored here before by the same code are not scored again.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        p = run.record.predictor
        identity = json.dumps([p.name, p.source, p.parameters, run.record.model], sort_keys=True)
        groups.setdefault(identity, []).append(run)
    ordered = [
        [seeds[s] for s in sorted(seeds)]
        for seeds in ({run.record.seed: run for run in group} for group in groups.values())
    ]
    scored = iter(_scored([run for group in ordered for run in group], scorer, jobs, keep))
    entries = []
    for label, group in zip(_labels([g[0].record for g in ordered]), ordered, strict=True):
        own = [next(scored) for _ in group]
        cards = [card_of(run.folder) for run in group]
        entries.append(
            Entry(
                label,
                tuple(group),
                average([table for table, _ in own]),
                weakest([trust_of(run, card) for run, card in zip(group, cards, strict=True)]),
                tuple(dict.fromkeys(flag for _, flags in own for flag in flags)),
                next((card for card in cards if card), None),
            )
        )
    return entries


def panel_flags(
    entries: Sequence[Entry],
    other: Scorer,
    reference: tuple[Floats, Floats],
    jobs: int = 1,
    *,
    keep: bool = False,
) -> dict[str, tuple[str, ...]]:
    """Flags of leaked answers, by label, that a second panel of the same prompts shows.

    Parameters
    ----------
    other
        Scorer of the second panel (``read_second_panel``), in the order of prompts of the entries.
    reference
        Headline scores (P,), dB, of the training responses on the tested and on the second panel.
    """
    scored = {
        e.label: e for e in make_entries([run for e in entries for run in e.runs], other, jobs, keep=keep)
    }
    found = {}
    for entry in entries:
        second = scored[entry.label]
        tells = other_panel(entry.table.scores(HEADLINE), second.table.scores(HEADLINE), *reference)
        found[entry.label] = (*tells, *(f"second panel: {flag}" for flag in second.flags))
    return found


def _scored(runs: Sequence[Run], scorer: Scorer, jobs: int, keep: bool) -> list[Scored]:
    """Scores of runs: kept ones read here, since sending them from a process takes longer; others
    computed."""
    places = [kept_scores.place_of(run.predictions_sha256(), scorer) for run in runs]
    kept = [kept_scores.read(place, scorer) if keep else None for place in places]
    tasks = [
        (run, place if keep else None)
        for run, place, found in zip(runs, places, kept, strict=True)
        if found is None
    ]
    computed = iter(spread(_score_one, tasks, jobs, (scorer,)))
    return [found or next(computed) for found in kept]


def _score_one(run: Run, place: Path | None, scorer: Scorer) -> Scored:
    """The scores of a run, also written to a place if there is one."""
    samples = run.samples(scorer.dataset.test_ids, scorer.dataset.space)
    scored = Scored(scorer.score(samples), copied(samples, scorer))
    if place is not None:
        kept_scores.write(place, scored)
    return scored


def parameters_text(record: RunRecord) -> str:
    """Parameters as ``name=value`` words."""
    return ", ".join(f"{k}={v}" for k, v in record.predictor.parameters.items())


def _labels(records: Sequence[RunRecord]) -> list[str]:
    """The predictor's name, with what tells it apart where several rows have the same name."""
    labels = []
    for record in records:
        same = [r for r in records if r.predictor.name == record.predictor.name]
        if len(same) == 1:
            labels.append(record.predictor.name)
            continue
        values = record.predictor.parameters
        differing = {k: v for k, v in values.items() if any(r.predictor.parameters.get(k) != v for r in same)}
        details = [f"{k}={v}" for k, v in differing.items()] or [record.predictor.source]
        labels.append(f"{record.predictor.name} ({', '.join(details)})")
    return labels
