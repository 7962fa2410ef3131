"""Signs that a predictor has seen the test answers: copied points, another panel's scores, too good a mean.

Each is held against what an honest predictor can do; a flag is for a person to look at (docs/boards.md).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.stats import ttest_1samp

from popeq.board.differences import Scores
from popeq.board.reference_lines import training_responses
from popeq.board.scoring import PromptTable, Scorer
from popeq.metrics import HEADLINE, Target
from popeq.typing import Floats

#: A row is flagged from this p-value on: of 100 honest rows, 1 % of boards at most flag one (Bonferroni).
ALPHA = 1e-4
#: Two points nearer than this on both axes are the same: predictions are stored to 0.01 dB.
SAME_DB = 0.00501
#: How near to an answer a sample counts as a copy of it, dB; the first is for exact copies.
RADII_DB = (SAME_DB, 0.1, 0.3)
#: How much likelier than a comparable place a listener's own answer may be for an honest predictor.
ODDS = 1.5
#: Comparable places for each answer at most; none is farther away than the spread of the prompt's answers.
MOST_PLACES = 8
#: A leak moves the difference between panels by more than this, dB; other people of one population do not.
PANEL_MARGIN_DB = 0.2
#: A mean below this share of the perfect predictor's line cannot be reached without the answers.
LEAST_OF_PERFECT = 0.75


class _Sets(NamedTuple):
    """One prompt and one radius."""

    places: Floats  # (k, 2), dB
    rows: NDArray[np.intp]  # (sets, 1 + MOST_PLACES): an answer, then its comparable places; absent ones -1


def copying_p(samples: Floats, scorer: Scorer) -> float:
    """One-sided p-value that samples (P, n, 2), dB, lie on the very answers of their own prompts.

    Notes
    -----
    Every answer of a test prompt is put in one set with the nearest answers of *other* tested prompts, which
    have the same roundings and habits. Without sight of the answers, the answer is the place of its set with
    most samples near it with odds of at most ``ODDS`` to one against each other place, whatever the
    predictor; so the number of sets in which it is has a Poisson-binomial bound (Rosenbaum's bounds for
    matched sets, Observational Studies, 2002, chapter 4). Samples at an edge or on a training answer of the
    prompt's stage are explained and do not count; answers that are an edge's, or somebody's answer to another
    prompt too, or near the same listener's answer to another prompt, are not used. The smallest p over
    ``RADII_DB`` is multiplied by their number.

    An answer that another stage tests is a training answer of this one, so samples on it do not count. For
    exact copies the other prompts are therefore those of the same stage, or, where a stage tests one prompt
    alone, samples on training answers count after all; for the larger radii samples on a place count nowhere.
    """
    known = _explanations(scorer)
    kept = []
    for points, training in zip(samples, known, strict=True):
        explained = _at_edge(points, scorer)
        if training is not None:
            explained |= np.isfinite(training.query(points, p=np.inf, distance_upper_bound=SAME_DB)[0])
        kept.append(points[~explained])
    smallest = 1.0
    for i, radius in enumerate(RADII_DB):
        observed, chances = 0, []
        for points, sets in zip(kept, _sets(scorer)[i], strict=True):
            if not len(points) or not len(sets.rows):
                continue
            near = _near(cKDTree(points), sets.places, radius)
            counts = np.where(sets.rows >= 0, near[sets.rows], -1)
            most = counts.max(axis=1)
            tied, size = (counts == most[:, None]).sum(axis=1), (counts >= 0).sum(axis=1)
            informative = (most > 0) & (tied < size)
            observed += int((informative & (counts[:, 0] == most)).sum())
            chances.append((ODDS * tied / (ODDS * tied + size - tied))[informative])
        smallest = min(smallest, tail_of_sum(observed, np.concatenate([*chances, np.empty(0)])))
    return min(1.0, len(RADII_DB) * smallest)


def _near(samples: cKDTree, places: Floats, radius: float) -> NDArray[np.intp]:
    """How many samples (k,) lie on places (k, 2), or, for a larger radius, near them and not on them."""
    exact = samples.query_ball_point(places, SAME_DB, p=np.inf, return_length=True)
    if radius == SAME_DB:
        return np.asarray(exact)
    return np.asarray(samples.query_ball_point(places, radius, return_length=True) - exact)


def copied(samples: Floats, scorer: Scorer) -> list[str]:
    """A flag, in words, if samples (P, n, 2), dB, lie on the answers of their own prompts."""
    return _flag(
        copying_p(samples, scorer), "its samples lie on listeners' own answers to the tested prompts"
    )


def _flag(p: float, message: str) -> list[str]:
    return [f"{message} (p = {p:.0e}, see Leaks in docs/boards.md)"] if p <= ALPHA else []


def two_panel_p(row_a: Floats, row_b: Floats, ref_a: Floats, ref_b: Floats) -> float:
    """One-sided p-value that a row knows the tested panel (a) better than another panel (b) of the prompts.

    Parameters
    ----------
    row_a, row_b, ref_a, ref_b
        Scores by prompt (P,), dB, of the row and of the reference on the tested and on the other panel.

    Notes
    -----
    Student's t of ``(row_b - row_a) - (ref_b - ref_a)`` against ``PANEL_MARGIN_DB``: panels of few people
    differ as a whole, more prompts do not average that away, and it touches rows unlike the reference.
    """
    excess = (np.asarray(row_b) - row_a) - (np.asarray(ref_b) - ref_a) - PANEL_MARGIN_DB
    if len(excess) < 2:
        return 1.0
    if not np.ptp(excess):
        return 1.0 if excess[0] <= 0 else 0.0
    return float(ttest_1samp(excess, 0.0, alternative="greater").pvalue)


def other_panel(row_a: Floats, row_b: Floats, ref_a: Floats, ref_b: Floats) -> list[str]:
    """A flag, in words, if a row fits the tested panel far better than the other; scores as two_panel_p."""
    p = two_panel_p(row_a, row_b, ref_a, ref_b)
    return _flag(p, "it fits the tested listeners far better than other listeners")


def signs(samples: Floats, table: PromptTable, scorer: Scorer) -> list[str]:
    """Flags, in words, of one run's samples (P, n, 2), dB, with their scores: points that lie on the answers
    of their own prompts, and a fit to the tested panel that a second panel, if there is one, does not see."""
    found = copied(samples, scorer)
    if scorer.second_panel is None:
        return found
    targets, reference_tested, reference_other = _second_panel(scorer)
    pairs = zip(targets, samples, strict=True)
    other = [t.score_of(t.densities_of(s), s, 0.0).values[HEADLINE] for t, s in pairs]
    return found + other_panel(table.scores(HEADLINE), np.array(other), reference_tested, reference_other)


@lru_cache(maxsize=4)
def _second_panel(scorer: Scorer) -> tuple[tuple[Target, ...], Floats, Floats]:
    """The second panel's listeners, and the reference's scores (P,), dB, on the tested and on that panel."""
    assert scorer.second_panel is not None
    targets = Scorer(scorer.second_panel, scorer.protocol, scorer.prompt_ids).targets
    tested, other = (training_responses(scorer, t).scores[HEADLINE] for t in (scorer.targets, targets))
    return targets, tested, other


def too_good(mean_score: float, perfect: Scores | None) -> list[str]:
    """A flag, in words, if a mean headline score, dB, is far below the perfect predictor's."""
    line = 0.0 if perfect is None else float(np.mean(perfect.values(HEADLINE)[0]))
    if mean_score >= LEAST_OF_PERFECT * line:
        return []
    return [f"its mean ({mean_score:.2f} dB) is far below the perfect predictor's ({line:.2f} dB)"]


def tail_of_sum(observed: int, chances: Floats) -> float:
    """The chance of at least ``observed`` successes in independent trials, of which ``chances`` (k,) are the
    chances of success: the tail of a Poisson-binomial distribution."""
    law = np.ones(1)
    for chance in chances:
        law = np.convolve(law, [1.0 - chance, chance])
    return float(min(1.0, law[observed:].sum()))


def _at_edge(points: Floats, scorer: Scorer) -> NDArray[np.bool_]:
    space = scorer.dataset.space
    return np.asarray(((points <= space.low + SAME_DB) | (points >= space.high - SAME_DB)).any(axis=-1))


@lru_cache(maxsize=4)
def _explanations(scorer: Scorer) -> list[cKDTree | None]:
    """Training and validation answers of each prompt's stage, to search in; None where there are none, and
    where the stage tests one of the prompts alone."""
    found: dict[str, cKDTree | None] = {}
    for stage in scorer.dataset.stages:
        alone = len(set(stage.test) & set(scorer.prompt_ids)) == 1
        ids = [] if alone else [*stage.train, *stage.validation]
        tree = cKDTree(scorer.dataset.pooled(ids)) if ids else None
        found |= dict.fromkeys(stage.test, tree)
    return [found[p] for p in scorer.prompt_ids]


@lru_cache(maxsize=4)
def _sets(scorer: Scorer) -> list[list[_Sets]]:
    """Matched sets by radius and prompt; they depend on the answers alone."""
    answers, prompts = _answers(scorer), range(len(scorer.prompt_ids))
    usable = [_usable(answers, scorer, radius) for radius in RADII_DB]
    return [
        [_matched(answers, good, p, radius) for p in prompts]
        for good, radius in zip(usable, RADII_DB, strict=True)
    ]


class _Answers(NamedTuple):
    """All k tested answers, one after the other."""

    points: Floats  # (k, 2), dB
    prompt: NDArray[np.intp]  # (k,), positions among the tested prompts
    people: NDArray[np.object_]  # (k,)
    spread: Floats  # (P,), of each prompt's answers, dB
    stage: NDArray[np.intp]  # (P,), which stage tests each prompt


def _answers(scorer: Scorer) -> _Answers:
    tested = scorer.dataset.tested(scorer.prompt_ids)
    spread = [np.sqrt(p.responses.var(axis=0, ddof=int(len(p.responses) > 1)).mean()) for p in tested]
    stage_of = {p: i for i, stage in enumerate(scorer.dataset.stages) for p in stage.test}
    return _Answers(
        np.concatenate([p.responses for p in tested]),
        np.repeat(np.arange(len(tested)), [len(p.responses) for p in tested]),
        np.concatenate([np.array(p.listeners, dtype=object) for p in tested]),
        np.array(spread),
        np.array([stage_of[p] for p in scorer.prompt_ids], dtype=np.intp),
    )


def _usable(answers: _Answers, scorer: Scorer, radius: float) -> NDArray[np.bool_]:
    """Used answers (k,): not at an edge, nobody's to another prompt, and not near the same listener's."""
    responses = scorer.dataset.responses
    prompts, people = responses["prompt_id"].to_numpy(), responses["listener_id"].to_numpy()
    tree = cKDTree(responses[["x_db", "y_db"]].to_numpy())
    same = tree.query_ball_point(answers.points, 2 * SAME_DB, p=np.inf)
    near = tree.query_ball_point(answers.points, 2 * radius)
    good = ~_at_edge(answers.points, scorer)
    for i in np.flatnonzero(good):
        own = scorer.prompt_ids[answers.prompt[i]]
        again = people[near[i]] == answers.people[i]
        good[i] = (prompts[same[i]] == own).all() and (prompts[near[i]][again] == own).all()
    return good


def _matched(answers: _Answers, good: NDArray[np.bool_], p: int, radius: float) -> _Sets:
    """The sets of one prompt: each usable answer with the nearest usable ones of other prompts; for exact
    copies those of its own stage, if that tests others."""
    mine = answers.prompt == p
    others = ~mine & (answers.stage[answers.prompt] == answers.stage[p])
    if radius != SAME_DB or not others.any():
        others = ~mine
    own, others = np.flatnonzero(good & mine), np.flatnonzero(good & others)
    rows = np.full((len(own), 1 + MOST_PLACES), -1, dtype=np.intp)
    farthest = float(answers.spread[p])
    for row, i in zip(rows, own, strict=True):
        distance = np.hypot(*(answers.points[others] - answers.points[i]).T)
        right = (distance > 2 * radius) & (distance <= farthest)
        chosen = others[right][np.argsort(distance[right], kind="stable")][:MOST_PLACES]
        row[: 1 + len(chosen)] = [i, *chosen]
    rows = rows[rows[:, 1] >= 0]
    places, compact = np.unique(rows[rows >= 0], return_inverse=True)
    rows[rows >= 0] = compact
    return _Sets(answers.points[places], rows)
