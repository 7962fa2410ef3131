"""``lora-ntp`` and ``prefix-ntp``: a language model trained to write listeners' settings as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from popeq.contract import LabelledPrompt, Prompt
from popeq.errors import UsageError
from popeq.space import PLANE, Space
from popeq_llm.answers import AnswerFormat, answer_text, parse_answer
from popeq_llm.local import LocalModel
from popeq_llm.templates import load_template
from popeq_llm.tree import takes_trees
from popeq_llm.trie import continuations
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone, caller
from popeq_peft.losses import ALARM_NATS
from popeq_peft.packing import Packed, pack, packed_losses
from popeq_peft.parameters import LoraNextTokenParameters, PrefixNextTokenParameters
from popeq_peft.tuned import FineTuned

NP = TypeVar("NP", bound=LoraNextTokenParameters | PrefixNextTokenParameters)
_ONE = AnswerFormat()


class Writer:
    """A causal model with an adapter that writes settings, and the sampling engine around it."""

    def __init__(self, backbone: Backbone, engine: LocalModel) -> None:
        self.backbone, self.engine = backbone, engine


class _NextTokenPredictor(FineTuned[NP, Writer], Generic[NP]):
    """Each listener's setting is an answer ``[x, y]`` to the prompt of ``icl-zero``; samples are constrained
    to valid answers and exact (popeq_llm)."""

    language = True

    def __init__(self, parameters: NP, space: Space) -> None:
        super().__init__(parameters, space)
        if space != PLANE:
            raise UsageError(
                f"{self.name}: settings are written as text for the box {PLANE.low.tolist()}.."
                f"{PLANE.high.tolist()} dB; that of this data set is {space.low.tolist()}.."
                f"{space.high.tolist()}; use head-mixture there"
            )
        self.template = load_template("zero", parameters.template)

    def _build(self, backbone: Backbone, train: Sequence[LabelledPrompt], seed: int) -> Writer:
        return self._writer(backbone)

    def _writer(self, backbone: Backbone) -> Writer:
        model = caller(backbone)
        if not takes_trees(model, len(backbone.tokenizer)):
            raise UsageError(
                f"--model {backbone.name}: does not take tree masks, which training on packed answers needs; "
                "use another causal model, or lora-head"
            )
        loaded = (model, backbone.tokenizer, backbone.revision)
        return Writer(backbone, LocalModel(backbone.name, device=str(model.device), loaded=loaded))

    def _task(
        self, member: Writer, examples: Sequence[Example], validation: Sequence[LabelledPrompt]
    ) -> _NextTokenTask:
        rows = [self._packed(member, e.text, e.responses) for e in examples]
        held = [self._packed(member, p.prompt.text, p.responses) for p in validation]
        return _NextTokenTask(member, rows, held, self.parameters.learning_rate, self.parameters.batch_size)

    def _packed(self, member: Writer, text: str, responses: NDArray[np.float64]) -> Packed:
        """The prompt of a sentence and its listeners' answers, as the tokenizer writes them together."""
        tokenizer = member.backbone.tokenizer
        before = member.engine.render(self.template.chat(text))
        answers = [answer_text([point], _ONE) for point in responses]

        def encode(texts: list[str]) -> list[list[int]]:
            found: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
            return found

        sequences, healed = continuations(encode, before, answers)
        ids = encode([before])[0]
        end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        return pack(ids[: len(ids) - healed], [s + end for s in sequences])

    def _draw(
        self, member: Writer, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> list[NDArray[np.float64]]:
        chats = [self.template.chat(p.text) for p in prompts]
        drawn = []
        for answers in member.engine.generate(chats, n, _ONE, rngs).answers:
            points = [parse_answer(a, _ONE) for a in answers]
            drawn.append(np.concatenate([p for p in points if p is not None]))
        return drawn

    def _write(self, member: Writer, folder: Path) -> None:
        member.backbone.save(folder)

    def _read(self, backbone: Backbone, folder: Path) -> Writer:
        return self._writer(backbone)

    def describe(self) -> dict[str, Any]:
        """Also the template."""
        return super().describe() | {"template": {"name": self.template.name, "sha256": self.template.sha256}}


class _NextTokenTask:
    """Trains the adapter on packed rows; the score is the validation answers' negative log-likelihood."""

    def __init__(
        self, member: Writer, rows: Sequence[Packed], held: Sequence[Packed], rate: float, batch_size: int
    ) -> None:
        self._member, self._rows, self._held = member, rows, held
        self._rate, self._batch_size = rate, batch_size
        self._model = caller(member.backbone)

    @property
    def prompts(self) -> int:
        return len(self._rows)

    @property
    def alarm(self) -> float:
        return ALARM_NATS

    def groups(self) -> list[dict[str, Any]]:
        """The adapter's parameters."""
        named = [(f"adapter.{n}", p) for n, p in self._member.backbone.trained.items()]
        return [{"params": named, "lr": self._rate}]

    def loss(self, items: Sequence[int]) -> Tensor:
        """Sum over prompts of the mean negative log-likelihood of their answers, nats."""
        self._member.backbone.train(True)
        rows = [self._rows[i] for i in items]
        return packed_losses(self._model, rows, self._model.dtype).sum()

    def validation(self) -> float | None:
        """Mean negative log-likelihood of the validation answers, nats."""
        if not self._held:
            return None
        self.rest()
        total = 0.0
        with torch.no_grad():
            for begin in range(0, len(self._held), self._batch_size):
                rows = self._held[begin : begin + self._batch_size]
                total += float(packed_losses(self._model, rows, self._model.dtype).sum())
        return total / len(self._held)

    def rest(self) -> None:
        """Turn the adapter's dropout off."""
        self._member.backbone.train(False)


class LoraNextToken(_NextTokenPredictor[LoraNextTokenParameters]):
    """With LoRA."""

    name = "lora-ntp"


class PrefixNextToken(_NextTokenPredictor[PrefixNextTokenParameters]):
    """With a trained prefix."""

    name = "prefix-ntp"
