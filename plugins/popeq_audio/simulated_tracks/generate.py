"""Make ``simulated-tracks`` again, byte for byte: ``python -m popeq_audio.simulated_tracks.generate``.

Listeners are those of ``simulated-120``. What a sentence asks for is moved by the track: they take back
``CORRECTED`` of how far the track's own tilt and smile lie from the mean track's, because what is bright
already is not made much brighter. That is an assumption, not a measurement; a predictor that hears the track
must win here, and by how much says nothing about people.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import tomli_w

from popeq.atomic import write_bytes, write_text
from popeq.audio_folder import FEATURES
from popeq.csv_table import csv_bytes
from popeq.dataset_card import RESPONSE_COLUMNS
from popeq.dataset_tables import CARD, PROMPTS, README, RESPONSES
from popeq_audio.descriptors import describe, write_features
from popeq_audio.tracks import RATE_HZ, track
from popeq_data.simulated_120.listeners import Meaning, Panel, settings
from popeq_data.simulated_120.tables import read_words

SENTENCES = {
    "warm": "make it warmer",
    "bright": "I want this brighter",
    "soft": "something softer, please",
    "heavy": "give it more weight",
    "clear": "clear enough to follow every word",
    "mellow": "a mellow evening sound",
    "crisp": "crisp, like a new recording",
    "calm": "calm it down",
}
TRACKS = 16
FOLDS = 4
CORRECTED = 0.5
PANEL = Panel("t", 2801)
FOLDER = Path(__file__).parent / "data"


def generate(folder: Path = FOLDER) -> None:
    """Write dataset.toml, prompts.csv, responses.csv and features.csv."""
    described = {f"track{i:02d}": describe(track(i).mean(axis=1), RATE_HZ) for i in range(TRACKS)}
    folder.mkdir(parents=True, exist_ok=True)
    write_features(described, folder / FEATURES)
    colour = {a: np.round([f["smile_db"], f["tilt_db"]], 3) for a, f in described.items()}
    mean = np.mean(list(colour.values()), axis=0)
    words = read_words()
    prompts, meanings = [], []
    for number, (audio_id, own) in enumerate(sorted(colour.items())):
        for word, text in SENTENCES.items():
            prompt_id = f"{word}-{audio_id}"
            centre = np.array(words[word]) - CORRECTED * (own - mean)
            prompts.append((prompt_id, text, "word and track", number % FOLDS, audio_id))
            meanings.append(Meaning(prompt_id, word, centre, centre, 0.0, 1.0))
    points = settings(meanings, PANEL)
    columns = ["prompt_id", "text", "category", "fold", "audio_id"]
    write_bytes(folder / PROMPTS, csv_bytes(pd.DataFrame(prompts, columns=columns)))
    rows = [
        (p[0], listener, x, y)
        for p, own in zip(prompts, points, strict=True)
        for listener, (x, y) in zip(PANEL.listener_ids, own, strict=True)
    ]
    write_bytes(folder / RESPONSES, csv_bytes(pd.DataFrame(rows, columns=list(RESPONSE_COLUMNS))))
    card = {
        "name": "simulated-tracks",
        "version": "1",
        "title": "8 sentences about 16 synthetic tracks, 11 simulated listeners each",
        "licence": "MIT",
        "citation": "popeq",
        "simulated": True,
    }
    write_text(folder / CARD, tomli_w.dumps(card))
    write_text(folder / README, _README)


_README = f"""# simulated-tracks

{len(SENTENCES)} sentences about {TRACKS} synthetic tracks, {len(PANEL.listener_ids)} **simulated**
listeners each, in {FOLDS} folds of tracks: a track that is tested is never trained on. No recording is in it:
the tracks are computed by `popeq_audio.tracks`, `features.csv` holds their descriptors.

The listeners are the model of `simulated-120`. A sentence's centre is its word's, minus {CORRECTED} of
the track's own smile and tilt against the mean track: they are assumed to take back half of what
a track already has. A predictor that hears the track wins here by construction; by how much says nothing
about people. Made by `popeq_audio.simulated_tracks.generate`.
"""


if __name__ == "__main__":
    generate()
