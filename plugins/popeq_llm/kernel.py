"""Two readers of a sentence without a language model: kernel ridge regression, and a kernel-weighted mixture.

Both move and weigh the responses to all training prompts by the similarity of sentences: of their embeddings,
and of their words. What is not given is chosen by the board's own score where no training answer is its own
judge: on the validation prompts, or by leaving out one training prompt at a time where there are none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel
from scipy.linalg import cho_factor, cho_solve

from popeq.contract import LabelledPrompt, Prompt
from popeq.others_files import MOST_TABLE_BYTES, read_model
from popeq.runs.job import Labelled
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.encoder import open_encoder
from popeq_llm.model_selection import ValidationSet, systematic_draws
from popeq_llm.parameters import KernelRidgeParameters
from popeq_llm.retrieval import DECIMALS
from popeq_llm.similarity import Similarity, mixed

#: Of the kernel of the regression, exp((s - 1) / width) for sentences of similarity s.
_WIDTH = 0.5
_FILE = "kernel.json"
#: So that sums of weights are finite at any temperature.
_HEAVIEST = 1e12
#: Training prompts that ``explain`` names.
_EXPLAINED = 3
#: Most rounds of the search; each tries all values of each parameter.
_ROUNDS = 3


class Hyperparameters(NamedTuple):
    """What is searched: see ``KernelMixtureParameters``."""

    lexical: float = 0.5
    similarity_temperature: float = 0.05
    prior_similarity: float = 0.4
    shift: float = 0.6
    ridge: float = 0.3


#: The pool of all responses, whatever the sentence.
PRIOR = Hyperparameters(similarity_temperature=np.inf, shift=0.0)
GRID: Mapping[str, Sequence[float]] = {
    "lexical": (0.0, 0.3, 0.5, 0.7, 1.0),
    "similarity_temperature": (0.03, 0.05, 0.07, 0.1, 0.2),
    "prior_similarity": (0.2, 0.3, 0.4, 0.5, 0.6, 0.8),
    "shift": (0.0, 0.3, 0.6, 1.0),
    "ridge": (0.03, 0.1, 0.3, 1.0, 3.0, 10.0),
}


class _Kept(BaseModel):
    """A fit: of its hyperparameters those that are finite, because JSON has no infinity; ``PRIOR`` has it."""

    encoder: str
    prompts: list[Labelled]
    chosen: dict[str, float]
    headline_db: float | None


class Ridge:
    """Kernel ridge regression of the mean response to a prompt, towards the mean over all prompts."""

    def __init__(self, similarity: Floats, means: Floats, ridge: float) -> None:
        """``similarity`` (N, N) of the training prompts, ``means`` (N, 2) of their responses in dB."""
        self.centre = means.mean(axis=0)
        kernel = _kernel(similarity)
        inverse = cho_solve(cho_factor(kernel + ridge * np.eye(len(kernel))), np.eye(len(kernel)))
        self.coefficients = inverse @ (means - self.centre)
        self.fitted = self.predict(similarity)
        # Of a fit without the prompt itself (Rasmussen & Williams 2006, section 5.4.2).
        self.left_out = (means - self.coefficients / np.diag(inverse)[:, None]).round(DECIMALS)

    def predict(self, similarity: Floats) -> Floats:
        """Predicted means (Q, 2), dB, from similarities (Q, N); rounded."""
        return np.asarray((self.centre + _kernel(similarity) @ self.coefficients).round(DECIMALS))


class KernelRidge:
    """``kernel-ridge``: the residuals of all training prompts alike, around the regression's mean."""

    #: What is not searched, in place of the parameters.
    fixed: ClassVar[Mapping[str, float]] = {
        "similarity_temperature": np.inf,
        "prior_similarity": 1.0,
        "shift": 1.0,
    }

    def __init__(self, parameters: KernelRidgeParameters, space: Space) -> None:
        self.parameters, self.space = parameters, space

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Embed the training sentences and choose what is not given; nothing is drawn."""
        self._use(train)
        self.chosen, self.headline_db = self._chosen(validation)
        self.ridge = self._ridge(self.chosen)

    def save(self, folder: Path) -> None:
        """Write the training prompts and what was chosen."""
        kept = _Kept(
            encoder=self.similarity.encoder.identity,
            prompts=self.train,
            chosen={name: v for name, v in self.chosen._asdict().items() if np.isfinite(v)},
            headline_db=self.headline_db,
        )
        (folder / _FILE).write_text(kept.model_dump_json() + "\n", encoding="utf-8")

    def load(self, folder: Path) -> None:
        """Read what ``save`` has written; ValueError if it was made with another encoder."""
        kept = read_model(folder / _FILE, _Kept, MOST_TABLE_BYTES)
        self._use(kept.prompts)
        if kept.encoder != self.similarity.encoder.identity:
            raise ValueError("the embeddings are another encoder's")
        self.chosen = PRIOR._replace(**kept.chosen)
        self.headline_db = kept.headline_db
        self.ridge = self._ridge(self.chosen)

    def _use(self, train: Sequence[LabelledPrompt]) -> None:
        """Embed the training sentences and pool the responses."""
        self.train = sorted(train, key=lambda p: p.prompt.prompt_id)
        self.prompt_ids = [p.prompt.prompt_id for p in self.train]
        self.sizes = np.array([len(p.responses) for p in self.train])
        self.means = np.array([p.responses.mean(axis=0) for p in self.train])
        self.pool = np.concatenate([p.responses for p in self.train])
        self.owner = np.repeat(np.arange(len(self.train)), self.sizes)
        texts = [p.prompt.text for p in self.train]
        self.similarity = Similarity(texts, open_encoder(self.parameters.encoder))
        self.own = self.similarity.to(texts)

    def _ridge(self, values: Hyperparameters) -> Ridge:
        return Ridge(mixed(self.own, values.lexical), self.means, values.ridge)

    def _chosen(self, validation: Sequence[LabelledPrompt]) -> tuple[Hyperparameters, float | None]:
        """The best hyperparameters by coordinate descent, and their mean score.

        If nothing was given by hand, they are those of the prior unless the best is better by more than the
        standard error of its mean gain.
        """
        if not validation and len(self.train) == 1:
            return PRIOR, None
        held_out = ValidationSet(validation or self.train, self.space)
        to = self.similarity.to([p.prompt.text for p in validation]) if validation else self.own
        ridges = cache(lambda lexical, ridge: self._ridge(Hyperparameters(lexical=lexical, ridge=ridge)))

        @cache
        def scores(values: Hyperparameters) -> Floats:
            ridge, similarity = ridges(values.lexical, values.ridge), mixed(to, values.lexical)
            weights = weights_of(similarity, values)
            targets = ridge.predict(similarity) if validation else ridge.left_out
            if not validation:
                np.fill_diagonal(weights, 0.0)
            return held_out.scores(
                [
                    self._moved(systematic_draws(each), target, ridge, values)
                    for each, target in zip(self._shares(weights), targets, strict=True)
                ]
            )

        given = self.parameters.model_dump() | dict(self.fixed)
        held = {name: given[name] for name in Hyperparameters._fields if given.get(name) is not None}
        best = Hyperparameters()._replace(**held)
        for _ in range(_ROUNDS):
            before = best
            for name, values in GRID.items():
                if name not in held:
                    tried = [best, *(best._replace(**{name: value}) for value in values)]
                    best = min(tried, key=lambda s: round(float(scores(s).mean()), DECIMALS))
            if best == before:
                break
        gain = scores(PRIOR) - scores(best)
        unsure = len(gain) == 1 or gain.mean() * np.sqrt(len(gain)) <= gain.std(ddof=1)
        if unsure and held.keys() == self.fixed.keys():
            best = PRIOR
        return best, float(scores(best).mean())

    def _shares(self, weights: Floats) -> Floats:
        """Share of each response of the pool, (Q, responses), each row with the sum 1: a prompt's responses
        have equal parts of its weight."""
        each = weights / weights.sum(axis=1, keepdims=True) / self.sizes
        return np.asarray(each[:, self.owner])

    def _moved(
        self, drawn: NDArray[np.int64], target: Floats, ridge: Ridge, values: Hyperparameters
    ) -> Floats:
        """Responses of the pool, by index, moved by the regression and kept in the box."""
        by = values.shift * (target - ridge.fitted[self.owner[drawn]])
        return self.space.clip(self.pool[drawn] + by)

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """Independent draws (len(prompts), n, 2), dB: a response by its share, moved and kept in the box."""
        similarity = mixed(self.similarity.to([p.text for p in prompts]), self.chosen.lexical)
        shares, targets = self._shares(weights_of(similarity, self.chosen)), self.ridge.predict(similarity)
        return np.stack(
            [
                self._moved(rng.choice(len(own), size=n, p=own), target, self.ridge, self.chosen)
                for own, target, rng in zip(shares, targets, rngs, strict=True)
            ]
        )

    def describe(self) -> dict[str, Any]:
        """The encoder, what was chosen, and its mean score (dB) where it was chosen."""
        encoder, reached = self.similarity.encoder, self.headline_db
        return {
            "encoder": encoder.name,
            "encoder_revision": encoder.identity,
            "chosen": {name: v for name, v in self.chosen._asdict().items() if np.isfinite(v)},
            "choosing_headline_db": None if reached is None else round(reached, 4),
        }


class KernelMixture(KernelRidge):
    """``kernel-mixture``: the responses to all training prompts, weighted by similarity, each moved a part of
    the way that the regression moves its prompt's mean."""

    fixed: ClassVar[Mapping[str, float]] = {}

    def __init__(self, parameters: KernelRidgeParameters, space: Space) -> None:
        super().__init__(parameters, space)
        self._texts: dict[str, str] = {}

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """Independent draws (len(prompts), n, 2), dB: a response by its share, moved and kept in the box."""
        self._texts |= {p.prompt_id: p.text for p in prompts}
        return super().sample(prompts, n, rngs)

    def explain(self, prompt_id: str) -> Mapping[str, Any]:
        """The training prompts that weigh most for a sampled prompt, with their similarities and weights."""
        to = mixed(self.similarity.to([self._texts[prompt_id]]), self.chosen.lexical)
        weights = weights_of(to, self.chosen)[0]
        weights /= weights.sum()
        return {
            "retrieved": [
                {
                    "prompt_id": self.prompt_ids[i],
                    "similarity": round(float(to[0, i]), 4),
                    "weight": round(float(weights[i]), 4),
                }
                for i in np.argsort(-weights, kind="stable")[:_EXPLAINED].tolist()
            ]
        }


def weights_of(similarity: Floats, values: Hyperparameters) -> Floats:
    """Weights of the training prompts from their similarities, (Q, N).

    A training prompt of similarity s has exp((s - s0) / t), s0 being the prior's similarity and t the
    temperature; the prior has 1, of which all training prompts have equal parts.
    """
    with np.errstate(over="ignore"):
        each = np.exp((similarity - values.prior_similarity) / values.similarity_temperature)
    return np.asarray(np.minimum(each, _HEAVIEST) + 1.0 / similarity.shape[1])


def _kernel(similarity: Floats) -> Floats:
    return np.asarray(np.exp((similarity - 1.0) / _WIDTH))
