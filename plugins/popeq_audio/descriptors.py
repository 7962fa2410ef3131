"""Standard descriptors of a track: where its energy lies, how it leans and bends, how it peaks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import signal

from popeq.atomic import write_text
from popeq.eq import HIGH_HZ, LOW_HZ, curves, project
from popeq.errors import UsageError
from popeq.space import PLANE, Space
from popeq.typing import Floats
from popeq_audio.files import read_mono

OCTAVES_HZ = (31.25, 62.5, 125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16_000.0)
_FRAME_S = 0.19
_BANDS = 30
_FLOOR_DB = -80.0


def names(space: Space = PLANE) -> tuple[str, ...]:
    """The descriptors, two of which have the names of the axes of a space, such as ``tilt_db``."""
    pair = curves(space)
    own = [f"{axis.name.replace(' ', '_')}_db" for axis in (pair.y, pair.x)]
    shape = ("centroid_octaves", "spread_octaves", "rolloff_octaves", "flatness_db")
    return (*shape, *own, "crest_db", *(f"band_{hz:g}_db" for hz in OCTAVES_HZ))


def describe(sound: Floats, rate_hz: float, space: Space = PLANE) -> dict[str, float]:
    """The descriptors ``names(space)`` of a mono sound (n,); none depends on how loud it is.

    From the mean power spectrum, 20 Hz to 20 kHz (or half the rate): centroid, spread and 85 % roll-off in
    octaves above 20 Hz; flatness (geometric over arithmetic mean, dB); the energy of ten octaves (dB of the
    whole). Two are the coordinates of the spectrum in the space, ``tilt_db`` and ``smile_db`` on the paper's
    plane: 30 bands equally wide in log-frequency, projected as an equaliser's curve would be, so that pink
    noise has (0, 0) and a filter with a setting moves them by that setting (nearly, where curves are not
    linear in the setting). ``crest_db`` is peak over RMS.

    Raises ValueError for silence.
    """
    rms = float(np.sqrt(np.mean(sound**2)))
    if not len(sound) or rms == 0.0:
        raise ValueError("there is only silence")
    frame = min(len(sound), 1 << round(np.log2(_FRAME_S * rate_hz)))
    frequency, power = signal.welch(sound, rate_hz, nperseg=frame, noverlap=frame // 2, detrend=False)
    edges = np.geomspace(LOW_HZ, HIGH_HZ, _BANDS + 1)
    bands = _band_power(frequency, power, edges)
    reach = edges[1:] <= rate_hz / 2.0
    centres = np.sqrt(edges[:-1] * edges[1:])[reach]
    heard = bands[reach]
    level = 10.0 * np.log10(np.maximum(heard, heard.max() * 10.0 ** (_FLOOR_DB / 10.0)))
    x, y = project(level, centres, space).tolist()
    octaves = np.log2(centres / LOW_HZ)
    share = heard / heard.sum()
    centroid = float(share @ octaves)
    inside = (frequency >= LOW_HZ) & (frequency <= HIGH_HZ)
    fine = np.maximum(power[inside], power[inside].max() * 1e-12)
    cumulated = np.cumsum(fine) / fine.sum()
    values = [
        centroid,
        float(np.sqrt(share @ (octaves - centroid) ** 2)),
        float(np.log2(frequency[inside][np.searchsorted(cumulated, 0.85)] / LOW_HZ)),
        float(10.0 * (np.mean(np.log10(fine)) - np.log10(fine.mean()))),
        y,
        x,
        float(20.0 * np.log10(np.abs(sound).max() / rms)),
    ]
    total = fine.sum() * (frequency[1] - frequency[0])
    for centre in OCTAVES_HZ:
        octave = _band_power(frequency, power, np.array([centre / np.sqrt(2.0), centre * np.sqrt(2.0)]))[0]
        values.append(max(_FLOOR_DB, float(10.0 * np.log10(max(octave / total, 1e-12)))))
    return dict(zip(names(space), values, strict=True))


def describe_file(path: Path, space: Space = PLANE) -> dict[str, float]:
    """The descriptors of an audio file, its channels mixed, ten minutes at most.

    Raises UsageError if it cannot be read or is silent.
    """
    sound, rate = read_mono(path)
    try:
        return describe(sound, rate, space)
    except ValueError as error:
        raise UsageError(f"{path}: cannot be described: {error}") from None


def write_features(described: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Write features.csv: one row an audio id, to a thousandth."""
    table = pd.DataFrame.from_dict(dict(described), orient="index").sort_index()
    write_text(path, table.to_csv(index_label="audio_id", float_format="%.3f", lineterminator="\n"))


def _band_power(frequency: Floats, power: Floats, edges: Floats) -> Floats:
    """Power between the edges by the integral of the spectrum, so that narrow low bands are filled."""
    step = frequency[1] - frequency[0]
    cumulated = np.concatenate([[0.0], np.cumsum(power) * step])
    ends = np.concatenate([[0.0], frequency + step / 2.0])
    return np.asarray(np.diff(np.interp(edges, ends, cumulated)))
