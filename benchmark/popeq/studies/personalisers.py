"""How a population's prediction is changed by what is known of one person: moved, and narrowed.

Every method gives a shift and a factor for each axis: a sample s of the population of a prompt becomes
``centre + shift + factor (s - centre)``. Without any known answer all of them leave the population as it is.
What a method has to know of how people differ is estimated on other people than the one it predicts. Offsets
are always from the mean of the other listeners' answers to the same prompt, never from the population that is
changed: a run's error, which all people share, is not what people differ in.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from popeq.errors import UsageError
from popeq.installing import install_hint
from popeq.typing import Floats, Ints

#: Standard errors that people's common variance must be above 0: the one-sided 5 % level.
_SHOWN = 1.645
#: Variance of the strength with which the search for the mixed model's variances begins.
_START = 0.1


class Known(NamedTuple):
    """What is known of T people: the ``centre`` (T, 2) of the population of the prompt that is predicted, and
    of k prompts that the person answered the means of the other listeners' answers, ``centres`` (T, k, 2),
    and the ``offsets`` (T, k, 2) of the person's answers from them; all in dB."""

    centre: Floats
    centres: Floats
    offsets: Floats


class Change(NamedTuple):
    """``shift`` (T, 2), dB, and ``factor`` (T, 2), a ratio of standard deviations, for each axis."""

    shift: Floats
    factor: Floats


class Others(NamedTuple):
    """What other people answered, N answers: the means of the others' answers to the same prompt, ``centres``
    (N, 2), ``offsets`` (N, 2) of the answers from them, both dB, and ``person`` (N,)."""

    centres: Floats
    offsets: Floats
    person: Ints


Method = Callable[[Known], Change]


class Spread(NamedTuple):
    """Second moments about zero of offsets for each axis, dB^2: ``total`` (2,) of one answer, and ``common``
    (2,) of two answers of one person, which is what the person has in all answers.

    Offsets are from the mean of n others with the same variance, so ``total`` is 1 + 1 / n times that of an
    answer: the weight allows for the noise of the mean.
    """

    total: Floats
    common: Floats

    def weight(self, k: int) -> Floats:
        """The share (2,) of the mean of k offsets that is expected again: k / (k + own / common)."""
        own = self.total - self.common
        return np.divide(
            k * self.common, k * self.common + own, out=np.zeros(2), where=k * self.common + own > 0.0
        )


def spread_of(offsets: Floats, person: Ints) -> Spread:
    """The spread of offsets (N, 2), dB, of people (N,), without bias whatever number each one answered.

    Notes
    -----
    ``common`` is the mean product of all pairs of answers that one person gave to two prompts: the method of
    moments for crossed random effects (Gao & Owen 2017), by sums over people; at most ``total``. The other
    people of the mean differ too, which makes it larger by the part 1 / (people - 1) where everybody answers.
    It is 0 on an axis where people do not show at the 5 % level (one-sided) that they differ: without a
    difference the products have the mean 0 and, but for the noise of the mean, are not correlated, so that
    the variance of their sum is the sum of their squares.
    """
    people = int(person.max()) + 1
    count = np.bincount(person, minlength=people)
    sums = np.stack([np.bincount(person, axis, people) for axis in offsets.T], axis=1)
    total = np.square(offsets).mean(axis=0)
    pairs = float((count * (count - 1.0)).sum())
    if not pairs:
        return Spread(total, np.zeros(2))
    common = (np.square(sums).sum(axis=0) - np.square(offsets).sum(axis=0)) / pairs
    squares = np.stack([np.bincount(person, axis, people) for axis in np.square(offsets).T], axis=1)
    error = np.sqrt(2.0 * (np.square(squares).sum(axis=0) - (offsets**4).sum(axis=0))) / pairs
    return Spread(total, np.where(common > _SHOWN * error, np.minimum(common, total), 0.0))


def moved(others: Others) -> Method:
    """The population moved by the mean offset of the person's known answers, shrunk to zero.

    Empirical Bayes, each axis by itself: k / (k + own / common) of the mean, with the ``Spread`` of others.
    """
    spread = spread_of(others.offsets, others.person)

    def change(known: Known) -> Change:
        k = known.offsets.shape[1]
        shift = spread.weight(k) * known.offsets.mean(axis=1) if k else np.zeros_like(known.centre)
        return Change(shift, np.ones_like(shift))

    return change


def moved_and_narrowed(others: Others) -> Method:
    """As ``moved``, and narrowed by what is known then: an answer's variance about the others' mean is
    ``total``, about the moved one ``total - weight common``."""
    spread, move = spread_of(others.offsets, others.person), moved(others)

    def change(known: Known) -> Change:
        shift, ones = move(known)
        explained = spread.weight(known.offsets.shape[1]) * spread.common
        left = np.divide(explained, spread.total, out=np.zeros(2), where=spread.total > 0.0)
        return Change(shift, ones * np.sqrt(1.0 - left))

    return change


@dataclass(frozen=True, eq=False)
class MixedModel:
    """A linear mixed model of offsets in units of ``scale`` (2,), dB: each person has an offset on x and on y
    and, with q = 3 effects, a strength that multiplies the population's centre, counted from ``origin`` (2,)
    dB. ``effects`` (q, q) are their second moments about zero, ``residual`` is the variance of one answer."""

    scale: Floats
    origin: Floats
    effects: Floats
    residual: float

    def design(self, centres: Floats) -> Floats:
        """The effects' factors (..., 2, q) at centres (..., 2), dB."""
        rows = np.zeros((*centres.shape, len(self.effects)))
        rows[..., 0, 0] = rows[..., 1, 1] = 1.0
        if len(self.effects) > 2:
            rows[..., 2] = (centres - self.origin) / self.scale
        return rows

    def __call__(self, known: Known) -> Change:
        """The shift (dB) by the best linear prediction of the person's effects, and the factor by what is
        left of their variance; shapes as in ``Change``."""
        people, k, q = len(known.centre), known.offsets.shape[1], len(self.effects)
        rows = self.design(known.centres).reshape(people, 2 * k, q)
        values = (known.offsets / self.scale).reshape(people, 2 * k, 1)
        across = rows.transpose(0, 2, 1)
        system = self.residual * np.eye(q) + self.effects @ (across @ rows)
        solved = np.linalg.solve(
            system,
            self.effects
            @ np.concatenate(
                [across @ values, np.broadcast_to(self.residual * np.eye(q), (people, q, q))], axis=2
            ),
        )
        at = self.design(known.centre)
        shift = (at @ solved[:, :, :1])[..., 0] * self.scale
        before = np.einsum("tai,ij,taj->ta", at, self.effects, at) + self.residual
        after = np.einsum("tai,tij,taj->ta", at, solved[:, :, 1:], at) + self.residual
        return Change(shift, np.sqrt(after / before))


def mixed(others: Others, *, strength: bool) -> MixedModel:
    """The mixed model of other people's offsets, its variances by REML (statsmodels ``MixedLM``).

    Fixed effects are fitted and not used: what all people have in common is no worth of a person. Where REML
    has no solution, the variances are those of ``spread_of``.
    """
    spread = spread_of(others.offsets, others.person)
    scale = np.sqrt(np.where(spread.total > 0.0, spread.total, 1.0))
    start = np.diag([*(spread.common / scale**2), *([_START] if strength else [])])
    start[:2, :2] = np.maximum(start[:2, :2], 1e-3 * np.eye(2))
    origin = others.centres.mean(axis=0)
    model = MixedModel(scale, origin, start, 1.0)
    effects, residual = _reml(
        (others.offsets / scale).ravel(),
        model.design(others.centres).reshape(-1, len(start)),
        np.repeat(others.person, 2),
        start,
    )
    return replace(model, effects=effects, residual=residual)


def _reml(values: Floats, rows: Floats, person: Ints, start: Floats) -> tuple[Floats, float]:
    """Covariance (q, q) of the random effects of rows (n, q), and the residual variance."""
    from statsmodels.regression.mixed_linear_model import MixedLM, MixedLMParams

    begin = MixedLMParams.from_components(fe_params=np.zeros(len(start)), cov_re=start)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")  # of variances at their bound 0, which is an answer here
            found = MixedLM(values, rows, person, exog_re=rows).fit(
                reml=True, method="lbfgs", start_params=begin
            )
        effects, residual = np.asarray(found.cov_re), float(found.scale)
    except np.linalg.LinAlgError:
        effects, residual = start, np.nan
    if not (np.isfinite(effects).all() and residual > 0.0):
        level = np.array(start)
        level[2:, 2:] = 0.0
        return level, float(max(1.0 - np.diag(level)[:2].mean(), 1e-6))
    return effects, residual


def check_statsmodels() -> None:
    """Raise UsageError if statsmodels is not installed."""
    try:
        import statsmodels.regression.mixed_linear_model  # noqa: F401
    except ImportError:
        raise UsageError(f"popeq personal needs statsmodels{install_hint('studies')}") from None


#: Every method by its name in tables: made from what others answered.
METHODS: dict[str, Callable[[Others], Method]] = {
    "moved": moved,
    "moved, narrowed": moved_and_narrowed,
    "mixed model": lambda others: mixed(others, strength=False),
    "mixed, strength": lambda others: mixed(others, strength=True),
}
