"""Named EQ presets chosen by keyword. The table (presets.csv) is ours, in the style of what products ship:
gains in dB in ten octave bands, projected on the plane."""

from __future__ import annotations

import csv
import importlib.resources
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt, Prompt
from popeq.space import HIGH_HZ, LOW_HZ, Space, curve_to_setting
from popeq_baselines import PresetParameters


@lru_cache(maxsize=1)
def presets() -> dict[str, tuple[frozenset[str], NDArray[np.float64]]]:
    """Keywords and setting (2,) in dB of each preset, in the order of the table."""
    text = importlib.resources.files("popeq_baselines").joinpath("presets.csv").read_text(encoding="utf-8")
    header, *rows = csv.reader(text.splitlines())
    bands = np.array([float(name) for name in header[2:]])
    frequency = np.geomspace(LOW_HZ, HIGH_HZ, 256)
    table = {}
    for name, keywords, *gains in rows:
        curve = np.interp(np.log(frequency), np.log(bands), np.array([float(g) for g in gains]))
        table[name] = (frozenset(keywords.split()), curve_to_setting(curve, frequency)[0])
    return table


class Preset:
    """The preset with the most keywords in the sentence, the first of the table if several have as many."""

    def __init__(self, parameters: PresetParameters, space: Space) -> None:
        self.fallback: str = parameters.fallback
        self.space = space

    def choose(self, text: str) -> str:
        """Name of the preset for a sentence."""
        words = set(re.findall(r"[^\W\d_]+", text.lower()))
        matches = {name: len(words & keywords) for name, (keywords, _) in presets().items()}
        best = max(matches, key=matches.__getitem__)
        return best if matches[best] else self.fallback

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Nothing to learn."""

    def sample(
        self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.float64]:
        """The chosen preset's point, n times."""
        points = [self.space.clip(presets()[self.choose(p.text)][1]) for p in prompts]
        return np.stack([np.tile(point, (n, 1)) for point in points])
