"""Verify a run: its hashes, its predictions, and every score that it or its card states, computed again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from popeq.board.leaks import signs, too_good
from popeq.board.reference_lines import perfect_line
from popeq.board.scoring import PromptTable, Scorer
from popeq.board.trust import card_of, trust_of
from popeq.dataset import Dataset
from popeq.errors import InvalidInputError, PopeqError, Problem
from popeq.metrics import HEADLINE, SCORES
from popeq.runs.card import CARD, Card, Trust
from popeq.runs.folder import RECORD, Run
from popeq.runs.plain_folder import odd_files
from popeq.runs.record import RunRecord
from popeq.runs.submission import SOURCE, odd_name, wrong_name
from popeq.typing import Floats

#: A stated score may differ from the recomputed one by the rounding to two decimals.
TOLERANCE_DB = 0.005 + 1e-9


@dataclass(frozen=True, eq=False)
class Verification:
    """What was found in a run: ``problems`` make it invalid, ``flags`` are for a person to look at; the
    scores are there if the predictions could be scored."""

    problems: tuple[Problem, ...]
    flags: tuple[str, ...] = ()
    trust: Trust = "scored"
    scores: Mapping[str, float] = field(default_factory=dict)


def examine(run: Run, scorer: Scorer | Dataset) -> Verification:
    """Everything that is wrong with a run, and with its scores, the label of trust and flags if nothing is.

    ``scorer`` says what to score it with, or the data set, with which the run's own protocol is used.
    """
    if isinstance(scorer, Dataset):
        scorer = Scorer(scorer, run.record.protocol)
    problems, samples, card = sound_samples(run, scorer)
    trust = trust_of(run)
    if samples is None:
        return Verification(tuple(problems), trust=trust)
    table = scorer.score(samples)
    scores = summary(table)
    flags = too_good(scores[f"{HEADLINE}_mean"], perfect_line(scorer)) + signs(samples, table, scorer)
    claimed = card.claim.scores if card and card.claim else {}
    wrong = [
        Problem(CARD, f"claims {value:g}, the predictions give {scores[name]:.4f}", None, name)
        for name, value in claimed.items()
        if abs(value - scores[name]) > TOLERANCE_DB
    ]
    return Verification(tuple(wrong), tuple(flags), trust, scores)


def sound_samples(run: Run, scorer: Scorer) -> tuple[list[Problem], Floats | None, Card | None]:
    """What is wrong with a run before anything is scored; its samples (prompts, n, 2), dB, if nothing is; and
    its card, if there is one."""
    if problems := odd_files(run.folder):
        return problems, None, None
    # How much there is to read is known once the run is of this protocol and data set.
    fitting = _fits(run, scorer)
    problems, card = _record_and_card(run, read=not fitting)
    if problems or fitting:
        return [*problems, *fitting], None, card
    try:
        return [], run.samples(scorer.dataset.test_ids, scorer.dataset.space), card
    except InvalidInputError as error:
        return list(error.problems), None, card
    except PopeqError as error:
        return [Problem(run.predictions_file.name, str(error))], None, card


def summary(table: PromptTable) -> dict[str, float]:
    """Median and mean of every score over prompts, dB, by the board's column names."""
    return {
        f"{name}_{label}": float(statistic(table.scores(name)))
        for name in SCORES
        for label, statistic in (("median", np.median), ("mean", np.mean))
    }


def _record_and_card(run: Run, *, read: bool) -> tuple[list[Problem], Card | None]:
    """What is wrong with the record, the card and, if they are to be ``read``, the predictions; and the card,
    if there is one."""
    record, problems, card = run.record, [], None
    if record.status != "complete":
        done = f"{record.prompts_done} of {record.prompts} prompts"
        problems.append(Problem(RECORD, f"the run is {record.status} ({done})", None, "status"))
    elif not record.predictions_sha256:
        problems.append(Problem(RECORD, "is missing", None, "predictions_sha256"))
    elif read:
        problems += _file_hash(run)
    if record.expected_key != record.key:
        problems.append(Problem(RECORD, "is not the SHA-256 of what the record says was run", None, "key"))
    if record.origin == "submitted":
        problems += _sent(record)
    try:
        card = card_of(run.folder)
    except InvalidInputError as error:
        problems += error.problems
    except PopeqError as error:
        problems.append(Problem(CARD, str(error)))
    if card and record.origin == "drawn" and (wrong := odd_name(record.predictor.name)):
        problems.append(Problem(RECORD, wrong, None, "predictor.name"))
    return problems, card


def _sent(record: RunRecord) -> list[Problem]:
    """Whether a record of sent predictions says no more of a predictor than its name."""
    made = record.predictor
    checks = {
        "name": wrong_name(made.name),
        "source": "" if made.source == SOURCE else f"is {SOURCE!r} where predictions were sent",
        "parameters": "must be empty where predictions were sent" if made.parameters else "",
        "code": "must be null where predictions were sent" if made.code or made.identity else "",
    }
    return [
        Problem(RECORD, message, None, f"predictor.{field}") for field, message in checks.items() if message
    ]


def _file_hash(run: Run) -> list[Problem]:
    file, stated = run.predictions_file.name, str(run.record.predictions_sha256)
    try:
        found = hashlib.sha256(run.content()).hexdigest()
    except PopeqError as error:
        return [Problem(file, str(error))]
    message = f"its text's SHA-256 is {found[:12]}..., {RECORD} says {stated[:12]}..."
    return [Problem(file, message)] if found != stated else []


def _fits(run: Run, scorer: Scorer) -> list[Problem]:
    """Whether the run is of this data set revision, with its count of prompts."""
    record, dataset = run.record, scorer.dataset
    own, prompts = record.dataset, len(dataset.test_ids)
    moved = own.revision != dataset.revision
    checks = {
        "dataset.name": (own.name != dataset.name, f"is {own.name!r}, not {dataset.name!r}"),
        "dataset.revision": (
            moved,
            f"is {own.revision[:12]}, the data set's is {dataset.revision[:12]}",
        ),
        "prompts": (
            not moved and record.prompts != prompts,
            f"is {record.prompts}, the data set has {prompts} to predict",
        ),
        "dataset.simulated": (
            own.simulated != dataset.card.simulated,
            f"says {own.simulated}, the data set {dataset.card.simulated}",
        ),
        "protocol": (record.protocol != scorer.protocol, f"is not {scorer.protocol.label}"),
    }
    return [Problem(RECORD, message, None, field) for field, (wrong, message) in checks.items() if wrong]
