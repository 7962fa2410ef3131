"""Predictors that ask a language model for settings: about the sentence alone, or with examples beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np

from popeq.contract import LabelledPrompt, Prompt
from popeq.errors import RunError
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.answers import AnswerFormat, Bound, parse_answer
from popeq_llm.encoder import open_encoder
from popeq_llm.opening import open_model
from popeq_llm.parameters import ModelParameters, QaParameters, StaticParameters
from popeq_llm.retrieval import Retrieved, Retriever, check_count, typical_settings
from popeq_llm.templates import PROBES, Example, load_template

P = TypeVar("P", bound=ModelParameters)
S = TypeVar("S", bound=StaticParameters)


class Asking(Generic[P]):
    """What all of them share: a template, a model, a record of what was asked.

    Examples are training prompts with their typical settings (``typical_settings``: the same whatever the
    seed), so that a prompt is asked the same in every run and only the model's answers are chance.
    """

    name: ClassVar[str]
    pairs: ClassVar[int] = 1

    def __init__(self, parameters: P, space: Space) -> None:
        parameters.check_space(space)
        self.space = space
        self.parameters = parameters
        self._explained: dict[str, Mapping[str, Any]] = {}
        self._report: Callable[[str], None] = lambda _: None

    def report_to(self, report: Callable[[str], None]) -> None:
        """Where a line goes when a model is converted or loaded."""
        self._report = report

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Read the template, make the examples ready, open the model; nothing is trained.

        Raises UsageError for a template, an encoder, a model or a number of examples that cannot be used.
        """
        p = self.parameters
        self.template = load_template(p.template_kind, p.template, p.wording, self.space)
        self.form = self._form(self.template.form)
        self._prepare(train)
        self.model = open_model(self.parameters, self._report)
        examples = self._shared_examples()
        self.model.share([self.template.chat(sentence, examples) for sentence in PROBES])

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """``n`` independent answers to each prompt, dB."""
        return np.stack([np.concatenate(own) for own in self._answers(prompts, n, rngs)])

    def describe(self) -> dict[str, Any]:
        """The model, what it runs on, and how it is asked."""
        info = asdict(self.model.info)
        return {
            "model": info.pop("name"),
            **info,
            "notes": list(info["notes"]),
            "template": {"name": self.template.name, "sha256": self.template.sha256},
        }

    def explain(self, prompt_id: str) -> Mapping[str, Any]:
        """How a prompt was asked that has been sampled.

        ``text`` is all that the model read; ``retrieved`` the examples with their similarity, the nearest
        first; the counts are those of ``Generated.counts``; ``answered_by`` is who a server said it is.
        """
        return self._explained[prompt_id]

    def _form(self, one: AnswerFormat) -> Bound:
        """What is asked for, where ``one`` is a single setting."""
        return replace(one, pairs=self.pairs)

    def _prepare(self, train: Sequence[LabelledPrompt]) -> None:
        """Make examples ready."""

    def _shared_examples(self) -> list[Example]:
        """The examples that every prompt is shown; none where each has its own."""
        return []

    def _examples(self, prompts: Sequence[Prompt]) -> list[tuple[list[Example], tuple[Retrieved, ...]]]:
        """What each prompt is shown, and what of it was retrieved."""
        return [(self._shared_examples(), ()) for _ in prompts]

    def _answers(
        self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> list[list[Floats]]:
        """``n`` answers of the predictor's format to each prompt, as ``parse_answer`` gives them."""
        shown = self._examples(prompts)
        chats = [
            self.template.chat(p.text, examples) for p, (examples, _) in zip(prompts, shown, strict=True)
        ]
        given = self.model.generate(chats, n, self.form, rngs)
        answered_by = self.model.info.answered_by
        for i, (prompt, chat, (_, retrieved)) in enumerate(zip(prompts, chats, shown, strict=True)):
            self._explained[prompt.prompt_id] = {
                "text": self.model.render(chat),
                "retrieved": [asdict(r) for r in retrieved],
                **given.counts(i),
                **({"answered_by": answered_by} if answered_by else {}),
            }
        return [
            [self._parsed(prompt, answer) for answer in answers]
            for prompt, answers in zip(prompts, given.answers, strict=True)
        ]

    def _parsed(self, prompt: Prompt, answer: str) -> Floats:
        points = parse_answer(answer, self.form)
        if points is None:
            raise RunError(
                f"{self.name}: {self.model.info.name} answered {answer[:80]!r} to prompt {prompt.prompt_id!r}"
            )
        return points


class Zero(Asking[ModelParameters]):
    """The sentence alone."""

    name = "icl-zero"


class _WithExamples(Asking[S], Generic[S]):
    """Shows training prompts beside the sentence."""

    def _prepare(self, train: Sequence[LabelledPrompt]) -> None:
        check_count(self.name, "examples", self.parameters.examples, train)
        self.retriever = Retriever(train, open_encoder(self.parameters.encoder))

    def describe(self) -> dict[str, Any]:
        """Also the encoder."""
        return super().describe() | self.retriever.describe()

    def _example(self, prompt_id: str) -> Example:
        labelled = self.retriever.train[prompt_id]
        count = self.parameters.settings_per_example
        return labelled.prompt.text, typical_settings(labelled.responses, count)


class Static(_WithExamples[StaticParameters]):
    """The same examples for every sentence: prompts that cover the training set (``Retriever.covering``)."""

    name = "icl-static"

    def _prepare(self, train: Sequence[LabelledPrompt]) -> None:
        super()._prepare(train)
        self._shown = [self._example(i) for i in self.retriever.covering(self.parameters.examples)]

    def _shared_examples(self) -> list[Example]:
        return self._shown


class Rag(_WithExamples[S], Generic[S]):
    """The examples with the most similar sentences, the most similar last, next to the question."""

    name = "icl-rag"

    def _examples(self, prompts: Sequence[Prompt]) -> list[tuple[list[Example], tuple[Retrieved, ...]]]:
        nearest = self.retriever.nearest(prompts, self.parameters.examples)
        return [([self._example(r.prompt_id) for r in reversed(found)], found) for found in nearest]


class RagQa(Rag[QaParameters]):
    """A list of 11 settings an answer; samples are all settings of the answers, equally often, mixed."""

    name = "icl-rag-qa"
    pairs = 11

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """``n`` draws for each prompt, dB; no setting is drawn again before every other has been.

        The distribution of each draw is that of the paper's uniform draws with replacement, with less chance
        in the sample as a whole.
        """
        count = self.parameters.answers
        # Drawn first: what a model takes from the generator may depend on its cache.
        orders = [rng.permuted(np.resize(rng.permutation(count * self.pairs), n)) for rng in rngs]
        answers = self._answers(prompts, count, rngs)
        return np.stack([np.concatenate(own)[order] for own, order in zip(answers, orders, strict=True)])
