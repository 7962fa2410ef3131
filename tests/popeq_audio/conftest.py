"""What the tests of sound share: a synthetic track, a cache of their own, the prediction of one predictor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import tomli_w
from tests.conftest import write_small_dataset

from popeq.dataset_card import SpaceCard
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


#: Spaces that differ from the paper's plane in box, step or pair of curves, as dataset.toml writes them.
SPACES = {
    "wide": SpaceCard(x_db=(-12.0, 12.0), y_db=(-12.0, 12.0)),
    "uneven": SpaceCard(x_db=(0.0, 10.0), y_db=(-3.0, 3.0), step_db=0.5, curves="beosonic"),
    "beosonic": SpaceCard(curves="beosonic"),
    "far": SpaceCard(x_db=(2.0, 10.0), y_db=(-8.0, -1.0), step_db=1.0),
}


@pytest.fixture(scope="session")
def spaces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A data set folder for each of ``SPACES``: 14 prompts, whose listeners like the upper right corner."""
    made = {}
    for name, card in SPACES.items():
        folder = write_small_dataset(tmp_path_factory.mktemp("spaces") / name, name=name, prompts=14)
        text = tomli_w.dumps({"space": card.model_dump(mode="json", exclude_unset=True)})
        with (folder / "dataset.toml").open("a") as stream:
            stream.write(text)
        space, rng = card.space, np.random.default_rng(4)
        rows = pd.read_csv(folder / "responses.csv")
        points = space.clip(space.low + space.size * rng.normal(0.98, 0.05, (len(rows), 2)))
        rows[["x_db", "y_db"]] = points.round(2)
        rows.to_csv(folder / "responses.csv", index=False)
        made[name] = folder
    return made
