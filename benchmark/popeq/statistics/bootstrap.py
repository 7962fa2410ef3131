"""How far a score could have moved with other prompts and other listeners: the crossed bootstrap."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Replicates:
    """B draws of prompts and listeners, made once so that all methods are judged on the same ones.

    ``prompts`` (B, P) holds the indices of the prompts that each replicate drew, with repetition.
    ``weights[p]`` (B, m_p) holds the weights of the listeners of prompt p; each row adds up to 1.
    """

    prompts: NDArray[np.intp]
    weights: tuple[Floats, ...]

    @cached_property
    def places(self) -> NDArray[np.intp]:
        """Where the drawn prompts (B, P) stand in a flat array (P, B) of each prompt's replicates."""
        count = len(self.prompts)
        return self.prompts * count + np.arange(count)[:, None]


def crossed_weights(
    listeners: Sequence[Sequence[str]], replicates: int, rng: np.random.Generator
) -> Replicates:
    """Draw prompts with replacement, and listeners by weight, independently of each other.

    Parameters
    ----------
    listeners
        ``listeners[p]`` names who answered prompt p, in the order of its responses. One name is one person
        in all prompts: it gets one weight in a replicate, wherever it stands.
    replicates
        B, at least 1.

    Raises
    ------
    ValueError
        If there are no prompts, or one has no listeners, or ``replicates`` is less than 1.

    Notes
    -----
    Resampling both factors: pigeonhole bootstrap, Owen 2007; Owen & Eckles 2012 for weights. Weights are
    Gamma and normalised inside a prompt, the Bayesian bootstrap (Rubin 1981) with the shape (m - 2) / m in
    place of 1, m being the median panel: then the variance over listeners is unbiased, where Rubin's is low
    by (m - 1) / (m + 1). Panels of two or fewer keep the shape 1.
    """
    if replicates < 1 or not len(listeners) or not all(len(answered) for answered in listeners):
        raise ValueError("need at least one replicate, one prompt, and one listener for every prompt")
    # Sorted, so that a listener's weights do not depend on the order of the prompts.
    column = {name: i for i, name in enumerate(sorted({name for answered in listeners for name in answered}))}
    prompts = rng.integers(len(listeners), size=(replicates, len(listeners)))
    panel = float(np.median([len(answered) for answered in listeners]))
    shape = (panel - 2.0) / panel if panel > 2.0 else 1.0
    raw = rng.standard_gamma(shape, (replicates, len(column)))
    weights = []
    for answered in listeners:
        own = raw[:, [column[name] for name in answered]]
        weights.append(own / own.sum(axis=1, keepdims=True))
    return Replicates(prompts, tuple(weights))


def replicate_scores(
    scores: ArrayLike, influence: Sequence[ArrayLike] | None, replicates: Replicates
) -> Floats:
    """Scores of the drawn prompts with the drawn listener weights, to first order.

    Parameters
    ----------
    scores : (P,)
        Score of each prompt with equal listener weights, any unit.
    influence
        ``influence[p]`` (m_p,): derivative of the score of prompt p with respect to the weight of each
        listener, same unit. None: the listeners are taken as fixed.

    Returns
    -------
    (B, P)
        ``scores[p] + sum_j (w_j - 1 / m_p) influence[p][j]`` for each drawn prompt p.

    Raises
    ------
    ValueError
        If shapes do not fit the replicates, or a number is not finite.
    """
    own = np.asarray(scores, dtype=np.float64)
    count = replicates.prompts.shape[1]
    if own.shape != (count,) or not np.isfinite(own).all():
        raise ValueError(f"scores must be {count} finite numbers, one a prompt; shape {own.shape}")
    if influence is None:
        return own[replicates.prompts]
    if len(influence) != count:
        raise ValueError(f"influence must have {count} entries, one a prompt, not {len(influence)}")
    # The weights of a row add up to 1, so centring the influence is subtracting 1 / m from each.
    moved = np.empty(replicates.prompts.shape[::-1])
    centred = _centred(influence, replicates.weights)
    for weights, values, drawn in zip(replicates.weights, centred, moved, strict=True):
        np.matmul(weights, values, out=drawn)
    moved += own[:, None]
    return moved.ravel().take(replicates.places)


def _centred(influence: Sequence[ArrayLike], weights: Sequence[Floats]) -> list[Floats]:
    """The influence of each prompt's listeners less its mean; ValueError if it does not fit their weights."""
    given = [np.asarray(effect, dtype=np.float64) for effect in influence]
    # All are looked at in one call: one for each prompt takes as long as the bootstrap itself.
    finite = bool(np.isfinite(np.concatenate([values.ravel() for values in given])).all())
    for p, (values, own) in enumerate(zip(given, weights, strict=True)):
        if values.shape != own.shape[1:] or not (finite or np.isfinite(values).all()):
            raise ValueError(
                f"influence of prompt {p} must be {own.shape[1]} finite numbers; shape {values.shape}"
            )
    return [values - values.sum() / len(values) for values in given]


def interval(values: ArrayLike, level: float = 0.95) -> tuple[float, float]:
    """Percentile interval of bootstrap values (B,), in their unit (Efron & Tibshirani 1993, chapter 13).

    Raises ValueError if there are no values, they are not 1-D, or the level is not inside (0, 1).
    """
    replicated = np.asarray(values, dtype=np.float64)
    if replicated.ndim != 1 or not len(replicated) or not 0.0 < level < 1.0:
        raise ValueError(f"need (B,) values and a level in (0, 1); got {replicated.shape}, {level}")
    low, high = np.quantile(replicated, [(1.0 - level) / 2.0, (1.0 + level) / 2.0])
    return float(low), float(high)


def score_interval(
    scores: ArrayLike,
    influence: Sequence[ArrayLike] | None,
    replicates: Replicates,
    statistic: Callable[..., Any] = np.median,
    level: float = 0.95,
) -> tuple[float, float, float]:
    """A summary over prompts and its interval over prompts and listeners: (estimate, low, high).

    Parameters and errors as for ``replicate_scores`` and ``interval``; ``statistic`` takes an array and
    ``axis``, as ``np.median`` and ``np.mean`` do.
    """
    drawn = replicate_scores(scores, influence, replicates)
    low, high = interval(statistic(drawn, axis=-1), level)
    return float(statistic(np.asarray(scores, dtype=np.float64), axis=-1)), low, high
