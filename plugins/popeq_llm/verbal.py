"""``icl-verbal``: a language model states the distribution of listeners' settings in words, as a mixture.

Published work finds that language models describe a distribution better than they draw from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.space import PLANE, Space
from popeq.typing import Floats, Ints
from popeq_llm.answers import AnswerFormat, Bound, MixtureForm, answer_text
from popeq_llm.encoder import open_encoder
from popeq_llm.icl import Asking
from popeq_llm.parameters import VerbalParameters
from popeq_llm.retrieval import Retrieved, Retriever, check_count
from popeq_llm.templates import Example

#: Settings are described as two components where these leave at most this share of the squared deviations
#: from the mean; the two halves of a single Gaussian leave 1 - 1/pi, about 0.68.
_TWO = 0.3


class Verbal(Asking[VerbalParameters]):
    """Each answer is a mixture in words; samples are draws from the average of the answers' mixtures.

    A component is a Gaussian of the same spread on both axes. Its mass beyond an edge of the box is folded
    back (``Space.fold``), as the headline score folds its kernels (Silverman, *Density Estimation*, 1986,
    section 2.10), so that sampling is exact and every sample is in the box. Examples are the most similar
    training prompts, the most similar last, described in the same words (``described``).
    """

    name = "icl-verbal"

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """``n`` draws for each prompt, dB, equally many from each of its answers up to one."""
        # Drawn first: what a model takes from the generator may depend on its cache.
        seeds = [int(rng.integers(2**63 - 1)) for rng in rngs]
        answers = self._answers(prompts, self.parameters.answers, rngs)
        for prompt, own in zip(prompts, answers, strict=True):
            words = {"answers": [answer_text(mixture, self.form) for mixture in own]}
            self._explained[prompt.prompt_id] = {**self._explained[prompt.prompt_id], **words}
        return np.stack(
            [
                draws(own, n, np.random.default_rng(seed), self.space)
                for own, seed in zip(answers, seeds, strict=True)
            ]
        )

    def describe(self) -> dict[str, Any]:
        """Also the encoder, if examples are shown."""
        return super().describe() | (self._retriever.describe() if self._retriever else {})

    def _form(self, one: AnswerFormat) -> Bound:
        return MixtureForm(space=one.space)

    def _prepare(self, train: Sequence[LabelledPrompt]) -> None:
        self._retriever = None
        if self.parameters.examples:
            check_count(self.name, "examples", self.parameters.examples, train)
            self._retriever = Retriever(train, open_encoder(self.parameters.encoder))

    def _examples(self, prompts: Sequence[Prompt]) -> list[tuple[list[Example], tuple[Retrieved, ...]]]:
        if self._retriever is None:
            return super()._examples(prompts)
        train = self._retriever.train
        found = self._retriever.nearest(prompts, self.parameters.examples)
        return [([self._in_words(train[r.prompt_id]) for r in reversed(own)], own) for own in found]

    def _in_words(self, labelled: LabelledPrompt) -> Example:
        return labelled.prompt.text, answer_text(described(labelled.responses), self.form)


def draws(mixtures: Sequence[Floats], n: int, rng: np.random.Generator, space: Space = PLANE) -> Floats:
    """``n`` draws (n, 2), dB, from the average of mixtures (K, 4), in random order.

    As many come from each mixture up to one; which give one more is chance, so that each draw has the
    distribution of the average. Weights are relative: they need not sum to 100.
    """
    count = len(mixtures)
    times = np.bincount(np.resize(rng.permutation(count), n), minlength=count)
    chosen = np.concatenate(
        [
            mixture[rng.choice(len(mixture), size=size, p=mixture[:, 0] / mixture[:, 0].sum())]
            for mixture, size in zip(mixtures, times, strict=True)
        ]
    )
    return rng.permutation(space.fold(rng.normal(chosen[:, 1:3], chosen[:, 3:])))


def described(points: Floats) -> Floats:
    """Settings (m, 2), dB, as a mixture (K, 4) of one component, or of two where they are clearly two groups.

    The centres are means and the spread, which all components share, is the standard deviation about them,
    averaged over both axes. The two groups are those of 2-means (Lloyd's algorithm) from the two settings
    that are farthest apart; the larger one comes first. Nothing is random.
    """
    points = points[np.lexsort((points[:, 1], points[:, 0]))]  # so that the order of rows means nothing
    group = np.zeros(len(points), dtype=int)
    left = total = _deviations(points, group)
    halves = _two_means(points)
    if _deviations(points, halves) <= _TWO * total and halves.any():
        group, left = halves, _deviations(points, halves)
    sizes = np.bincount(group)
    spread = np.sqrt(left / (2 * max(len(points) - len(sizes), 1)))
    order = np.argsort(-sizes, kind="stable")
    return np.array([[100 * sizes[k] / len(points), *points[group == k].mean(axis=0), spread] for k in order])


def _two_means(points: Floats) -> Ints:
    """The group, 0 or 1, of each of the points (m, 2)."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    centres = points[[*np.unravel_index(np.argmax(distance), distance.shape)]]
    while True:
        group: Ints = np.linalg.norm(points[:, None] - centres, axis=2).argmin(axis=1)
        if not group.any():  # all points are the same
            return group
        moved = np.array([points[group == k].mean(axis=0) for k in (0, 1)])
        if np.allclose(moved, centres):
            return group
        centres = moved


def _deviations(points: Floats, group: Ints) -> float:
    """The sum of squared deviations (dB^2) of points (m, 2) from the means of their groups."""
    centres = np.array([points[group == k].mean(axis=0) for k in range(group.max() + 1)])
    return float(np.square(points - centres[group]).sum())
