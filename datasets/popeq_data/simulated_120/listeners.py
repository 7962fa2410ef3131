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
        centre = centre + instrument_offset(sentence.instrument)
    return meaning(
        sentence.prompt_id, sentence.family, centre, sentence.prompt_id if sentence.second_centre else None
    )


def meaning(prompt_id: str, family: str, centre: Floats, minority: str | None) -> Meaning:
    """What a prompt with this centre (2,) asks. With ``minority``, the name that its second centre and the
    share of those who mean it depend on, some listeners understand it otherwise."""
    moved_on, share = uniforms(2, PROMPT_SEED, "second centre", minority or prompt_id)
    x, y = centre
    return Meaning(
        prompt_id=prompt_id,
        family=family,
        centre=centre,
        second=np.array([x, -y - np.copysign(np.interp(moved_on, (0, 1), MOVED_ON_DB), y)]),
        share=float(np.interp(share, (0, 1), MINORITY)) if minority else 0.0,
        ambiguity=float(np.exp(LOG_AMBIGUITY * normals(1, PROMPT_SEED, "ambiguity", prompt_id)[0])),
    )


def instrument_offset(instrument: str) -> Floats:
    """How an instrument moves every centre, (2,) dB."""
    return INSTRUMENT * normals(2, PROMPT_SEED, "instrument", instrument)


def settings(prompts: Sequence[Meaning], panel: Panel) -> Floats:
    """What the panel sets: (prompts, listeners, 2) in dB, rounded to 0.1 dB."""
    people = [answers(prompts, panel.seed, name, panel.shift) for name in panel.listener_ids]
    return np.stack(people, axis=1)


def answers(prompts: Sequence[Meaning], seed: int, name: str, shift: Point = (0.0, 0.0)) -> Floats:
    """What one listener sets for each prompt: (prompts, 2) in dB, rounded to 0.1 dB.

    An answer depends on the seed, the listener's name and the prompt alone.
    """
    person = normals(4, seed, name)
    tastes = {
        family: normals(2, seed, name, "family", family) for family in {prompt.family for prompt in prompts}
    }
    draws = [
        np.concatenate([person, tastes[p.family], normals(3, seed, name, "prompt", p.prompt_id)])
        for p in prompts
    ]
    return placed(prompts, np.stack(draws), shift)


def placed(prompts: Sequence[Meaning], draws: Floats, shift: Point = (0.0, 0.0)) -> Floats:
    """The points (P, 2) in dB that standard normal ``draws`` (P, 9) make of prompts.

    The draws are the listener's strength, offset (2) and tendency to be in a minority, the taste for the
    prompt's family (2), the residual (2), and what of being in the minority is of the moment.
    """
    log_strength, minded, moment = draws[:, 0], draws[:, 3], draws[:, 8]
    strength = np.exp(LOG_STRENGTH * log_strength)[:, None]
    other = PERSON * minded + MOMENT * moment < ndtri([prompt.share for prompt in prompts])
    centre = np.array([p.second if o else p.centre for p, o in zip(prompts, other, strict=True)])
    ambiguity = np.array([[prompt.ambiguity] for prompt in prompts])
    offset = np.array(shift) + OFFSET * draws[:, 1:3]
    points = strength * centre + offset + TASTE * draws[:, 4:6] + RESIDUAL * ambiguity * draws[:, 6:8]
    # Adding zero turns -0.0, which would be written with its sign, into 0.0.
    return np.round(PLANE.clip(points), 1) + 0.0
