"""Rows of a board: runs grouped over their seeds and scored again from their predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from popeq.board import kept_scores
from popeq.board.kept_scores import Scored
from popeq.board.leaks import signs
from popeq.board.scoring import PromptTable, Scorer, average
from popeq.board.trust import card_of, trust_of, weakest
from popeq.folder_names import without_folders
from popeq.parallel import parallel_map
from popeq.runs.card import Card, Trust
from popeq.runs.folder import Run
from popeq.runs.record import RunRecord


@dataclass(frozen=True, eq=False)
class Entry:
    """A row: a predictor with one set of parameters, its runs (one for each seed), its scores by prompt, how
    far it can be trusted, and ``flags``, signs of leaked answers in words."""

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
    """The predictor's name, with what is different where several rows have the same name."""
    labels = []
    for record in records:
        same = [r for r in records if r.predictor.name == record.predictor.name]
        if len(same) == 1:
            labels.append(record.predictor.name)
            continue
        values = record.predictor.parameters
        differing = {k: v for k, v in values.items() if any(r.predictor.parameters.get(k) != v for r in same)}
        details = [f"{k}={without_folders(v)}" for k, v in differing.items()]
        equal = [r for r in same if r.predictor.parameters == values]
        if len(equal) > 1:
            details += _differences(record, equal)
        labels.append(f"{record.predictor.name} ({', '.join(details or [record.predictor.source])})")
    return labels


def _differences(record: RunRecord, equal: Sequence[RunRecord]) -> list[str]:
    """In what a record differs from others of the same parameters: version, model or code."""
    own, others = record.predictor, [r.predictor for r in equal]
    details = [own.source] if len({p.source for p in others}) > 1 else []
    if len({json.dumps(p.identity, sort_keys=True) for p in others}) > 1:
        named = [f"{k} {v.removeprefix('sha256:')[:8]}" for k, v in own.identity.items()]
        details += named or ["model not known"]
    codes = {p.code.sha256 + p.code.popeq if p.code else "" for p in others}
    if len(codes) > 1:
        code = own.code
        details.append(f"code {code.sha256[:8]}, popeq {code.popeq}" if code else "code not known")
    return details
