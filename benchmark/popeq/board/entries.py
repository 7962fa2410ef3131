"""Which runs make a board: found, checked to be comparable, grouped over seeds, scored again."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from popeq.board import kept_scores
from popeq.board.kept_scores import Scored
from popeq.board.leaks import signs
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.board.trust import card_of, trust_of, weakest
from popeq.errors import UsageError
from popeq.folder_names import without_folders
from popeq.parallel import parallel_map
from popeq.runs.card import Card, Trust
from popeq.runs.folder import RECORD, Run, find_runs
from popeq.runs.record import RunRecord


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
        notes += [f"left out: {why.replace(f'{path}{os.sep}', '')}" for why in broken]
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
    wrong: list[tuple[Run, str]] = []
    fitting: list[Run] = []
    for run in runs:
        record = run.record
        if record.dataset.revision != revision:
            why_not = (
                f"is of {record.dataset.name} revision {record.dataset.revision[:12]}, this board of revision"
            )
            wrong.append((run, f"{why_not} {revision[:12]}"))
        elif record.protocol != protocol:
            wrong.append((run, f"is under {record.protocol.label}, this board under {protocol.label}"))
        else:
            fitting.append(run)
    if wrong and (named or not fitting):
        lines = [f"{run.folder}: {why_not}; run it again: {run.record.command}" for run, why_not in wrong]
        raise UsageError("\n".join(["runs that cannot stand on one board:", *lines]))
    newest: dict[str, Run] = {}
    notes = [  # pages show them: names only
        f"left out: {run.folder.name}: {why_not}; run it again: {run.record.shown_command}"
        for run, why_not in wrong
    ]
    for run in fitting:
        record = run.record
        if record.status == "complete":
            newest[record.key] = run
        else:
            why = record.failures[0].message if record.failures else "stopped or still being drawn"
            notes.append(
                f"left out: {run.folder.name} is {record.status}, "
                f"{len(run.done(scorer.dataset.test_ids))} of {record.prompts} prompts "
                f"({without_folders(why)})"
            )
    return list(newest.values()), notes


def method_of(record: RunRecord) -> str:
    """The method that a run is of, as text: what its seeds, also of older code, share."""
    p = record.predictor
    return json.dumps([record.origin, p.name, p.parameters], sort_keys=True)


def make_of(record: RunRecord) -> str:
    """What drew a run of a method, as text: version, code, and the contents that its parameters name."""
    p = record.predictor
    code = [p.code.sha256, p.code.popeq] if p.code else []
    return json.dumps([p.source, code, p.identity, record.model], sort_keys=True)


def make_entries(runs: Sequence[Run], scorer: Scorer, jobs: int = 1, *, keep: bool = True) -> list[Entry]:
    """Score every run from its predictions, in ``jobs`` processes, and average the seeds of one predictor,
    parameter set and code. A wrong card.json is an error.

    With ``keep``, predictions that were scored here before by the same code are not scored again.
    """
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(method_of(run.record) + make_of(run.record), []).append(run)
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
    computed = iter(parallel_map(_score_one, tasks, jobs, (scorer,)))
    return [found or next(computed) for found in kept]


def _score_one(run: Run, place: Path | None, scorer: Scorer) -> Scored:
    """The scores of a run, also written to a place if there is one."""
    samples = run.samples(scorer.dataset.test_ids, scorer.dataset.space)
    table = scorer.score(samples)
    scored = Scored(table, signs(samples, table, scorer))
    if place is not None:
        kept_scores.write(place, scored)
    return scored


def parameters_text(record: RunRecord) -> str:
    """Parameters as ``name=value`` words, files and folders by their last names."""
    return ", ".join(f"{k}={without_folders(v)}" for k, v in record.predictor.parameters.items())


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
        details = [f"{k}={without_folders(v)}" for k, v in differing.items()]
        twins = [r for r in same if r.predictor.parameters == values]
        if len(twins) > 1:
            details += _apart(record, twins)
        labels.append(f"{record.predictor.name} ({', '.join(details or [record.predictor.source])})")
    return labels


def _apart(record: RunRecord, twins: Sequence[RunRecord]) -> list[str]:
    """What tells a record from others of the same parameters: version, model or code."""
    own, others = record.predictor, [r.predictor for r in twins]
    details = [own.source] if len({p.source for p in others}) > 1 else []
    if len({json.dumps(p.identity, sort_keys=True) for p in others}) > 1:
        named = [f"{k} {v.removeprefix('sha256:')[:8]}" for k, v in own.identity.items()]
        details += named or ["model not known"]
    codes = {p.code.sha256 + p.code.popeq if p.code else "" for p in others}
    if len(codes) > 1:
        code = own.code
        details.append(f"code {code.sha256[:8]}, popeq {code.popeq}" if code else "code not known")
    return details
