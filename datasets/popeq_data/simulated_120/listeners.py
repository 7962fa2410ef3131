"""The listener model: where each simulated person sets the equaliser for each prompt.

For listener j and prompt p of semantic family f, ``point = clip(g_j m_jp + b_j + d_jf + e_jp, -6, 6)``,
rounded to 0.1 dB. All spreads are standard deviations in dB, (smile, tilt).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from popeq.seeding import generator
from popeq.space import PLANE
from popeq.typing import Floats
from popeq_data.simulated_120.tables import Point, Sentence, read_words

LISTENERS = 11
#: One scale for every spread: it brought the distance between two panels near to SocialEQ's.
C = 1.25
LOG_STRENGTH = 0.30
OFFSET = C * np.array([0.65, 0.35])
TASTE = C * np.array([1.40, 1.50])
RESIDUAL = C * np.array([1.20, 1.15])
LOG_AMBIGUITY = 0.20
INSTRUMENT = np.array([0.5, 0.8])

#: The second centre: the tilt flipped and moved on by so much, for such a share of the listeners.
MOVED_ON_DB = (1.2, 1.8)
MINORITY = (0.20, 0.45)
#: How much being in a minority is a matter of the person, and how much of the moment; squares add to 1.
PERSON, MOMENT = 0.6, 0.8

PROMPT_SEED = 2600


@dataclass(frozen=True)
class Panel:
    """Eleven listeners: the letter of their names, their seed, a shift (x, y) in dB of all their tastes."""

    letter: str
    seed: int
    shift: Point = (0.0, 0.0)

    @property
    def listener_ids(self) -> list[str]:
        return [f"{self.letter}{j:02d}" for j in range(1, LISTENERS + 1)]


#: Eleven people differ from another eleven: 2603 is the first seed, counted from 2601, whose panel is within
#: every tolerance in ``statistics``. Panel B has the next seed, whatever it brings.
PANEL_A = Panel("a", 2603)
PANEL_B = Panel("b", 2604, (0.4, -0.3))


@dataclass(frozen=True, eq=False)
class Meaning:
    """What a prompt asks of everybody: centres in dB, the minority's share (0 with one centre), ambiguity."""

    prompt_id: str
    family: str
    centre: Floats
    second: Floats
    share: float
    ambiguity: float


def uniforms(n: int, *parts: str | int) -> Floats:
    """``n`` numbers inside (0, 1) that depend on ``parts`` alone, shape (n,).

    NumPy promises the raw stream of PCG64 for all versions, but not what its distributions make of it.
    """
    raw = np.asarray(generator("simulated-120", *parts).bit_generator.random_raw(n), dtype=np.uint64)
    return (np.right_shift(raw, np.uint64(11)) + 0.5) * 2.0**-53


def normals(n: int, *parts: str | int) -> Floats:
    """``n`` standard normal numbers that depend on ``parts`` alone, shape (n,)."""
    return np.asarray(ndtri(uniforms(n, *parts)))


def meanings(sentences: Sequence[Sentence]) -> list[Meaning]:
    """Each prompt's centres and ambiguity: the same for every panel."""
    words = read_words()
    return [_meaning(sentence, words) for sentence in sentences]


def _meaning(sentence: Sentence, words: dict[str, Point]) -> Meaning:
    centre = np.array(sentence.centre or words[sentence.word])
    if sentence.instrument:
        centre = centre + INSTRUMENT * normals(2, PROMPT_SEED, "instrument", sentence.instrument)
    moved_on, share = uniforms(2, PROMPT_SEED, "second centre", sentence.prompt_id)
    x, y = centre
    second = np.array([x, -y - np.copysign(np.interp(moved_on, (0, 1), MOVED_ON_DB), y)])
    return Meaning(
        prompt_id=sentence.prompt_id,
        family=sentence.family,
        centre=centre,
        second=second,
        share=float(np.interp(share, (0, 1), MINORITY)) if sentence.second_centre else 0.0,
        ambiguity=float(np.exp(LOG_AMBIGUITY * normals(1, PROMPT_SEED, "ambiguity", sentence.prompt_id)[0])),
    )


def settings(prompts: Sequence[Meaning], panel: Panel) -> Floats:
    """What the panel sets: (prompts, listeners, 2) in dB, rounded to 0.1 dB."""
    return np.stack([_listener(prompts, panel, name) for name in panel.listener_ids], axis=1)


def _listener(prompts: Sequence[Meaning], panel: Panel, name: str) -> Floats:
    log_strength, offset_x, offset_y, minded = normals(4, panel.seed, name)
    strength = np.exp(LOG_STRENGTH * log_strength)
    offset = np.array(panel.shift) + OFFSET * (offset_x, offset_y)
    tastes = {
        family: TASTE * normals(2, panel.seed, name, "family", family)
        for family in {prompt.family for prompt in prompts}
    }
    points = np.empty((len(prompts), 2))
    for point, prompt in zip(points, prompts, strict=True):
        residual_x, residual_y, moment = normals(3, panel.seed, name, "prompt", prompt.prompt_id)
        other = PERSON * minded + MOMENT * moment < ndtri(prompt.share)
        centre = prompt.second if other else prompt.centre
        residual = RESIDUAL * prompt.ambiguity * (residual_x, residual_y)
        point[:] = strength * centre + offset + tastes[prompt.family] + residual
    # Adding zero turns -0.0, which would be written with its sign, into 0.0.
    return np.round(PLANE.clip(points), 1) + 0.0
