"""What the tests of sound share: a synthetic track, a cache of their own, the prediction of one predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from popeq_audio.tracks import track

RATE = 48_000


@pytest.fixture(scope="session")
def own_cache(tmp_path_factory):
    """A cache folder that starts empty; sentence embeddings and fits of these tests lie there."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POPEQ_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def loop() -> np.ndarray:
    """Three seconds of synthetic music, stereo (n, 2)."""
    return track(5, RATE, 3.0)


@pytest.fixture
def loop_file(tmp_path: Path, loop: np.ndarray) -> Path:
    """The same as a 24-bit WAV file."""
    path = tmp_path / "loop.wav"
    soundfile.write(path, loop, RATE, subtype="PCM_24")
    return path
