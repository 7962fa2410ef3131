"""A well-behaved predictor and the ways in which one can misbehave."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


class Blob:
    """Normal draws around a point, folded back into the box."""

    def __init__(self, parameters, space):
        self.parameters, self.space = parameters, space

    def fit(self, train, validation, rng):
        self.seen = sorted(p.prompt.prompt_id for p in train)

    def sample(self, prompts, n, rngs):
        spread, centre = (
            getattr(self.parameters, "spread_db", 1.0),
            getattr(self.parameters, "centre", (0, 0)),
        )
        return np.stack([self.space.clip(rng.normal(centre, spread, (n, 2))) for rng in rngs])

    def describe(self):
        return {"model": "blob-1", "parameters": 1, "trained_on": len(self.seen)}


class Telling(Blob):
    """Explains each prompt, with made-up retrieval."""

    def sample(self, prompts, n, rngs):
        self.texts = {p.prompt_id: p.text for p in prompts}
        return super().sample(prompts, n, rngs)

    def explain(self, prompt_id):
        found = [{"prompt_id": p, "similarity": 1 - 0.1 * i} for i, p in enumerate(self.seen)]
        return {"text": f"asked: {self.texts[prompt_id]}", "retrieved": found}


class Slow(Blob):
    """Counts how often each prompt is drawn, and takes its time."""

    def sample(self, prompts, n, rngs):
        time.sleep(self.parameters.pause_s)
        if "POPEQ_EXAMPLE_DRAWN" in os.environ:
            with Path(os.environ["POPEQ_EXAMPLE_DRAWN"]).open("a", encoding="utf-8") as stream:
                stream.writelines(f"{p.prompt_id}\n" for p in prompts)
        return super().sample(prompts, n, rngs)


class Crashes(Blob):
    def fit(self, train, validation, rng):
        raise RuntimeError("no luck\ntoday")


class Dies(Blob):
    def fit(self, train, validation, rng):
        os.kill(os.getpid(), signal.SIGKILL)


class Hangs(Blob):
    def sample(self, prompts, n, rngs):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        if "POPEQ_EXAMPLE_CHILD" in os.environ:
            Path(os.environ["POPEQ_EXAMPLE_CHILD"]).write_text(f"{os.getpid()} {child.pid}")
        time.sleep(600)


class WrongShape(Blob):
    def sample(self, prompts, n, rngs):
        return super().sample(prompts, n - 1, rngs)


class LeavesTheBox(Blob):
    def sample(self, prompts, n, rngs):
        return np.full((len(prompts), n, 2), 7.0)


class NotFinite(Blob):
    def sample(self, prompts, n, rngs):
        return np.full((len(prompts), n, 2), np.nan)


class NotJson(Blob):
    def describe(self):
        return {"model": object()}
