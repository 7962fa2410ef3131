"""Rows of a board: runs grouped over their seeds and scored again from their predictions."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from popeq.board import kept_scores
from popeq.board.kept_scores import Numbers
from popeq.board.leaks import signs
from popeq.board.scoring import NUMBERS, PromptTable, Scorer, average
from popeq.board.trust import card_of, trust_of, weakest
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.folder_names import without_folders
from popeq.metrics import HEADLINE
from popeq.parallel import parallel_map
from popeq.runs.answering import answer_record
from popeq.runs.card import Card, Trust
from popeq.runs.folder import Run
from popeq.runs.record import AnswerRecord, RunRecord
from popeq.typing import Floats


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
        if self.card and self.record.origin == "submitted":
            return self.card.kind
        return self.record.predictor.kind

    @property
    def seeds(self) -> str:
        """The seeds of its runs."""
        return ",".join(str(run.record.seed) for run in self.runs)

    @property
    def mean(self) -> float:
        """The mean headline score over prompts, dB."""
        return float(np.mean(self.table.scores(HEADLINE)))

    @property
    def answers(self) -> AnswerRecord | None:
        """What became of a model's answers, over all of its runs; None if none says it."""
        return answer_record(a.model_dump() for run in self.runs if (a := run.record.answers))

    @property
    def model(self) -> str:
        """The model behind it as tables show it; empty if there is none."""
        return self.record.model or (self.card.model if self.card else "")

    @property
    def model_size(self) -> int:
        """Parameters of that model; 0 if they are not known."""
        found = self.record.predictor.described.get("parameters")
        return found if isinstance(found, int) else 0

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


def row_of_record(record: RunRecord) -> str:
    """The row that a run is in, as text: its method and its make."""
    return method_of(record) + make_of(record)


def make_entries(runs: Sequence[Run], scorer: Scorer, jobs: int = 1, *, keep: bool = True) -> list[Entry]:
    """Score every run from its predictions, in ``jobs`` processes, and average the seeds of one predictor,
    parameter set and code. A wrong card.json is an error, and so are two runs of one seed of a row.

    With ``keep``, predictions that were scored here before by the same code are not scored again.
    """
    groups: dict[str, dict[int, Run]] = {}
    for run in runs:
        seeds = groups.setdefault(row_of_record(run.record), {})
        other = seeds.setdefault(run.record.seed, run)
        if other is not run:
            raise UsageError(
                f"{other.folder} and {run.folder}: are both seed {run.record.seed} of "
                f"{run.record.predictor.name}; remove one of them"
            )
    ordered = [[seeds[s] for s in sorted(seeds)] for seeds in groups.values()]
    scored = iter(_scored([run for group in ordered for run in group], scorer, jobs, keep))
    cards_of = [[card_of(run.folder) for run in group] for group in ordered]
    records = [group[0].record for group in ordered]
    # What somebody sends does not change what the rows without a card are called.
    own_records = [r for r, cards in zip(records, cards_of, strict=True) if not any(cards)]
    entries = []
    for group, cards in zip(ordered, cards_of, strict=True):
        own = [next(scored) for _ in group]
        entries.append(
            Entry(
                _label(group[0].record, records if any(cards) else own_records),
                tuple(group),
                average([scorer.table_of(found.scores, found.influence) for found in own]),
                weakest([trust_of(run) for run in group]),
                tuple(dict.fromkeys(flag for found in own for flag in found.flags)),
                next((card for card in cards if card), None),
            )
        )
    return entries


def scored_by(entry: Entry, scorer: Scorer, drawn: Dataset, jobs: int = 1, *, keep: bool = True) -> Entry:
    """The same row with the scores of the same samples against the listeners of another scorer, whose prompts
    are some of those of ``drawn``, the data set that its runs are of. Its flags stay."""
    found = _scored(entry.runs, scorer, jobs, keep, drawn)
    return replace(entry, table=average([scorer.table_of(own.scores, own.influence) for own in found]))


def samples_of(run: Run, scorer: Scorer, drawn: Dataset) -> Floats:
    """A run's samples for a scorer's prompts, (P, n, 2) dB; ``drawn`` is the data set that the run is of."""
    place = {prompt_id: i for i, prompt_id in enumerate(drawn.test_ids)}
    samples: Floats = run.samples(drawn.test_ids, drawn.space)
    return samples[[place[p] for p in scorer.prompt_ids]]


def _scored(
    runs: Sequence[Run], scorer: Scorer, jobs: int, keep: bool, drawn: Dataset | None = None
) -> list[Numbers]:
    """Scores of runs: kept ones read here (sending them from a process takes longer), others computed."""
    places = [kept_scores.place_of(run.predictions_sha256(), scorer) if keep else None for run in runs]
    kept = [place and kept_scores.read(place, scorer, NUMBERS) for place in places]
    tasks = [(run, place) for run, place, found in zip(runs, places, kept, strict=True) if not found]
    shared = (scorer, drawn or scorer.dataset)
    computed = iter(parallel_map(_score_one, tasks, jobs, shared, what="scoring runs"))
    return [found or next(computed) for found in kept]


def _score_one(run: Run, place: Path | None, scorer: Scorer, drawn: Dataset) -> Numbers:
    """The scores of a run, also written to a place if there is one."""
    samples = samples_of(run, scorer, drawn)
    table = scorer.score(samples)
    numbers = {name: table.scores(name) for name in NUMBERS}
    scored = Numbers(numbers, table.influence, signs(samples, table, scorer))
    if place is not None:
        kept_scores.write(place, scored)
    return scored


def parameters_text(record: RunRecord) -> str:
    """Parameters as ``name=value`` words, files and folders by their last names."""
    return ", ".join(f"{k}={without_folders(v)}" for k, v in record.predictor.parameters.items())


def _label(record: RunRecord, records: Sequence[RunRecord]) -> str:
    """The predictor's name, with what is different where several of the rows have the same name."""
    name, values = record.predictor.name, record.predictor.parameters
    same = [r for r in records if r.predictor.name == name]
    if len(same) == 1:
        return name
    details = [
        f"{k}={without_folders(v)}"
        for k, v in values.items()
        if any(r.predictor.parameters.get(k) != v for r in same)
    ]
    equal = [r for r in same if r.predictor.parameters == values]
    if len(equal) > 1:
        details += _differences(record, equal)
    return f"{name} ({', '.join(details or [record.predictor.source])})"


def _differences(record: RunRecord, equal: Sequence[RunRecord]) -> list[str]:
    """In what a record differs from others of the same parameters: version, model or code."""
    own, others = record.predictor, [r.predictor for r in equal]
    details = [own.source] if len({p.source for p in others}) > 1 else []
    if len({json.dumps(p.identity, sort_keys=True) for p in others}) > 1:
        named = [f"{k} {v.removeprefix('sha256:')[:8]}" for k, v in own.identity.items()]
        details += named or ["model not known"]
    if len({r.answered_by for r in equal}) > 1:
        details.append(record.answered_by or "not known who answered")
    if len({p.code.sha256 + p.code.popeq if p.code else "" for p in others}) > 1:
        code = own.code
        details.append(f"code {code.sha256[:8]}, popeq {code.popeq}" if code else "code not known")
    return details
