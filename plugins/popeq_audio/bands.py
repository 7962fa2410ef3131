"""Second-order bands that make a setting's curve in any parametric equaliser.

A pair of curves that is made of sections has exactly these; for any other, five bands are fitted.
"""

from __future__ import annotations

import dataclasses
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from popeq.eq import Section, biquad, curves, gain_db
from popeq.eq.pairs import BandKind, section_coefficients
from popeq.space import PLANE, Space
from popeq.typing import Floats

#: Kind, frequency (Hz) and Q of a band, without its gain.
Shape = tuple[BandKind, float, float]
#: The shapes of five fitted bands: found once, by a search for the least largest error over the paper's box.
#: Only the gains depend on the setting, nearly linearly, so that a dragged point glides.
BANDS: tuple[Shape, ...] = (
    ("low_shelf", 59.0, biquad.SHELF_Q),
    ("peak", 124.0, 0.255),
    ("peak", 840.0, 0.25),
    ("peak", 6300.0, 0.53),
    ("high_shelf", 10_800.0, biquad.SHELF_Q),
)
RATE_HZ = 48_000.0
#: Where the fit has to hold, and what its error is stated for.
FIT_HZ: Floats = np.geomspace(40.0, 16_000.0, 120)
_AUDIBLE_HZ: Floats = np.geomspace(10.0, 20_000.0, 400)
#: Decimals of the gains of bands, dB.
_DECIMALS = 3


@dataclass(frozen=True)
class BandFit:
    """The bands of a setting (x, y) in dB of ``space``.

    ``exact`` says that the pair of curves is made of these very bands (at 48 kHz). ``error_db`` is the
    largest distance from the curve, 40 Hz to 16 kHz. ``preamp_db`` (0 or less) takes back the largest gain,
    so that no tone comes out louder than it went in.
    """

    point: tuple[float, float]
    space: Space
    bands: tuple[Section, ...]
    exact: bool
    error_db: float
    preamp_db: float

    def to_json(self) -> dict[str, Any]:
        """Preamp, error and bands as plain JSON values."""
        bands = [asdict(band) for band in self.bands]
        kept = {"preamp_db": self.preamp_db, "error_db": self.error_db, "exact": self.exact}
        return kept | {"bands": bands}

    @property
    def in_words(self) -> str:
        """How near the bands are to the curve."""
        if self.exact:
            return f"{len(self.bands)} bands, exactly the curve at {RATE_HZ / 1000:g} kHz"
        return f"{len(self.bands)} bands within {self.error_db:.2f} dB of the curve (40 Hz to 16 kHz)"


def response_db(bands: tuple[Section, ...], frequency_hz: ArrayLike, rate_hz: float = RATE_HZ) -> Floats:
    """Gain in dB of all bands together at each frequency."""
    sections = np.stack([band.coefficients(rate_hz) for band in bands])
    return np.asarray(biquad.gain_db(sections, frequency_hz, rate_hz).sum(axis=0))


def fit_bands(point: ArrayLike, space: Space = PLANE, rate_hz: float = RATE_HZ) -> BandFit:
    """The bands of a setting (x, y) in dB, their gains to 0.001 dB; five are fitted by Gauss-Newton."""
    setting = np.asarray(point, dtype=np.float64)
    sections = curves(space).sections
    if sections is None:
        gains = _fitted_gains(setting, space, rate_hz).tolist()
        made = tuple(Section(k, f, g, q) for (k, f, q), g in zip(BANDS, gains, strict=True))
    else:
        made = sections(setting)
    bands = tuple(dataclasses.replace(b, gain_db=round(b.gain_db, _DECIMALS) + 0.0) for b in made)
    error = float(np.abs(response_db(bands, FIT_HZ, rate_hz) - gain_db(setting, FIT_HZ, space)).max())
    highest = float(response_db(bands, _AUDIBLE_HZ, rate_hz).max())
    preamp = -float(np.ceil(max(0.0, highest - 1e-9) * 100.0) / 100.0) + 0.0
    x, y = setting.tolist()
    return BandFit((x, y), space, bands, sections is not None, error, preamp)


def _fitted_gains(points: Floats, space: Space, rate_hz: float) -> Floats:
    """Gains of ``BANDS`` (..., 5) for settings (..., 2), dB."""
    target = gain_db(points, FIT_HZ, space)
    gains = np.zeros((*points.shape[:-1], len(BANDS)))
    for _ in range(8):
        here, near = _each(gains, rate_hz), _each(gains + 0.01, rate_hz)
        steps = np.linalg.pinv(np.swapaxes((near - here) / 0.01, -1, -2))
        gains = gains + np.einsum("...bf,...f->...b", steps, target - here.sum(axis=-2))
    return gains


def _each(gains: Floats, rate_hz: float) -> Floats:
    """Gain in dB of each band by itself, (..., 5, frequencies)."""
    sections = [section_coefficients(k, gains[..., i], f, q, rate_hz) for i, (k, f, q) in enumerate(BANDS)]
    return biquad.gain_db(np.stack(sections, axis=-2), FIT_HZ, rate_hz)


@dataclass(frozen=True, eq=False)
class BandTable:
    """Bands over the box for a page that interpolates: gains (n, n, b) in dB at x (n,) and y (n,) in dB."""

    shapes: tuple[Shape, ...]
    x_db: Floats
    y_db: Floats
    gains_db: Floats


def band_table(space: Space, cells: int = 24) -> BandTable:
    """The bands over the box, as a browser's filters can make them: their shapes are the same everywhere,
    and a shelf has the Q of ``biquad.SHELF_Q``. A pair of curves whose own sections differ is fitted."""
    x = np.linspace(space.x_low_db, space.x_high_db, cells + 1)
    y = np.linspace(space.y_low_db, space.y_high_db, cells + 1)
    points = np.stack(np.meshgrid(x, y, indexing="ij"), axis=-1)
    sections = curves(space).sections
    if sections is not None:
        own = [sections(point) for point in points.reshape(-1, 2)]
        shapes = {tuple((b.kind, b.frequency_hz, b.q) for b in bands) for bands in own}
        if len(shapes) == 1 and all(map(_in_browsers, own[0])):
            gains = np.array([[b.gain_db for b in bands] for bands in own])
            return BandTable(shapes.pop(), x, y, gains.reshape(*points.shape[:-1], -1))
    return BandTable(BANDS, x, y, _fitted_gains(points, space, RATE_HZ))


def _in_browsers(band: Section) -> bool:
    """Whether a biquad of the Web Audio API is this band, whose shelves take no Q."""
    return band.kind == "peak" or abs(band.q - biquad.SHELF_Q) < 0.02
