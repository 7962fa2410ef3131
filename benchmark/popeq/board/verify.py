"""Verify a run: its hashes, its predictions, and every score that it or its card states, computed again."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from popeq.board.leaks import signs, too_good
from popeq.board.reference_lines import reference_lines
from popeq.board.scoring import PromptTable, Scorer
from popeq.board.trust import card_of, trust_of
from popeq.dataset import Dataset
from popeq.errors import InvalidInputError, PopeqError, Problem
from popeq.metrics import HEADLINE, SCORES
from popeq.runs.card import CARD, Card, Trust
from popeq.runs.folder import RECORD, Run

#: A stated score may differ from the recomputed one by the rounding to two decimals.
TOLERANCE_DB = 0.005 + 1e-9


@dataclass(frozen=True, eq=False)
class Verification:
    """What was found in a run: ``problems`` make it invalid, ``flags`` are for a person to look at; the
    scores are there if the predictions could be scored."""

    run: Run
    problems: tuple[Problem, ...]
    flags: tuple[str, ...] = ()
    trust: Trust = "scored"
    table: PromptTable | None = None
    scores: Mapping[str, float] = field(default_factory=dict)


def verify_run(run: Run, scorer: Scorer | Dataset | None = None) -> list[Problem]:
    """Everything that is wrong with a run; an empty list if it verifies.

    Parameters
    ----------
    run
        As read from its folder.
    scorer
        What to score it with, or the data set; by default the data set that the run names.
    """
    return list(examine(run, scorer).problems)


def examine(run: Run, scorer: Scorer | Dataset | None = None) -> Verification:
    """``verify_run``, with the scores, the label of trust and the flags."""
    problems, card = _record_and_card(run)
    if scorer is None:
        from popeq.lookup import load_dataset

        try:
            scorer = load_dataset(run.record.dataset.given)
        except PopeqError as error:
            return Verification(run, (*problems, Problem(RECORD, f"its data set cannot be read: {error}")))
    if isinstance(scorer, Dataset):
        scorer = Scorer(scorer, run.record.protocol)
    problems += _fits(run, scorer)
    trust = trust_of(run, card)
    if problems:
        return Verification(run, tuple(problems), trust=trust)
    try:
        samples = run.samples(scorer.dataset.test_ids, scorer.dataset.space)
    except InvalidInputError as error:
        return Verification(run, error.problems, trust=trust)
    except PopeqError as error:
        return Verification(run, (Problem(run.predictions_file.name, str(error)),), trust=trust)
    table = scorer.score(samples)
    scores = summary(table)
    perfect = next((line.scores[HEADLINE] for line in reference_lines(scorer, second=False)), None)
    flags = too_good(scores[f"{HEADLINE}_mean"], perfect) + signs(samples, table, scorer)
    claimed = card.claim.scores if card and card.claim else {}
    wrong = [
        Problem(CARD, f"claims {value:g}, the predictions give {scores[name]:.4f}", None, name)
        for name, value in claimed.items()
        if abs(value - scores[name]) > TOLERANCE_DB
    ]
    return Verification(run, tuple(wrong), tuple(flags), trust, table, scores)


def summary(table: PromptTable) -> dict[str, float]:
    """Median and mean of every score over prompts, dB, by the board's column names."""
    return {
        f"{name}_{label}": float(statistic(table.scores(name)))
        for name in SCORES
        for label, statistic in (("median", np.median), ("mean", np.mean))
    }


def _record_and_card(run: Run) -> tuple[list[Problem], Card | None]:
    """What is wrong with the record, the file of predictions and the card; and the card, if there is one."""
    record, problems, card = run.record, [], None
    if record.status != "complete":
        done = f"{record.prompts_done} of {record.prompts} prompts"
        problems.append(Problem(RECORD, f"the run is {record.status} ({done})", None, "status"))
    elif not record.predictions_sha256:
        problems.append(Problem(RECORD, "is missing", None, "predictions_sha256"))
    else:
        problems += _file_hash(run)
    if record.origin == "drawn" and record.expected_key != record.key:
        problems.append(Problem(RECORD, "is not the SHA-256 of what the record says was run", None, "key"))
    try:
        card = card_of(run.folder)
    except InvalidInputError as error:
        problems += error.problems
    except PopeqError as error:
        problems.append(Problem(CARD, str(error)))
    return problems, card


def _file_hash(run: Run) -> list[Problem]:
    file = run.predictions_file.name
    try:
        found = hashlib.sha256(run.content()).hexdigest()
    except PopeqError as error:
        return [Problem(file, str(error))]
    if found == run.record.predictions_sha256:
        return []
    message = (
        f"its text's SHA-256 is {found[:12]}..., {RECORD} says {str(run.record.predictions_sha256)[:12]}..."
    )
    return [Problem(file, message)]


def _fits(run: Run, scorer: Scorer) -> list[Problem]:
    """Whether the run is of this data set revision, with its count of prompts."""
    own, dataset = run.record.dataset, scorer.dataset
    problems = []
    if own.name != dataset.name:
        problems.append(Problem(RECORD, f"is {own.name!r}, not {dataset.name!r}", None, "dataset.name"))
    if own.revision != dataset.revision:
        message = f"is {own.revision[:12]}, the data set's is {dataset.revision[:12]}"
        problems.append(Problem(RECORD, message, None, "dataset.revision"))
    elif run.record.prompts != len(dataset.test_ids):
        message = f"is {run.record.prompts}, the data set has {len(dataset.test_ids)} to predict"
        problems.append(Problem(RECORD, message, None, "prompts"))
    if own.simulated != dataset.card.simulated:
        message = f"says {own.simulated}, the data set {dataset.card.simulated}"
        problems.append(Problem(RECORD, message, None, "dataset.simulated"))
    if run.record.protocol != scorer.protocol:
        problems.append(Problem(RECORD, f"is not {scorer.protocol.label}", None, "protocol"))
    return problems
