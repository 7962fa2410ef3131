"""What a track does to the settings chosen for the same sentence: a ridge regression on descriptors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from popeq.contract import LabelledPrompt, Prompt
from popeq.errors import UsageError
from popeq.space import Space
from popeq.typing import Floats

#: Penalties that are tried, in units of the number of prompts; None is no effect at all.
RIDGES: tuple[float | None, ...] = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, None)


def features_of(prompt: Prompt, space: Space) -> Mapping[str, float] | None:
    """Descriptors of a prompt's track: the data set's, else measured from its file by the data set's space;
    None without either."""
    audio = prompt.audio
    if audio is None:
        return None
    if audio.file is not None and not audio.features:
        from popeq_audio.descriptors import describe_file

        return describe_file(audio.file, space)
    return audio.features or None


@dataclass(frozen=True, eq=False)
class TrackEffect:
    """Shift (dB) of the settings for a track: ``(features - mean) / scale @ weights``, weights (d, 2).

    ``ridge`` is the penalty that was chosen, None if the tracks were found to have no effect.
    """

    names: tuple[str, ...]
    mean: Floats
    scale: Floats
    weights: Floats
    ridge: float | None

    def __call__(self, features: Mapping[str, float]) -> Floats:
        """The shift (2,) of a track against the mean one, dB."""
        row = np.array([features[name] for name in self.names])
        shift: Floats = ((row - self.mean) / self.scale) @ self.weights
        return shift

    @classmethod
    def learn(cls, train: Sequence[LabelledPrompt], space: Space) -> TrackEffect:
        """From how the mean setting of one sentence differs from track to track.

        Sentence by sentence, means and features are centred, so that what the sentence asks for cancels. The
        penalty is the one that predicts a track best that was left out; if none helps, there is no effect.

        Raises UsageError if no training prompt comes with features of its track.
        """
        known = [(p, f) for p in train if (f := features_of(p.prompt, space)) is not None]
        if not known:
            raise UsageError(
                "text-audio-near: the data set has no features of its tracks; put the tracks in its folder "
                "audio/ and run 'popeq features FOLDER', or use text-near"
            )
        names = tuple(sorted(set.intersection(*(set(f) for _, f in known))))
        rows = np.array([[f[name] for name in names] for _, f in known])
        mean, scale = rows.mean(axis=0), rows.std(axis=0)
        scale[scale == 0.0] = 1.0
        rows = (rows - mean) / scale
        settings = np.array([p.responses.mean(axis=0) for p, _ in known])
        sentences = np.array([" ".join(p.prompt.text.split()).casefold() for p, _ in known])
        tracks = np.array([p.prompt.audio_id or p.prompt.prompt_id for p, _ in known])
        errors = {ridge: _left_out(rows, settings, sentences, tracks, ridge) for ridge in RIDGES}
        best = min(RIDGES, key=lambda ridge: errors[ridge])
        return cls(names, mean, scale, _weights(rows, settings, sentences, best), best)


def _centred(values: Floats, sentences: NDArray[np.str_]) -> Floats:
    out = values.copy()
    for sentence in np.unique(sentences):
        same = sentences == sentence
        out[same] -= values[same].mean(axis=0)
    return out


def _weights(rows: Floats, settings: Floats, sentences: NDArray[np.str_], ridge: float | None) -> Floats:
    if ridge is None:
        return np.zeros((rows.shape[1], 2))
    x, y = _centred(rows, sentences), _centred(settings, sentences)
    penalty = ridge * len(x) * np.eye(x.shape[1])
    return np.asarray(np.linalg.solve(x.T @ x + penalty, x.T @ y))


def _left_out(
    rows: Floats, settings: Floats, sentences: NDArray[np.str_], tracks: NDArray[np.str_], ridge: float | None
) -> float:
    """Sum of squares between the settings for a track and those predicted from the other tracks."""
    error = 0.0
    for track in np.unique(tracks):
        out = tracks == track
        rest = ~out
        weights = _weights(rows[rest], settings[rest], sentences[rest], ridge)
        for i in np.flatnonzero(out):
            same = rest & (sentences == sentences[i])
            if same.any():
                moved = settings[same].mean(axis=0) + (rows[i] - rows[same].mean(axis=0)) @ weights
                error += float(((settings[i] - moved) ** 2).sum())
    return error
