"""Each export is read back by a parser of its format that shares nothing with the writer, and measured."""

from __future__ import annotations

import configparser
import csv
import io
import json
import re

import numpy as np
import pytest
import yaml
from scipy.io import wavfile
from scipy.signal import freqz

from popeq.eq import gain_db
from popeq.errors import PopeqError, UnknownNameError, UsageError
from popeq.space import Space
from popeq_audio.exports import FORMATS, Fir, export

HZ = np.geomspace(40, 16_000, 200)
#: Where an export without a fit has to have the curve.
WHOLE_HZ = np.geomspace(30, 18_000, 200)
RATE = 48_000
POINTS = [(6.0, -6.0), (-6.0, 6.0), (-2.4, 1.3), (0.0, 0.0)]
BEOSONIC = Space(curves="beosonic")
WIDE = Space(-12.0, 12.0, -12.0, 12.0)
SHELVES = Space(0.0, 10.0, -3.0, 3.0, 0.5, "shelves:62.25:3000")


#: What EasyEffects 7 and 8 load of a preset (equalizer_preset.cpp of both), the ranges of the 7.0.0 schema,
#: which those of 8 contain, and the texts that both know (in 8 another text is no choice at all).
EASYEFFECTS_KEYS = {
    *("bypass", "input-gain", "output-gain", "mode", "num-bands", "split-channels"),
    *("balance", "pitch-left", "pitch-right", "left", "right"),
}
EASYEFFECTS_BAND_KEYS = {"type", "mode", "slope", "solo", "mute", "gain", "frequency", "q", "width"}
EASYEFFECTS_RANGES = {"gain": (-35, 35), "frequency": (10, 24_000), "q": (0, 100), "width": (0, 12)}
#: Keys that CamillaDSP 3 and 4 take, and those they need (``mod.rs`` of its configuration); version 2 has
#: ``channel`` in a step, where these have ``channels``.
CAMILLADSP_STEP = {"type", "channels", "names", "description", "bypassed"}
CAMILLADSP_GAIN = {"gain", "inverted", "mute", "scale"}
CAMILLADSP_BAND = {"type", "freq", "gain", "q"}


def cookbook(kind: str, hz: float, gain_db: float, q: float, at_hz: np.ndarray = HZ) -> np.ndarray:
    """Gain at some frequencies of one section, written down again from Bristow-Johnson's text."""
    a, w = 10 ** (gain_db / 40), 2 * np.pi * hz / RATE
    cos, alpha = np.cos(w), np.sin(w) / (2 * q)
    if kind == "peak":
        b, c = [1 + alpha * a, -2 * cos, 1 - alpha * a], [1 + alpha / a, -2 * cos, 1 - alpha / a]
    else:
        s = 1 if kind == "low" else -1  # a high shelf is a low shelf with the cosine's sign turned
        r = 2 * np.sqrt(a) * alpha
        b = [a * ((a + 1) - s * (a - 1) * cos + r), s * 2 * a * ((a - 1) - s * (a + 1) * cos),
             a * ((a + 1) - s * (a - 1) * cos - r)]  # fmt: skip
        c = [(a + 1) + s * (a - 1) * cos + r, -s * 2 * ((a - 1) + s * (a + 1) * cos),
             (a + 1) + s * (a - 1) * cos - r]  # fmt: skip
    return 20 * np.log10(np.abs(freqz(b, c, worN=at_hz, fs=RATE)[1]))


def equalizer_apo(content: bytes):
    text = content.decode()
    preamp = float(re.search(r"^Preamp: (-?[\d.]+) dB$", text, re.M)[1])
    line = re.compile(r"^Filter \d+: ON (LSC|PK|HSC) Fc ([\d.]+) Hz Gain (-?[\d.]+) dB Q ([\d.]+)$", re.M)
    kinds = {"LSC": "low", "PK": "peak", "HSC": "high"}
    bands = [(kinds[k], *map(float, rest)) for k, *rest in line.findall(text)]
    assert len(bands) == text.count("Filter ")
    return preamp, bands


def camilladsp(content: bytes):
    assert b"For CamillaDSP 3 and 4;" in content
    config = yaml.safe_load(content)
    kinds = {"Lowshelf": "low", "Peaking": "peak", "Highshelf": "high"}
    (step,) = config["pipeline"]
    assert step["type"] == "Filter"
    # Its structs take no other fields (deny_unknown_fields).
    assert set(config) == {"filters", "pipeline"}
    assert {"type", "channels", "names"} <= set(step) <= CAMILLADSP_STEP
    assert step["channels"] == [0, 1]
    gains, bands = [], []
    for name in step["names"]:
        one = config["filters"][name]
        p = one["parameters"]
        assert set(one) == {"type", "parameters"}
        if one["type"] == "Gain":
            assert {"gain"} <= set(p) <= CAMILLADSP_GAIN
            assert isinstance(p["gain"], float)
            gains.append(p["gain"])
        else:
            assert one["type"] == "Biquad"
            assert set(p) == CAMILLADSP_BAND
            assert all(isinstance(p[key], float) for key in ("freq", "gain", "q"))
            bands.append((kinds[p["type"]], p["freq"], p["gain"], p["q"]))
    assert set(step["names"]) == set(config["filters"])
    return sum(gains), bands


def easyeffects(content: bytes):
    output = json.loads(content)["output"]
    (name,) = output["plugins_order"]
    assert name == "equalizer#0"
    assert output["blocklist"] == []
    equalizer = output[name]
    assert equalizer["left"] == equalizer["right"]
    kinds = {"Lo-shelf": "low", "Bell": "peak", "Hi-shelf": "high"}
    assert set(equalizer) == EASYEFFECTS_KEYS
    assert equalizer["mode"] == "IIR"
    assert -36 <= equalizer["input-gain"] <= 36
    bands = []
    for i in range(equalizer["num-bands"]):
        band = equalizer["left"][f"band{i}"]
        assert (band["mode"], band["slope"]) == ("APO (DR)", "x1")
        assert set(band) == EASYEFFECTS_BAND_KEYS
        for key, (low, high) in EASYEFFECTS_RANGES.items():
            assert low <= band[key] <= high
        bands.append((kinds[band["type"]], band["frequency"], band["gain"], band["q"]))
    return equalizer["input-gain"] + equalizer["output-gain"], bands


def peace(content: bytes):
    ini = configparser.ConfigParser()
    ini.optionxform = str
    ini.read_string(content.decode())
    # Places in $FilterTypes of Peace.au3: PK, ..., LSC, HSC, ..., LSCQ, HSCQ, LSQ, HSQ.
    kinds = {"0": "peak", "14": "low", "15": "high"}
    count = len(ini["Frequencies"])
    bands = [
        (kinds[ini["Filters"][f"Filter{i}"]], float(ini["Frequencies"][f"Frequency{i}"]),
         float(ini["Gains"][f"Gain{i}"]), float(ini["Qualities"][f"Quality{i}"]))
        for i in range(1, count + 1)
    ]  # fmt: skip
    assert ini["Speakers"]["SpeakerTargets0"] == "all"
    return float(ini["General"]["PreAmp"]), bands


BANDED = {
    "equalizer-apo": equalizer_apo,
    "camilladsp": camilladsp,
    "easyeffects": easyeffects,
    "peaceparams": peace,
}


def response(form: str, content: bytes, point: tuple[float, float]) -> tuple[float, np.ndarray]:
    """Preamp, and gain at HZ without it."""
    if form == "csv":
        rows = list(csv.DictReader(io.StringIO(content.decode())))
        hz, gain = (np.array([float(r[c]) for r in rows]) for c in ("frequency_hz", "gain_db"))
        return 0.0, np.interp(np.log(HZ), np.log(hz), gain)
    if form == "fir.wav":
        rate, taps = wavfile.read(io.BytesIO(content))
        gain = 20 * np.log10(np.abs(freqz(taps.astype(float), worN=HZ, fs=rate)[1]))
        return -max(0.0, float(gain_db(point, [20.0, 20_000.0, *HZ]).max())), gain
    preamp, bands = BANDED[form](content)
    return preamp, sum(cookbook(*band) for band in bands)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("point", POINTS)
def test_every_export_renders_the_curve(tmp_path, form, point):
    path = tmp_path / f"setting{FORMATS[form].suffix}"
    fit = export(point, form, path)
    preamp, gain = response(form, path.read_bytes(), point)
    if form == "fir.wav":  # its preamp is in its taps
        gain, preamp = gain - preamp, preamp
    assert np.abs(gain - gain_db(point, HZ)).max() < 0.5
    if form in BANDED:
        assert preamp == fit.preamp_db
        assert (gain + preamp).max() < 0.01
        assert preamp <= 0.0


@pytest.mark.parametrize("form", BANDED)
@pytest.mark.parametrize(
    ("space", "point"),
    [
        *((BEOSONIC, point) for point in [(6.0, -6.0), (6.0, 6.0), (-4.7, 5.9), (0.1, 0.0), (0.0, 0.0)]),
        (SHELVES, (9.5, -3.0)),
        (Space(-12.0, 12.0, -12.0, 12.0, curves="beosonic"), (-12.0, 11.9)),
    ],
)
def test_curves_of_sections_are_exported_without_a_fit(tmp_path, form, space, point):
    fit = export(point, form, tmp_path / "made", space)
    preamp, bands = BANDED[form]((tmp_path / "made").read_bytes())
    gain = sum(cookbook(*band, WHOLE_HZ) for band in bands)
    assert np.abs(gain - gain_db(point, WHOLE_HZ, space)).max() < 0.05
    assert len(bands) == 2
    assert fit.exact
    assert (gain + preamp).max() < 0.01


@pytest.mark.parametrize("form", BANDED)
def test_on_a_larger_box_the_fit_is_as_near_as_the_export_says(tmp_path, form):
    for point in [(12.0, 12.0), (-12.0, 12.0), (7.3, -11.0)]:
        fit = export(point, form, tmp_path / "made", WIDE)
        content = (tmp_path / "made").read_bytes()
        _, bands = BANDED[form](content)
        error = np.abs(sum(cookbook(*band) for band in bands) - gain_db(point, HZ, WIDE)).max()
        assert error == pytest.approx(fit.error_db, abs=0.03)
        assert error < 0.65
        if form in ("equalizer-apo", "camilladsp"):
            assert f"5 bands within {fit.error_db:.2f} dB of the curve" in content.decode().splitlines()[0]


@pytest.mark.parametrize("form", ["csv", "fir.wav"])
def test_curves_and_impulse_responses_are_those_of_the_space(tmp_path, form):
    for space, point in ((BEOSONIC, (5.0, 4.0)), (WIDE, (12.0, -3.0)), (SHELVES, (8.0, 2.5))):
        export(point, form, tmp_path / "made", space)
        _, gain = response(form, (tmp_path / "made").read_bytes(), point)
        wanted = gain_db(point, HZ, space)
        if form == "fir.wav":  # its preamp is in its taps
            wanted = wanted - max(0.0, gain_db(point, np.geomspace(20, 20_000, 999), space).max())
        assert np.abs(gain - wanted).max() < 0.1


def test_a_file_names_the_axes_and_the_pair_of_its_setting(tmp_path):
    export((-2.5, 4.0), "equalizer-apo", tmp_path / "a.txt", BEOSONIC)
    first = (tmp_path / "a.txt").read_text().splitlines()[0]
    assert first == (
        "# popeq: setting energy -2.5 dB, brightness +4 dB (beosonic); 2 bands, exactly the curve at 48 kHz"
    )


def test_what_easyeffects_would_cut_off_is_refused(tmp_path):
    with pytest.raises(
        UsageError, match=r"at most 35 dB, and the setting smile \+20 dB, tilt \+20 dB needs 4"
    ):
        export((20.0, 20.0), "easyeffects", tmp_path / "a.json", Space(-20.0, 20.0, -20.0, 20.0))
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(("rate", "channels"), [(44_100, 2), (96_000, 1), (48_000, 6)])
def test_the_impulse_response_has_the_rate_and_the_channels_that_were_asked_for(tmp_path, rate, channels):
    export((5.0, -4.0), "fir.wav", tmp_path / "fir.wav", BEOSONIC, Fir(rate, channels))
    found, taps = wavfile.read(tmp_path / "fir.wav")
    taps = taps.reshape(len(taps), -1)
    assert (found, taps.shape[1], taps.dtype) == (rate, channels, np.float32)
    np.testing.assert_array_equal(taps, np.repeat(taps[:, :1], channels, axis=1))
    gain = 20 * np.log10(np.abs(freqz(taps[:, 0].astype(float), worN=WHOLE_HZ, fs=rate)[1]))
    wanted = gain_db((5.0, -4.0), WHOLE_HZ, BEOSONIC)
    assert np.abs(gain - gain.mean() - wanted + wanted.mean()).max() < 0.05


def test_the_impulse_response_never_amplifies(tmp_path):
    export((6.0, 6.0), "fir.wav", tmp_path / "fir.wav")
    _, taps = wavfile.read(tmp_path / "fir.wav")
    assert np.abs(np.fft.rfft(taps, 1 << 18)).max() < 1.001


def test_what_cannot_be_exported_says_why(tmp_path):
    with pytest.raises(UnknownNameError, match="did you mean 'camilladsp'"):
        export((1.0, 1.0), "camiladsp", tmp_path / "a")
    with pytest.raises(PopeqError, match="cannot be written"):
        export((1.0, 1.0), "csv", tmp_path / "nowhere" / "a.csv")
