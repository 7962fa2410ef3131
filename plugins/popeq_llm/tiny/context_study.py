"""Which examples ``icl-rag`` should show the stand-in: ``python -m popeq_llm.tiny.context_study``.

Every training and validation prompt of simulated-120 is asked with examples from the training prompts that
turn on another word, as most test prompts turn on a word that no training prompt has. Nothing of a test
prompt is used. What came out stands in docs/language-models.md; all rules take about ten minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from popeq import load_dataset
from popeq.metrics import reflective_kantorovich
from popeq.seeding import generator
from popeq.typing import Floats
from popeq_data.simulated_120.tables import read_sentences
from popeq_llm.encoder import Encoder, open_encoder
from popeq_llm.knn import neighbour_weights, weighted_draws
from popeq_llm.local import LocalModel
from popeq_llm.models import Chat
from popeq_llm.parameters import KnnParameters, StaticParameters
from popeq_llm.retrieval import typical_settings
from popeq_llm.templates import load_template
from popeq_llm.tiny.context_rules import Context, Rule, rules
from popeq_llm.tiny.corpus import known_words
from popeq_llm.tiny.measure import DATASET, SAMPLES, draw


@dataclass(frozen=True, eq=False)
class Query:
    """A prompt that is asked. ``candidates`` are the positions of the training prompts on another word."""

    prompt_id: str
    text: str
    responses: Floats
    candidates: NDArray[np.intp]
    similarity: Floats
    unknown: bool  # the stand-in was not trained with the measured centre of its word


class Study:
    """Queries, training prompts and the model; scores are arrays (queries,), averaged over seeds."""

    def __init__(self, seeds: int, model: LocalModel | None = None, encoder: Encoder | None = None) -> None:
        self.seeds = seeds
        self.model = model or LocalModel()
        stage, responses = load_dataset(DATASET).stages[0], load_dataset(DATASET).responses
        sentences = {s.prompt_id: s for s in read_sentences()}
        points = {
            str(name): group.to_numpy(dtype=np.float64)
            for name, group in responses.groupby("prompt_id")[["x_db", "y_db"]]
        }
        asked = [*stage.train, *stage.validation]
        vectors = (encoder or open_encoder(StaticParameters().encoder)).encode(
            [sentences[name].text for name in asked]
        )
        similarity = vectors.astype(np.float64) @ vectors[: len(stage.train)].astype(np.float64).T
        self.among = similarity[: len(stage.train)]
        self.train = [(sentences[name].text, points[name]) for name in stage.train]
        words = np.array([sentences[name].word for name in stage.train])
        self.queries = [
            Query(
                name,
                sentences[name].text,
                points[name],
                np.flatnonzero(words != sentences[name].word),
                alike,
                sentences[name].word not in known_words(),
            )
            for name, alike in zip(asked, similarity, strict=True)
        ]

    def contexts(self, query: Query, rule: Rule) -> list[tuple[float, Context]]:
        """What a rule shows beside a query, as positions of training prompts."""
        own = query.candidates
        chosen = rule(query.similarity[own], self.among[np.ix_(own, own)])
        return [(weight, [(int(own[i]), each) for i, each in context]) for weight, context in chosen]

    def chat(self, query: Query, context: Context) -> Chat:
        """The question, with the examples of a context."""
        shown = [(*self.train[k], each) for k, each in context]
        examples = [(text, typical_settings(points, each)) for text, points, each in shown]
        return load_template("few" if examples else "zero").chat(query.text, examples)

    def scores(self, rule: Rule) -> tuple[Floats, float]:
        """Of the model with the examples of a rule, and the tokens that it reads for a prompt (mean)."""
        chosen = {query.prompt_id: self.contexts(query, rule) for query in self.queries}
        chats = [self.chat(query, shown) for query in self.queries for _, shown in chosen[query.prompt_id]]
        laws = iter(self.model.exact(chats))
        mixtures = {
            name: np.sum([weight * next(laws).probability for weight, _ in contexts], axis=0).reshape(
                121, 121
            )
            for name, contexts in chosen.items()
        }
        text = self.model.text
        tokens = sum(map(len, text.encode([text.pieces(chat) for chat in chats]))) / len(self.queries)
        return self._scored(
            lambda query, rng: draw(mixtures[query.prompt_id].reshape(121, 121), SAMPLES, rng)
        ), tokens

    def references(self) -> dict[str, Floats]:
        """Of predictors without a language model."""
        knn = KnnParameters()

        def prior(query: Query, rng: np.random.Generator) -> Floats:
            return rng.choice(np.concatenate([self.train[k][1] for k in query.candidates]), SAMPLES)

        def neighbours(query: Query, rng: np.random.Generator) -> Floats:
            order = query.candidates[np.argsort(-query.similarity[query.candidates], kind="stable")[: knn.k]]
            weights = neighbour_weights(query.similarity[order].tolist(), knn.similarity_temperature)
            return weighted_draws([self.train[k][1] for k in order], weights, SAMPLES, rng)

        return {
            "random": self._scored(lambda _, rng: rng.uniform(-6, 6, (SAMPLES, 2))),
            "prior": self._scored(prior),
            "knn": self._scored(neighbours),
        }

    def _scored(self, sample: Callable[[Query, np.random.Generator], Floats]) -> Floats:
        def score(query: Query, seed: int) -> float:
            rng = generator("context study", seed, query.prompt_id)
            return reflective_kantorovich(sample(query, rng), query.responses)

        of_seeds = [[score(query, seed) for query in self.queries] for seed in range(self.seeds)]
        return np.asarray(np.mean(of_seeds, axis=0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each rule: mean and median score, and paired differences with their standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=8, help="draws of 110 settings a prompt (default 8)")
    parser.add_argument("--only", default="", help="rules whose name contains this text")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    study = Study(chosen.seeds)
    unknown = np.array([query.unknown for query in study.queries])
    zero, tokens = study.scores(lambda *_: [(1.0, [])])
    base = {"zero": zero, **study.references()}
    others = "".join(f" minus {name} |" for name in base)
    print(f"| examples | tokens | mean | median |{others} mean, {unknown.sum()} unknown words |")
    print("|---" * (5 + len(base)) + "|")

    def row(name: str, scores: Floats, tokens: str) -> None:
        differences = [scores - other for other in base.values()]
        errors = [d.std(ddof=1) / np.sqrt(len(d)) for d in differences]
        cells = [name, tokens, f"{scores.mean():.3f}", f"{np.median(scores):.3f}"]
        cells += [f"{d.mean():+.3f} ({e:.3f})" for d, e in zip(differences, errors, strict=True)]
        print(f"| {' | '.join(cells)} | {scores[unknown].mean():.3f} |", flush=True)

    for name, scores in base.items():
        row(name, scores, f"{tokens:.0f}" if name == "zero" else "")
    for name, rule in rules().items():
        if chosen.only in name:
            found, tokens = study.scores(rule)
            row(name, found, f"{tokens:.0f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
