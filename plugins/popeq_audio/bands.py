"""Five bands that make a setting's curve in any parametric equaliser."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from popeq.eq import biquad, gain_db
from popeq.space import Space
from popeq.typing import Floats

BandKind = Literal["low_shelf", "peak", "high_shelf"]

#: Kind, frequency (Hz) and Q of each band: found once, by a search for the least largest error over the whole
#: box. Only the gains depend on the setting, nearly linearly, so that a dragged point glides.
BANDS: tuple[tuple[BandKind, float, float], ...] = (
    ("low_shelf", 59.0, biquad.SHELF_Q),
    ("peak", 124.0, 0.255),
    ("peak", 840.0, 0.25),
    ("peak", 6300.0, 0.53),
    ("high_shelf", 10_800.0, biquad.SHELF_Q),
)
_SECTIONS: dict[BandKind, Callable[..., Floats]] = {
    "low_shelf": biquad.low_shelf,
    "peak": biquad.peaking,
    "high_shelf": biquad.high_shelf,
}
RATE_HZ = 48_000.0
#: Where the fit has to hold, and what its error is stated for.
FIT_HZ: Floats = np.geomspace(40.0, 16_000.0, 120)
_AUDIBLE_HZ: Floats = np.geomspace(10.0, 20_000.0, 400)


@dataclass(frozen=True)
class Band:
    """One second-order section of the RBJ cookbook."""

    kind: BandKind
    frequency_hz: float
    gain_db: float
    q: float

    def coefficients(self, rate_hz: float = RATE_HZ) -> Floats:
        """b0, b1, b2, a0, a1, a2."""
        return _SECTIONS[self.kind](self.gain_db, self.frequency_hz, self.q, rate_hz)


@dataclass(frozen=True)
class BandFit:
    """The bands of a setting; ``error_db`` is the largest distance from its curve, 40 Hz to 16 kHz.

    ``preamp_db`` (0 or less) takes back the largest gain, so that no tone comes out louder than it went in.
    """

    point: tuple[float, float]
    bands: tuple[Band, ...]
    error_db: float
    preamp_db: float

    def to_json(self) -> dict[str, Any]:
        """Preamp, error and bands as plain JSON values."""
        bands = [asdict(band) for band in self.bands]
        return {"preamp_db": self.preamp_db, "error_db": self.error_db, "bands": bands}


def response_db(bands: tuple[Band, ...], frequency_hz: ArrayLike, rate_hz: float = RATE_HZ) -> Floats:
    """Gain in dB of all bands together at each frequency."""
    sections = np.stack([band.coefficients(rate_hz) for band in bands])
    return np.asarray(biquad.gain_db(sections, frequency_hz, rate_hz).sum(axis=0))


def fit_bands(point: ArrayLike, rate_hz: float = RATE_HZ) -> BandFit:
    """Gains (to 0.01 dB) whose bands follow the curve of a setting (x, y), by Gauss-Newton."""
    setting = np.asarray(point, dtype=np.float64)
    gains = _gains(setting, rate_hz).tolist()
    bands = tuple(Band(k, f, g, round(float(q), 4)) for (k, f, q), g in zip(BANDS, gains, strict=True))
    error = float(np.abs(response_db(bands, FIT_HZ, rate_hz) - gain_db(setting, FIT_HZ)).max())
    highest = float(response_db(bands, _AUDIBLE_HZ, rate_hz).max())
    preamp = -float(np.ceil(max(0.0, highest - 1e-9) * 100.0) / 100.0) + 0.0
    x, y = setting.tolist()
    return BandFit((x, y), bands, error, preamp)


def _gains(points: Floats, rate_hz: float) -> Floats:
    """Gains of the bands (..., 5) for settings (..., 2), dB."""
    target = gain_db(points, FIT_HZ)
    gains = np.zeros((*points.shape[:-1], len(BANDS)))
    for _ in range(8):
        here, near = _each(gains, rate_hz), _each(gains + 0.01, rate_hz)
        steps = np.linalg.pinv(np.swapaxes((near - here) / 0.01, -1, -2))
        gains = gains + np.einsum("...bf,...f->...b", steps, target - here.sum(axis=-2))
    return np.asarray(np.round(gains, 2) + 0.0)


def _each(gains: Floats, rate_hz: float) -> Floats:
    """Gain in dB of each band by itself, (..., 5, frequencies)."""
    sections = [_SECTIONS[k](gains[..., i], f, q, rate_hz) for i, (k, f, q) in enumerate(BANDS)]
    return biquad.gain_db(np.stack(sections, axis=-2), FIT_HZ, rate_hz)


def gain_table(space: Space, cells: int = 24) -> tuple[Floats, Floats, Floats]:
    """Gains over the box for a page that interpolates: x (n,), y (n,) and gains (n, n, 5), dB."""
    x = np.linspace(space.x_low_db, space.x_high_db, cells + 1)
    y = np.linspace(space.y_low_db, space.y_high_db, cells + 1)
    return x, y, _gains(np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1), RATE_HZ)
