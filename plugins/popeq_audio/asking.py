"""Ask a fitted predictor about a sentence: its distribution, its modes, and one setting to try."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np

from popeq.contract import Prompt
from popeq.plain_text import json_text
from popeq.runs.worker import check_samples
from popeq.seeding import generator
from popeq.space import Space
from popeq.typing import Floats
from popeq_audio.checks import checked_sentence
from popeq_audio.fitted import Fitted
from popeq_audio.modes import Mode, find_modes

SAMPLES = 220
#: Settings so near to each other are hard to tell apart by ear on music; "sure" is counted with it.
NEAR_DB = 2.0


@dataclass(frozen=True, eq=False)
class Answer:
    """What a predictor says of a sentence: ``samples`` (n, 2) in dB inside ``space``."""

    text: str
    samples: Floats
    space: Space
    about: dict[str, Any]

    @cached_property
    def modes(self) -> list[Mode]:
        """The modes of the samples, the largest first."""
        return find_modes(self.samples, self.space)

    @property
    def recommended(self) -> tuple[float, float]:
        """The medoid of the largest mode: a setting of the distribution, never one between two modes."""
        return self.modes[0].medoid

    @property
    def near_share(self) -> float:
        """Share of the predicted listeners whose setting is within ``NEAR_DB`` of the recommended one."""
        return float((self._distances <= NEAR_DB).mean())

    @property
    def chance_share(self) -> float:
        """The same share if nothing were known of the sentence: uniform settings, the best possible place."""
        return float(np.pi * NEAR_DB**2 / np.prod(self.space.size))

    @property
    def expected_distance_db(self) -> float:
        """Mean distance from the recommended setting to a predicted listener's."""
        return float(self._distances.mean())

    @cached_property
    def _distances(self) -> Floats:
        return np.asarray(np.linalg.norm(self.samples - np.array(self.recommended), axis=1))

    def to_message(self) -> dict[str, Any]:
        """What makes the same answer again, as plain JSON values."""
        return asdict(self) | {"samples": self.samples.tolist()}

    @classmethod
    def of_message(cls, message: dict[str, Any]) -> Answer:
        """The answer that ``to_message`` was called on."""
        return cls(message["text"], np.array(message["samples"]), Space(**message["space"]), message["about"])

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values; dB throughout."""
        return {
            "text": self.text,
            "recommended": {"x_db": self.recommended[0], "y_db": self.recommended[1]},
            "sure": {
                "near_db": NEAR_DB,
                "near_share": self.near_share,
                "chance_share": self.chance_share,
                "expected_distance_db": self.expected_distance_db,
            },
            "modes": [
                {"weight": m.weight, "x_db": m.medoid[0], "y_db": m.medoid[1], "samples": len(m.members)}
                for m in self.modes
            ],
            "samples": self.samples.tolist(),
            **self.about,
        }


def ask(fitted: Fitted, text: str, n: int = SAMPLES, seed: int = 0) -> Answer:
    """Draw ``n`` settings for a sentence; the same question with the same seed has the same answer.

    Raises
    ------
    UsageError
        For an empty or very long sentence.
    """
    text = checked_sentence(text)
    prompt = Prompt("asked", text, "asked")
    rng = generator(seed, fitted.plan.predictor.name, "ask", text)
    space = fitted.plan.dataset.space
    samples = check_samples(fitted.predictor.sample([prompt], n, [rng]), [prompt], n, space)[0]
    return Answer(text, samples, space, fitted.about)


def printed(answer: Answer, as_json: bool) -> str:
    """What ``popeq ask`` prints: a plot with its summary, or one line of JSON with the bands."""
    if not as_json:
        from popeq_audio.pictures import terminal_plot

        return terminal_plot(answer)
    from popeq_audio.bands import fit_bands

    content = answer.to_json() | {"bands": fit_bands(answer.recommended).to_json()}
    return json_text(json.dumps(content, ensure_ascii=False))
