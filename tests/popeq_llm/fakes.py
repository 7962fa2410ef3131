"""An encoder and a language model for tests: quick, deterministic, and they remember what they were asked."""

from __future__ import annotations

import hashlib

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq_llm.answers import MixtureForm, answer_text
from popeq_llm.models import Generated, ModelInfo


class WordEncoder:
    """Bags of words: sentences that share words are similar."""

    name = identity = "words"

    def __init__(self):
        self.asked = []

    def encode(self, texts):
        self.asked += texts
        vectors = []
        for text in texts:
            vector = np.full(256, 1e-3)
            for word in text.lower().split():
                vector[int(hashlib.sha256(word.encode()).hexdigest(), 16) % 256] += 1.0
            vectors.append(vector / np.linalg.norm(vector))
        return np.array(vectors, dtype=np.float32)


class FakeModel:
    """Answers with the first number of the chat's hash and draws from the generator it is given."""

    def __init__(self, parameters=None, report=None, *, rejected=0):
        self.parameters, self.rejected, self.chats, self.given = parameters, rejected, [], {}

    @property
    def info(self):
        return ModelInfo("fake", "r1", "Q4_1", 7, "cpu", "float32", ("a note",))

    def render(self, chat):
        return "".join(f"<{m.role}>{m.content}" for m in chat)

    def share(self, chats):
        self.shared = list(chats)

    def generate(self, chats, n, form, rngs):
        answers = []
        for chat, rng in zip(chats, rngs, strict=True):
            self.chats.append(chat)
            shift = int(hashlib.sha256(self.render(chat).encode()).hexdigest(), 16) % 20 / 10
            points = rng.integers(-40, 41, (n, form.pairs, 2)) / 10 + shift
            if isinstance(form, MixtureForm):
                points = np.array([[[60, *p, 0.5], [40, *-p, 0.5]] for p in points[:, 0]])
            answers.append([answer_text(p, form) for p in points])
            self.given[self.render(chat)] = points
        return Generated(
            answers,
            tuple(self.rejected + i for i in range(len(chats))) if self.rejected else (0,) * len(chats),
        )


def labelled(prompt_id, text, points):
    points = np.asarray(points, dtype=float)
    return LabelledPrompt(
        Prompt(prompt_id, text, "colour", "train"), points, tuple(f"l{i}" for i in range(len(points)))
    )


SENTENCES = {
    "t0": "warm and soft",
    "t1": "warm and round",
    "t2": "bright like glass",
    "t3": "bright like a razor",
    "t4": "party in the kitchen",
    "t5": "lullaby for the cat",
}


def training(responses=7):
    rng = np.random.default_rng(3)
    return [labelled(i, text, rng.integers(-60, 61, (responses, 2)) / 10) for i, text in SENTENCES.items()]
