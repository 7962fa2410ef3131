"""A predictor under examination: its spec and parameters, small made-up data, and what it drew from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from popeq.contract import LabelledPrompt, Parameters, Predictor, PredictorSpec, Prompt, load_object
from popeq.plugins import registry
from popeq.runs.job import labelled_for_predictor
from popeq.runs.plan import typed_parameters
from popeq.runs.worker import check_samples
from popeq.seeding import generator
from popeq.space import PLANE, Space
from popeq.typing import Floats

_SENTENCES = (
    ("warm", "make it warmer"),
    ("warm", "a warm sound for a cold morning"),
    ("bright", "brighter, like a window opened"),
    ("bright", "a bright lead guitar"),
    ("boom", "more boom for the party"),
    ("boom", "boomy, but not muddy"),
    ("calm", "calm piano, late at night"),
    ("calm", "something calm to read by"),
    ("warm", "warm vinyl crackle"),
    ("bright", "bright enough for a small speaker"),
    ("boom", "the boom of a big hall"),
    ("warm", "warmer vocals please"),
    ("calm", "a calm walk home"),
    ("bright", "sparkling, bright cymbals"),
)
_CENTRES = {"warm": (1.0, -2.5), "bright": (0.5, 3.0), "boom": (3.5, -1.0), "calm": (-2.0, -0.5)}
_LISTENERS = tuple(f"l{j}" for j in range(1, 6))
_GROUPS = ("one", "one", "two", "two", "two")


def _labelled(i: int, split: str, space: Space, spec: PredictorSpec) -> LabelledPrompt:
    word, text = _SENTENCES[i]
    rng = generator("popeq.testing", i)
    points = PLANE.clip(rng.normal(_CENTRES[word], 1.2, (len(_LISTENERS), 2))).round(2)
    if space != PLANE:  # the same places in the box, where its control offers a setting
        points = space.nearest(space.low + space.size * (points - PLANE.low) / PLANE.size)
    group = "two" if split == "test" else None
    prompt = Prompt(f"{word}-{i:02d}", text, "sound descriptor", split, group=group)
    (labelled,) = labelled_for_predictor([LabelledPrompt(prompt, points, _LISTENERS, _GROUPS)], spec)
    return labelled


@dataclass(frozen=True, eq=False)
class Subject:
    """What the checks look at. ``train``, ``validation`` and ``prompts`` are the same for everybody; answers
    are made up, in the box of ``space``. They are made again at every look: no predictor can reach what the
    next one is given."""

    spec: PredictorSpec
    parameters: Parameters
    space: Space = PLANE

    @classmethod
    def of(
        cls,
        predictor: str | PredictorSpec,
        options: Mapping[str, object] | None = None,
        space: Space = PLANE,
    ) -> Subject:
        """By name or spec, with parameters as ``popeq run -o`` takes them. Raises UsageError."""
        spec = registry().predictor(predictor) if isinstance(predictor, str) else predictor
        return cls(spec, typed_parameters(spec, options or {}), space)

    @property
    def train(self) -> list[LabelledPrompt]:
        return [_labelled(i, "train", self.space, self.spec) for i in range(8)]

    @property
    def validation(self) -> list[LabelledPrompt]:
        return [_labelled(i, "validation", self.space, self.spec) for i in range(8, 11)]

    @property
    def prompts(self) -> list[Prompt]:
        return [_labelled(i, "test", self.space, self.spec).prompt for i in range(11, 14)]

    def fresh(self) -> Predictor:
        """A new instance, not fitted."""
        predictor: Predictor = load_object(self.spec.factory)(self.parameters, self.space)
        return predictor

    def fit(
        self,
        predictor: Predictor,
        train: list[LabelledPrompt] | None = None,
        validation: list[LabelledPrompt] | None = None,
    ) -> Predictor:
        """Fit it as popeq does, on ``train`` if nothing is given, and return it. Lists are not copied."""
        rng = generator(0, self.spec.name, "fit", "split")
        predictor.fit(self.train if train is None else train, validation or [], rng)
        return predictor

    @cached_property
    def fitted(self) -> Predictor:
        """One instance, fitted on ``train`` and ``validation``; most checks share it."""
        return self.fit(self.fresh(), self.train, self.validation)

    def generators(self, prompts: Sequence[Prompt]) -> list[np.random.Generator]:
        """A new generator for each prompt, as runs of seed 0 have them."""
        return [generator(0, self.spec.name, "sample", p.prompt_id) for p in prompts]

    def draw(
        self,
        predictor: Predictor,
        prompts: Sequence[Prompt] | None = None,
        n: int = 7,
    ) -> Floats:
        """Samples (len(prompts), n, 2), dB, with popeq's own generators. Raises ContractError."""
        asked = self.prompts if prompts is None else prompts
        return check_samples(predictor.sample(asked, n, self.generators(asked)), asked, n, self.space)
