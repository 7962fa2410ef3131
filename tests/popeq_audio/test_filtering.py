"""The filter has the curve, and neither the block size nor the path to it changes a sample."""

from __future__ import annotations

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.signal import fftconvolve

from popeq.eq import gain_db
from popeq.space import PLANE, Space
from popeq_audio.filtering import convolve, filter_taps
from popeq_audio.rendering import RenderSettings, render


def sweep(rate: int, seconds: float = 3.0) -> np.ndarray:
    """A sine from 8 Hz to half the rate, its pitch rising evenly (Farina 2000), shape (n,)."""
    t = np.arange(round(seconds * rate)) / rate
    scale = seconds / np.log(rate / 2 / 8)
    return 0.2 * np.sin(2 * np.pi * 8 * scale * (np.exp(t / scale) - 1))


BEOSONIC = Space(curves="beosonic")
WIDE = Space(-12.0, 12.0, -12.0, 12.0)


@pytest.mark.parametrize(
    ("rate", "point", "space"),
    [
        *((rate, point, PLANE) for rate in (44_100, 48_000, 96_000) for point in ((6.0, -6.0), (-4.5, 2.0))),
        *((rate, point, BEOSONIC) for rate, point in ((44_100, (6.0, 6.0)), (48_000, (-5.0, 6.0)))),
        (48_000, (12.0, -12.0), WIDE),
    ],
)
def test_rendered_sound_measured_with_a_sweep_has_the_curve(tmp_path, rate, point, space):
    sound = sweep(rate)
    soundfile.write(tmp_path / "in.wav", sound, rate, subtype="DOUBLE")
    made = render(tmp_path / "in.wav", tmp_path / "out.wav", RenderSettings(point, space))
    heard, heard_rate = soundfile.read(tmp_path / "out.wav")
    assert heard_rate == rate
    assert len(heard) == len(sound)
    frequency = np.fft.rfftfreq(len(sound), 1 / rate)
    band = (frequency >= 30) & (frequency <= 18_000)
    gain = 20 * np.log10(np.abs(np.fft.rfft(heard)[band] / np.fft.rfft(sound)[band]))
    error = gain - made.gain_db - gain_db(point, frequency[band], space)
    assert np.abs(error).max() < 0.25


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_the_flat_setting_changes_nothing(tmp_path, loop, subtype):
    soundfile.write(tmp_path / "in.wav", loop, 48_000, subtype=subtype)
    render(tmp_path / "in.wav", tmp_path / "out.wav", RenderSettings((0.0, 0.0)))
    source, heard = soundfile.read(tmp_path / "in.wav")[0], soundfile.read(tmp_path / "out.wav")[0]
    assert 20 * np.log10(np.abs(heard - source).max() + 1e-30) < -120


@pytest.mark.parametrize("ending", ["wav", "ogg"])
def test_the_block_size_changes_no_sample(tmp_path, loop_file, ending):
    made = []
    for frames in (777, 4096, 1 << 20):
        target = tmp_path / f"out.{ending}"
        render(loop_file, target, RenderSettings((3.0, -2.0), block_frames=frames))
        made.append(soundfile.read(target)[0].tobytes())
    assert made[0] == made[1] == made[2]


@settings(max_examples=20)
@given(
    st.lists(st.integers(0, 400), min_size=1, max_size=8),
    st.integers(1, 3),
    st.integers(1, 97),
    st.integers(0, 9),
)
def test_convolving_in_blocks_is_convolving(lengths, channels, taps, seed):
    rng = np.random.default_rng(seed)
    kernel = rng.normal(size=taps)
    blocks = [rng.normal(size=(n, channels)) for n in lengths]
    got = np.concatenate([np.empty((0, channels)), *convolve(blocks, kernel, channels)])
    whole = np.concatenate(blocks)
    if len(whole):
        expected = fftconvolve(whole, kernel[:, None], axes=0)[: len(whole)]
        np.testing.assert_allclose(got, expected, atol=1e-12)
    assert got.shape == whole.shape


def test_the_filter_has_minimum_phase_and_a_level_end():
    taps = filter_taps((6.0, 6.0), 48_000.0)
    early = np.cumsum(taps**2) / np.sum(taps**2)
    assert early[48] > 0.5  # half of the energy within a millisecond: no delay
    np.testing.assert_allclose(gain_db((6.0, 6.0), [5.0, 30_000.0]), gain_db((6.0, 6.0), [20.0, 20_000.0]))
