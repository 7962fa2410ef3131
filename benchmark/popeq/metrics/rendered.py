"""``rendered_mmd``, a secondary score: the squared MMD between features of sounds that settings make.

Two reference signals, pink noise and a synthetic track, are known by the energies of their bands. A setting
adds its gain at each band, so no sound is computed. docs/scores.md (Rendered MMD) says how near this is to
LLM2Fx (arXiv 2505.20770), how the constants were chosen and what the score can find.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist

from popeq.eq import HIGH_HZ, LOW_HZ, gain_db
from popeq.metrics._track_levels import TRACK_DB
from popeq.metrics.kde import as_points
from popeq.metrics.scores import _over_prompts
from popeq.space import PLANE, Space
from popeq.typing import Floats

#: Edges (61,) and centres (60,) of the bands, Hz: equally wide in log-frequency, a sixth of an octave.
BAND_EDGES_HZ: Floats = np.geomspace(LOW_HZ, HIGH_HZ, 61)
BAND_CENTRES_HZ: Floats = np.sqrt(BAND_EDGES_HZ[1:] * BAND_EDGES_HZ[:-1])
#: What is measured of each signal, and what is one unit of it for the kernel.
FEATURE_SCALES = {"level_db": 1.0, "centroid_octaves": 1.0, "bandwidth_octaves": 0.5, "flatness_db": 1.0}
#: Rows whose distances are in memory together.
_BLOCK = 1024


def _energies() -> Floats:
    """Share of each band in the energy of pink noise and of the track, (2, 60)."""
    track = 10.0 ** (np.array(TRACK_DB) / 10.0)
    return np.stack([np.full(len(track), 1.0 / len(track)), track / track.sum()])


#: Signals, and the share of each band in their energy, (2, 60).
REFERENCE_SIGNALS = ("pink noise", "synthetic track")
SIGNAL_ENERGIES: Floats = _energies()


def features_of_energies(energies: ArrayLike) -> Floats:
    """Features (..., 4) of band energies (..., 60), in the units that FEATURE_SCALES names.

    Level (dB, of the sum), centroid and bandwidth (the mean and the standard deviation of log-frequency,
    weighted by energy, octaves above 20 Hz), and flatness (geometric over arithmetic mean of the bands, dB).
    """
    e = np.asarray(energies, dtype=np.float64)
    total = e.sum(axis=-1)
    octaves = np.log2(BAND_CENTRES_HZ / LOW_HZ)
    first, second = e @ octaves / total, e @ octaves**2 / total
    flatness = 10.0 * (np.log10(e).mean(axis=-1) - np.log10(e.mean(axis=-1)))
    return np.stack(
        [10.0 * np.log10(total), first, np.sqrt(np.maximum(second - first**2, 0.0)), flatness], axis=-1
    )


def rendered_features(points: ArrayLike, space: Space = PLANE) -> Floats:
    """Features (n, 8) of both signals at settings (n, 2) in dB: what the kernel sees, in FEATURE_SCALES, so
    without a unit."""
    gains = 10.0 ** (gain_db(points, BAND_CENTRES_HZ, space) / 10.0)
    scales = np.array(list(FEATURE_SCALES.values()))
    return np.concatenate([features_of_energies(gains * own) / scales for own in SIGNAL_ENERGIES], axis=-1)


class MeanDiscrepancy(NamedTuple):
    """A squared MMD (``value``), and each listener's ``influence`` (m,) on it, centred, as in
    ``PromptScores``; neither has a unit."""

    value: float
    influence: Floats


class FeatureTarget:
    """One prompt's listeners as points (m, d) of a feature space, m >= 2, with what any number of predictors
    are compared with computed once."""

    def __init__(self, features: Floats) -> None:
        self._features = features
        within = _kernel(cdist(features, features))
        np.fill_diagonal(within, 0.0)
        #: Mean kernel of each listener with the others, (m,).
        self._to_others = within.sum(axis=1) / (len(features) - 1)

    def score_of(self, features: Floats, inner: float) -> MeanDiscrepancy:
        """The squared MMD to points (n, d) whose ``mean_kernel`` is ``inner``, without bias: it can be
        negative, and its mean is 0 where both are draws of one population (Gretton et al. 2012, eq. 3)."""
        to_listeners = np.zeros(len(self._features))
        for block in _blocks(features):
            to_listeners += _kernel(cdist(block, self._features)).sum(axis=0)
        effect = 2.0 * (self._to_others - to_listeners / len(features))
        value = inner + float(effect.mean()) - float(self._to_others.mean())
        return MeanDiscrepancy(value, effect - effect.mean())


class RenderedTarget(FeatureTarget):
    """One prompt's listeners (m, 2), dB, at least two, for ``rendered_mmd`` of any number of predictors."""

    def __init__(self, responses: ArrayLike, space: Space = PLANE) -> None:
        super().__init__(rendered_features(_at_least_two(responses, space, "responses"), space))
        self.space = space

    def score(self, samples: ArrayLike) -> MeanDiscrepancy:
        """``rendered_mmd`` of samples (n, 2), dB, with the listeners' influence."""
        features = rendered_features(_at_least_two(samples, self.space, "samples"), self.space)
        return self.score_of(features, mean_kernel(features))


def rendered_mmd(samples: ArrayLike, responses: ArrayLike, space: Space = PLANE) -> float:
    """Squared MMD between features of two signals rendered at samples and at responses, without bias.

    Parameters
    ----------
    samples : (n, 2)
        The predictor's draws, dB, inside ``space``; at least two.
    responses : (m, 2)
        The listeners' settings, dB, inside ``space``; at least two.

    Raises
    ------
    ValueError
        If either has fewer than two points, is not finite, of another shape or out of the box.

    Notes
    -----
    The kernel is ``exp(-|f - g| / 2)`` of features f and g, as in the published code of LLM2Fx
    (arXiv 2505.20770). There is no unit and no square root; lower is better, a perfect predictor has 0 on
    average, so that single prompts can be negative.
    """
    return RenderedTarget(responses, space).score(samples).value


def rendered_mmd_batch(samples: ArrayLike, responses: Sequence[ArrayLike], space: Space = PLANE) -> Floats:
    """``rendered_mmd`` for samples (p, n, 2) against p response sets (m_i, 2), dB, shape (p,), no unit."""
    return _over_prompts(rendered_mmd, samples, responses, space=space)


def mean_kernel(features: Floats) -> float:
    """The mean kernel of two different points of (n, d), n >= 2, in blocks so that memory stays small."""
    total = 0.0
    for start, block in zip(range(0, len(features), _BLOCK), _blocks(features), strict=True):
        total += float(_kernel(pdist(block)).sum())
        for other in _blocks(features[start + _BLOCK :]):
            total += float(_kernel(cdist(block, other)).sum())
    return total / (len(features) * (len(features) - 1) / 2)


def _blocks(features: Floats) -> Iterator[Floats]:
    return (features[start : start + _BLOCK] for start in range(0, len(features), _BLOCK))


def _kernel(distances: Floats) -> Floats:
    """``exp(-d / 2)`` of distances, which are overwritten."""
    distances *= -0.5
    return np.exp(distances, out=distances)


def _at_least_two(points: ArrayLike, space: Space, what: str) -> Floats:
    checked = as_points(points, space, what)
    if len(checked) < 2:
        raise ValueError(f"rendered_mmd needs at least two {what}")
    return checked
