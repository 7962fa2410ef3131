"""Predictors for the tests of a search; imported by the processes that run them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import numpy as np
from pydantic import Field

import popeq


class RememberingParameters(popeq.Parameters):
    spread_db: float = Field(1.0, gt=0, le=9, json_schema_extra=popeq.tuned(0.2, 5, log=True))
    lean: str = Field("none", json_schema_extra=popeq.tuned_choice("none", "bright"))
    diary: str = Field(description="file that gets a line for each call")


class LearningParameters(popeq.Parameters):
    epochs: int = Field(9, ge=1)
    rate: float = Field(0.05, gt=0, lt=1, json_schema_extra=popeq.tuned(0.01, 0.9))
    width: int = Field(2, ge=1, json_schema_extra=popeq.tuned(1, 3))
    pause_s: float = Field(0.0, ge=0)
    diary: str | None = None


class Remembers:
    """Draws around the training mean, and writes down everything that it is given."""

    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def _note(self, **what):
        with Path(self.parameters.diary).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(what) + "\n")

    def fit(self, train, validation, rng):
        for split, prompts in (("train", train), ("validation", validation)):
            for p in prompts:
                given = {"id": p.prompt.prompt_id, "text": p.prompt.text, "split": p.prompt.split}
                self._note(call=split, **given, responses=p.responses.tolist())
        self._note(call="environment", keys=sorted(os.environ))
        lean = {"none": 0.0, "bright": 1.0}[self.parameters.lean]
        self.centre = np.mean([p.responses.mean(axis=0) for p in train], axis=0) + [0.0, lean]

    def sample(self, prompts, n, rngs):
        for p in prompts:
            self._note(call="sample", id=p.prompt_id, text=p.text)
        draws = [rng.normal(self.centre, self.parameters.spread_db, (n, 2)) for rng in rngs]
        return self.space.clip(np.stack(draws))


class Served(Remembers):
    """Says who answers: what a file beside its diary says."""

    def explain(self, prompt_id):
        return {"answered_by": Path(f"{self.parameters.diary}.who").read_text()}


class Learns:
    """Comes closer to the training mean with each epoch, at a rate of its own; too high a rate fails."""

    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def fit(self, train, validation, rng):
        p = self.parameters
        if p.diary:
            with Path(p.diary).open("a", encoding="utf-8") as stream:
                stream.write(f"{p.epochs}\n")
        time.sleep(p.pause_s)
        if p.rate > 0.6:
            raise RuntimeError(f"rate {p.rate:g} blew up")
        goal = np.mean([r.responses.mean(axis=0) for r in train], axis=0)
        start = np.array([5.0, 5.0])
        self.centre = goal + (start - goal) * (1 - p.rate) ** p.epochs

    def sample(self, prompts, n, rngs):
        return self.space.clip(np.stack([rng.normal(self.centre, 2.0, (n, 2)) for rng in rngs]))


REMEMBERS, SERVED, LEARNS = (
    popeq.PredictorSpec("subject", "for tests", f"{__name__}:{of}", parameters=parameters)
    for of, parameters in (
        ("Remembers", RememberingParameters),
        ("Served", RememberingParameters),
        ("Learns", LearningParameters),
    )
)


def tune_learns(folder: str, how: dict) -> None:
    """A search in a process that is going to be killed."""
    popeq.tune(LEARNS, folder, **how)
