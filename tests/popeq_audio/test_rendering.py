"""Files of every kind go through, equally loud and unclipped; what cannot be read is one clear line."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import soundfile
from tests.conftest import environment

from popeq.errors import UsageError
from popeq_audio.loudness import Measured
from popeq_audio.rendering import RenderSettings, chosen_gain, render
from popeq_audio.tracks import track


@pytest.mark.parametrize("channels", [1, 6, 8])
def test_any_number_of_channels_up_to_eight(tmp_path, loop, channels):
    sound = np.repeat(loop[:48_000, :1], channels, axis=1) * np.linspace(0.2, 1, channels)
    soundfile.write(tmp_path / "in.wav", sound, 48_000, subtype="DOUBLE")
    render(tmp_path / "in.wav", tmp_path / "out.wav", RenderSettings((2.0, 1.0)))
    heard, _ = soundfile.read(tmp_path / "out.wav", always_2d=True)
    assert heard.shape == sound.shape
    scale = np.linspace(0.2, 1, channels)  # every channel is filtered alike, and none with another
    np.testing.assert_allclose(heard / scale, np.tile(heard[:, :1] / scale[0], channels), atol=1e-12)


@pytest.mark.parametrize("ending", ["wav", "flac", "ogg"])
def test_every_format_is_read_and_written_equally_loud(tmp_path, loop, ending):
    soundfile.write(tmp_path / f"in.{ending}", loop * 0.4, 48_000)
    made = render(tmp_path / f"in.{ending}", tmp_path / f"out.{ending}", RenderSettings((-3.0, 2.0)))
    assert made.short_db == 0.0
    assert made.loudness_lufs == pytest.approx(made.source.loudness_lufs, abs=0.01)
    info = soundfile.info(tmp_path / f"out.{ending}")
    assert (info.frames, info.samplerate, info.channels) == (len(loop), 48_000, 2)


def test_what_would_clip_stays_quieter_and_says_so(tmp_path):
    soundfile.write(tmp_path / "in.wav", track(0, 48_000, 4.0), 48_000)
    made = render(tmp_path / "in.wav", tmp_path / "out.wav", RenderSettings((4.0, 3.0)))
    heard, _ = soundfile.read(tmp_path / "out.wav")
    assert made.true_peak_dbtp <= -1.0 + 1e-9
    assert np.abs(heard).max() <= 10 ** (-1 / 20)
    assert made.short_db > 0.1
    assert made.loudness_lufs == pytest.approx(made.source.loudness_lufs - made.short_db, abs=0.01)


def test_without_matching_only_clipping_is_prevented(tmp_path, loop):
    soundfile.write(tmp_path / "in.wav", loop * 0.05, 48_000)
    assert (
        render(tmp_path / "in.wav", tmp_path / "out.wav", RenderSettings((6.0, 6.0), match=False)).gain_db
        == 0.0
    )


def test_a_source_that_is_hot_already_is_not_made_quieter_for_it():
    hot = Measured(-8.0, -0.2)
    assert chosen_gain(hot, hot, True, -1.0) == (0.0, 0.0)
    assert chosen_gain(Measured(-8.0, 0.7), Measured(-8.0, 0.7), True, -1.0) == (-0.7, 0.7)
    silent = Measured(-np.inf, -np.inf)
    assert chosen_gain(silent, silent, True, -1.0) == (0.0, 0.0)


def test_silence_and_a_click_can_be_rendered(tmp_path):
    for name, sound in (("silence", np.zeros(48_000)), ("click", np.eye(1, 100)[0])):
        soundfile.write(tmp_path / f"{name}.wav", sound, 48_000)
        made = render(tmp_path / f"{name}.wav", tmp_path / "out.wav", RenderSettings((3.0, 0.0)))
        assert np.isfinite(made.gain_db)
        assert soundfile.info(tmp_path / "out.wav").frames == len(sound)


def wrong_files(folder):
    """Files that are no audio, with what the message must say."""
    soundfile.write(folder / "good.wav", np.zeros(1000), 48_000)
    (folder / "broken.wav").write_bytes(b"RIFF\0\0\0\0WAVEjunk" * 20)
    (folder / "text.flac").write_text("this is no audio\n")
    soundfile.write(folder / "many.wav", np.zeros((100, 9)), 48_000)
    soundfile.write(folder / "empty.wav", np.zeros(0), 48_000)
    soundfile.write(folder / "nan.wav", np.array([0.0, np.nan, 0.0]), 48_000, subtype="FLOAT")
    return {
        "broken.wav": "cannot be read as audio",
        "text.flac": "cannot be read as audio",
        "absent.wav": "no such file",
        "many.wav": "9 channels; 8 at most",
        "empty.wav": "holds no sound",
        "nan.wav": "not finite",
    }


def test_what_is_no_audio_is_refused_and_leaves_nothing(tmp_path):
    for name, message in wrong_files(tmp_path).items():
        with pytest.raises(UsageError, match=message) as caught:
            render(tmp_path / name, tmp_path / "out.wav", RenderSettings((1.0, 1.0)))
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match=r"can be written as \.wav, \.flac, \.ogg"):
        render(tmp_path / "good.wav", tmp_path / "out.mp5", RenderSettings((1.0, 1.0)))
    with pytest.raises(UsageError, match="is the source itself"):
        render(tmp_path / "good.wav", tmp_path / "good.wav", RenderSettings((1.0, 1.0)))
    with pytest.raises(UsageError, match="cannot be written"):
        render(tmp_path / "good.wav", tmp_path / "nowhere" / "out.wav", RenderSettings((1.0, 1.0)))
    assert not [p for p in tmp_path.iterdir() if p.name.startswith((".", "out"))]


MEMORY = """
import sys
from pathlib import Path
from popeq_audio.rendering import RenderSettings, render
render(Path(sys.argv[1]), Path(sys.argv[1] + ".out.wav"), RenderSettings((3.0, -3.0)))
status = Path("/proc/self/status").read_text()
print(status.split("VmHWM:")[1].split()[0])
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_memory_does_not_grow_with_the_length(tmp_path):
    peak_mib = []
    for seconds in (2, 60):
        path = tmp_path / f"{seconds}.wav"
        with soundfile.SoundFile(path, "w", 44_100, 2, "PCM_16") as target:
            for _ in range(seconds):
                target.write(np.random.default_rng(0).uniform(-0.1, 0.1, (44_100, 2)))
        done = subprocess.run(
            [sys.executable, "-c", MEMORY, str(path)],
            check=True, capture_output=True, text=True, env=environment({"OMP_NUM_THREADS": "1"}),
        )  # fmt: skip
        peak_mib.append(int(done.stdout) / 1024)
    assert peak_mib[1] < 200
    assert peak_mib[1] - peak_mib[0] < 10


def test_the_command_renders_and_refuses(popeq, tmp_path, loop_file):
    done = popeq("render", loop_file, "out.flac", "--at", "2.5,-1", "--quiet")
    assert done.returncode == 0, done.stderr
    assert "setting smile +2.5 dB, tilt -1 dB: gain" in done.stdout
    assert (tmp_path / "out.flac").exists()
    for arguments, message in (
        (["--at", "7,0"], "--at 7,0: is outside the box of simulated-1200: smile from -6 to 6 dB and tilt"),
        (["--at", "warm"], "must be two numbers"),
        ([], "give either --at X,Y or --ask SENTENCE"),
        (["--at", "1,1", "--ask", "warm"], "give either"),
    ):
        failed = popeq("render", loop_file, "out.wav", *arguments)
        assert failed.returncode == 2
        assert message in failed.stderr
