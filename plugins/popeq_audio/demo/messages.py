"""What the page's server and ``popeq ask --json`` say in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.space import HIGH_HZ, LOW_HZ, Space
from popeq_audio.asking import Answer
from popeq_audio.bands import BANDS, BandFit, gain_table
from popeq_audio.filtering import curve_db
from popeq_audio.modes import density

#: The page draws curves at these frequencies, Hz.
CURVE_HZ = np.geomspace(LOW_HZ, HIGH_HZ, 60)
_CELLS = 40


def bands_json(fit: BandFit) -> dict[str, Any]:
    """Bands, preamp and fit error of a setting."""
    return {
        "preamp_db": fit.preamp_db,
        "error_db": fit.error_db,
        "bands": [
            {"kind": b.kind, "frequency_hz": b.frequency_hz, "gain_db": b.gain_db, "q": b.q}
            for b in fit.bands
        ],
    }


def density_json(points: NDArray[np.float64], space: Space) -> list[list[float]]:
    """Reflective density for drawing: rows of x, columns of y, its largest value 1."""
    field = density(points, space, _CELLS)
    rows: list[list[float]] = np.round(field / field.max(), 4).tolist()
    return rows


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as the page shows it: without the samples, with density and the fan of curves."""
    content = answer.to_json()
    samples = np.array(content.pop("samples"))
    fan = curve_db(samples, CURVE_HZ)
    content["density"] = density_json(samples, answer.space)
    content["fan"] = {
        str(p): np.round(np.percentile(fan, p, axis=0), 3).tolist() for p in (5, 25, 50, 75, 95)
    }
    return content


def space_json(space: Space) -> dict[str, Any]:
    """The plane, the bands' fixed part, and their gains over the plane."""
    x, y, gains = gain_table(space)
    return {
        "x_db": x.tolist(),
        "y_db": y.tolist(),
        "gains_db": np.round(gains, 3).tolist(),
        "bands": [{"kind": kind, "frequency_hz": f, "q": q} for kind, f, q in BANDS],
        "curve_hz": np.round(CURVE_HZ, 2).tolist(),
    }


def listeners_json(prompts: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What listeners chose for the nearest known prompts: text, similarity and points."""
    return [
        {"text": p["text"], "similarity": p["similarity"], "points": np.round(p["points"], 2).tolist()}
        for p in prompts
    ]
