"""The mean of scores over prompts with its uncertainty over prompts and over listeners."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import stdtr, stdtrit

from popeq.typing import Floats

#: With fewer prompts nothing is concluded: intervals are infinite and there is no p.
LEAST_PROMPTS = 6


@dataclass(frozen=True)
class MeanEstimate:
    """A mean over prompts with its uncertainty.

    ``value`` and the standard error ``se`` are in the scores' unit, ``df`` are the degrees of freedom of
    Student's t, ``sd`` is the standard deviation over prompts and ``se_people`` the part of ``se`` that comes
    from who was asked, which more prompts do not make smaller. With fewer than ``LEAST_PROMPTS`` prompts, or
    one listener for all of them, ``df`` is 0 and nothing is concluded.
    """

    value: float
    se: float
    df: float
    sd: float
    se_people: float = 0.0

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The confidence interval (low, high), symmetric; infinite if ``df`` is 0.

        Raises ValueError if the level is not inside (0, 1).
        """
        if not 0.0 < level < 1.0:
            raise ValueError(f"level must be between 0 and 1, not {level}")
        if not self.df:
            return -math.inf, math.inf
        reach = self.se * float(stdtrit(self.df, (1.0 + level) / 2.0))
        return self.value - reach, self.value + reach

    @property
    def p_value(self) -> float:
        """Two-sided p of the hypothesis that the true mean is 0; NaN if ``df`` is 0."""
        return float(two_sided_p(np.array([self.value]), np.array([self.se]), np.array([self.df]))[0])

    @property
    def effect_size(self) -> float:
        """The mean in standard deviations over prompts (Cohen's d of paired differences); 0 if all are 0."""
        if self.sd > 0.0:
            return self.value / self.sd
        return math.copysign(math.inf, self.value) if self.value else 0.0

    def detectable(self, alpha: float = 0.05, power: float = 0.8) -> float:
        """The least true mean that a two-sided test at ``alpha`` finds with about this power, in the scores'
        unit: ``(t[1 - alpha / 2] + t[power]) se``; infinite if ``df`` is 0.

        Raises ValueError if alpha or power is not inside (0, 1).
        """
        if not (0.0 < alpha < 1.0 and 0.0 < power < 1.0):
            raise ValueError(f"alpha and power must be inside (0, 1), not {alpha}, {power}")
        if not self.df:
            return math.inf
        return self.se * max(float(stdtrit(self.df, 1.0 - alpha / 2.0) + stdtrit(self.df, power)), 0.0)


class Panels:
    """Who answered which prompt: what the uncertainty of means over these prompts depends on.

    Parameters
    ----------
    listeners
        ``listeners[p]`` names who answered prompt p, in the order of its responses. One name is one person in
        all prompts.

    Raises
    ------
    ValueError
        If there are no prompts, or one has no listeners.
    """

    def __init__(self, listeners: Sequence[Sequence[str]]) -> None:
        if not len(listeners) or not all(len(own) for own in listeners):
            raise ValueError("need at least one prompt, and one listener for every prompt")
        self.sizes = np.array([len(own) for own in listeners])
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)[:-1]])
        names = np.array([name for own in listeners for name in own], dtype=object)
        people, who = np.unique(names, return_inverse=True)
        #: Answers sorted by listener, and where each listener's begin.
        self.by_listener = np.argsort(who, kind="stable")
        self.listener_starts = np.flatnonzero(np.diff(who[self.by_listener], prepend=-1))
        self.prompts, self.people = len(listeners), len(people)
        # Of how many prompts a person's part is made, as a mean over answers.
        counts = np.bincount(who)
        self.answered = float(np.square(counts).sum() / counts.sum())
        self.people_factor = _people_factor(self.sizes, who, self.prompts)
        # A weight of 1/m moves a prompt's score by influence / m, the mean of all prompts by 1/P of that. The
        # influences of a prompt are centred, which takes 1/m of their variance away.
        each = 1.0 / (self.sizes * self.prompts) * np.sqrt(self.sizes / np.maximum(self.sizes - 1.0, 1.0))
        self._scale = np.repeat(each, self.sizes)

    def contributions(self, influence: Sequence[ArrayLike]) -> Floats:
        """What each answer adds to the mean over prompts, (A,) with the answers of prompt 0 first.

        Parameters
        ----------
        influence
            ``influence[p]`` (m_p,): derivative of the score of prompt p with respect to the weight of each of
            its listeners, in the scores' unit.

        Raises
        ------
        ValueError
            If the influences do not fit the listeners, or one is not finite.
        """
        given = [np.asarray(own, dtype=np.float64) for own in influence]
        if [own.shape for own in given] != [(m,) for m in self.sizes.tolist()]:
            raise ValueError("influence must have one number for each listener of each prompt")
        values = np.concatenate(given)
        if not np.isfinite(values).all():
            raise ValueError("influence must be finite")
        means = np.add.reduceat(values, self.starts) / self.sizes
        return np.asarray((values - np.repeat(means, self.sizes)) * self._scale)

    def totals(self, contributions: Floats) -> Floats:
        """What each person adds to the mean (..., people), from what each answer adds (..., A)."""
        ordered = np.take(contributions, self.by_listener, axis=-1)
        return np.asarray(np.add.reduceat(ordered, self.listener_starts, axis=-1))


def _people_factor(sizes: NDArray[np.int64], who: NDArray[np.intp], prompts: int) -> float:
    """What ``V_people - V_answers`` has to be multiplied by to estimate what the mean varies by person.

    Influences are centred inside a prompt. Where the same people answer all prompts, what they share is then
    missing from the variance over prompts, which is a share 1 / P; where panels differ, each is centred at
    another mean, which takes from the products of a person's influences on two prompts. On top of that comes
    L / (L - 1) for L people, as a jackknife over people has it: with few and unlike people an unbiased
    variance covers too rarely (MacKinnon, Nielsen & Webb 2023).
    """
    asked = np.zeros((prompts, int(who.max()) + 1))
    asked[np.repeat(np.arange(prompts), sizes), who] = 1.0
    common = asked @ asked.T
    np.fill_diagonal(common, 0.0)
    if not common.any() or np.median(sizes) < 2:
        return 1.0
    shared = float(np.square(common).sum() / common.sum())
    m, people = float(np.median(sizes)), asked.shape[1]
    unbiased = prompts / (prompts - 1.0) * (1.0 - 1.0 / m) / (1.0 - 2.0 / m + min(shared / m**2, 1.0 / m))
    return unbiased * people / (people - 1.0)


class Errors(NamedTuple):
    """Standard errors of means over prompts ``se`` with their degrees of freedom ``df``, standard deviations
    over prompts ``sd``, and the part of ``se`` that comes from people ``se_people``; (k,) each."""

    se: Floats
    df: Floats
    sd: Floats
    se_people: Floats


def standard_errors(scores: Floats, answers: Floats | None, panels: Panels) -> Errors:
    """Standard errors of the means over prompts of k rows of scores (k, P), in the scores' unit.

    Parameters
    ----------
    answers : (k, A), optional
        ``Panels.contributions`` of each row. None: the listeners are taken as given.

    Notes
    -----
    ``V = V_prompts + max(V_people - V_answers, 0)``: the variance of a mean that varies by two crossed
    factors, each term a sum of squares over its groups (Cameron, Gelbach & Miller 2011). What an answer has
    of its own is in ``V_prompts`` already, hence the last term; ``_people_factor`` scales the second term.
    Where each prompt has listeners of its own, ``V_people`` is ``V_answers`` and ``V`` is that of the paired
    t-test. The degrees of freedom are Satterthwaite's (1946), with one less than the people for
    ``V_people`` and one less than the prompts for ``V_prompts``; never more than either, nor less than the
    fewer of them by two, which covers better in simulations; 0 if nothing is concluded.
    """
    prompts = scores.shape[-1]
    sd = np.std(scores, axis=-1, ddof=1) if prompts > 1 else np.full(scores.shape[:-1], np.nan)
    own = np.square(sd) / prompts
    people, all_people = np.zeros(own.shape), np.zeros(own.shape)
    most = prompts - 1.0
    if answers is not None:
        all_people = np.square(panels.totals(answers)).sum(axis=-1)
        people = panels.people_factor * np.maximum(all_people - np.square(answers).sum(axis=-1), 0.0)
        most = min(most, panels.people - 1.0)
    variance = own + people
    df = np.zeros(own.shape)
    if prompts >= LEAST_PROMPTS and most > 0.0:
        varied = panels.people_factor * all_people * np.sqrt(1.0 - 1.0 / panels.answered)
        df = satterthwaite(variance, own, prompts, varied, panels.people, most)
    return Errors(np.sqrt(variance), df, sd, np.sqrt(people))


def satterthwaite(
    variance: Floats, own: Floats, prompts: int, of_people: Floats, people: int, most: float
) -> Floats:
    """Degrees of freedom (k,) of a ``variance`` (k,), in the scores' unit squared, that comes from ``own``,
    over prompts, and ``of_people``, over people; at most ``most``, and at least two less."""
    spread = np.square(own) / (prompts - 1.0) + np.square(of_people) / max(people - 1.0, 1.0)
    df = np.divide(np.square(variance), spread, out=np.full(np.shape(own), most), where=spread > 0.0)
    return np.asarray(np.clip(df, max(most - 2.0, 1.0), most))


def two_sided_p(values: Floats, se: Floats, df: Floats) -> Floats:
    """Two-sided p of means (k,) with standard errors and degrees of freedom (k,), by Student's t.

    1 where mean and error are 0, NaN without degrees of freedom.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        t = np.where(values == 0.0, 0.0, np.abs(values) / se)
    return np.where(df > 0.0, 2.0 * stdtr(np.where(df > 0.0, df, 1.0), -t), np.nan)


def mean_inference(scores: ArrayLike, influence: Sequence[ArrayLike] | None, panels: Panels) -> MeanEstimate:
    """The mean over prompts of scores, or of paired differences of scores, with its uncertainty over prompts
    and listeners.

    Parameters
    ----------
    scores : (P,)
        One number for each prompt, any unit. They are rounded to 1e-9 first: the same score added up in
        another order differs by 1e-16.
    influence
        ``influence[p]`` (m_p,): derivative of the number of prompt p with respect to the weight of each
        listener, same unit. None: the listeners are taken as given, which other listeners may contradict.

    Raises
    ------
    ValueError
        If shapes do not fit the panels, or a number is not finite.

    Notes
    -----
    ``standard_errors`` says what is added up; coverage by simulation is in docs/statistics.md.
    """
    values = rounded(scores)
    if values.shape != (panels.prompts,):
        raise ValueError(f"scores must be {panels.prompts} numbers, one a prompt; shape {values.shape}")
    answers = None if influence is None else panels.contributions(influence)[None]
    errors = standard_errors(values[None], answers, panels)
    se, df, sd, se_people = (float(each[0]) for each in errors)
    return MeanEstimate(float(values.mean()), se, df, sd, se_people)


def rounded(scores: ArrayLike) -> Floats:
    """Scores to 1e-9 of their unit, without negative zeros; ValueError if one is not finite."""
    values = np.asarray(scores, dtype=np.float64)
    if not np.isfinite(values).all():
        raise ValueError("scores must be finite")
    return np.asarray(np.round(values, 9) + 0.0)
