"""``lora-ntp`` and ``prefix-ntp``: a language model trained to write listeners' settings as text.

A prompt with all its answers is packed into one row: the answers are branches of a tree behind the prompt.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from popeq.contract import LabelledPrompt, Prompt
from popeq.errors import UsageError
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.answers import AnswerFormat, answer_text, parse_answer
from popeq_llm.architecture import additive_masks, check_length, new_cache
from popeq_llm.loading import Loaded
from popeq_llm.local import LocalModel
from popeq_llm.models import Chat
from popeq_llm.templates import PROBES, Template, load_template
from popeq_llm.tree import takes_trees
from popeq_llm.trie import build_trie, common_length, continuations
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone, caller
from popeq_peft.losses import DIVERGENCE_NATS
from popeq_peft.parameters import LoraNextTokenParameters, PrefixNextTokenParameters
from popeq_peft.tuned import FineTuned, Member


@dataclass(frozen=True)
class Packed:
    """One prompt and its answers. Slots ``start`` and on hold a node of the answers' trie each.

    ``tokens`` (T,) and ``positions`` (T,); ``sees[i]`` are the branch slots (from ``start``) that slot
    ``start + i`` sees, itself included; edge k says that ``target[k]`` follows the slot ``parent[k]``
    (``start - 1`` is the prompt's last token) in ``count[k]`` answers.
    """

    tokens: tuple[int, ...]
    positions: tuple[int, ...]
    start: int
    sees: tuple[tuple[int, ...], ...]
    parent: tuple[int, ...]
    target: tuple[int, ...]
    count: tuple[int, ...]
    answers: int


def pack(prompt: Sequence[int], answers: Sequence[Sequence[int]]) -> Packed:
    """A row in which each distinct prefix of the answers is there once, however many answers share it.

    ``prompt`` holds at least one token; no answer may begin another (end them with a token of their own).
    """
    counts = Counter(map(tuple, answers))
    trie = build_trie(list(counts))
    passed = [0] * len(trie.token)
    for index, count in enumerate(counts.values()):
        passed[trie.leaves[index]] = count
    for node in range(len(passed) - 1, 0, -1):
        passed[trie.parent[node]] += passed[node]
    begin = len(prompt)
    inner = [
        node for node, below in enumerate(trie.children) if node and below
    ]  # last tokens predict nothing
    slot: dict[int, int] = {0: begin - 1}
    sees: dict[int, tuple[int, ...]] = {0: ()}
    for i, node in enumerate(inner):
        slot[node], sees[node] = begin + i, (*sees[trie.parent[node]], i)
    return Packed(
        tokens=(*prompt, *(trie.token[node] for node in inner)),
        positions=(*range(begin), *(begin + trie.depth[node] - 1 for node in inner)),
        start=begin,
        sees=tuple(sees[node] for node in inner),
        parent=tuple(slot[above] for above in trie.parent[1:]),
        target=trie.token[1:],
        count=tuple(passed[1:]),
        answers=len(answers),
    )


def packed_losses(model: Any, rows: Sequence[Packed]) -> Tensor:
    """Mean negative log-likelihood (nats) of a prompt's answers, for each row, (B,).

    What all prompts begin with is computed once. What follows is padded on the left, so that the answers of
    all rows begin in one slot and only logits from there on are computed. ``model`` takes additive 4-D masks.
    """
    shared = _shared_tokens(model, rows)
    begin = max(row.start for row in rows) - shared
    width = begin + max(len(row.tokens) - row.start for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    positions = torch.zeros((len(rows), width), dtype=torch.long)
    visible = torch.eye(width, dtype=torch.bool).repeat(len(rows), 1, 1)
    for r, row in enumerate(rows):
        left, end = begin - (row.start - shared), begin + len(row.tokens) - row.start
        ids[r, left:end] = torch.tensor(row.tokens[shared:])
        positions[r, left:end] = torch.tensor(row.positions[shared:])
        visible[r, left:begin, left:begin] = torch.ones((begin - left, begin - left), dtype=torch.bool).tril()
        visible[r, begin:end, left:begin] = True
        for i, seen in enumerate(row.sees):
            visible[r, begin + i, [begin + s for s in seen]] = True
    visible = torch.cat([torch.ones((len(rows), width, shared), dtype=torch.bool), visible], dim=2)
    keys = torch.cat([torch.arange(shared).expand(len(rows), -1), positions], dim=1)
    positions = positions.to(model.device)
    out = model(
        ids.to(model.device),
        attention_mask=additive_masks(model, visible.to(model.device), positions, keys.to(model.device)),
        position_ids=positions,
        logits_to_keep=width - begin + 1,
        **_beginning(model, rows, shared),
    )
    log_p = out.logits.float().log_softmax(dim=-1)
    losses = []
    for r, row in enumerate(rows):
        at = torch.tensor([p - row.start + 1 for p in row.parent], device=log_p.device)
        counts = torch.tensor(row.count, dtype=torch.float32, device=log_p.device)
        found = log_p[r, at, torch.tensor(row.target, device=log_p.device)]
        losses.append(-(found * counts).sum() / row.answers)
    return torch.stack(losses)


def _shared_tokens(model: Any, rows: Sequence[Packed]) -> int:
    """How many tokens all prompts begin with, their last ones left out. None where activations are computed
    again in the backward pass (checkpointing), because transformers then keeps no cache."""
    modules: Iterable[Any] = getattr(model, "modules", tuple)()
    if len(rows) < 2 or any(getattr(module, "gradient_checkpointing", False) for module in modules):
        return 0
    return min(common_length([row.tokens for row in rows]), min(row.start for row in rows) - 1)


def _beginning(model: Any, rows: Sequence[Packed], tokens: int) -> dict[str, Any]:
    """Options of the forward pass of all rows behind their first ``tokens``, which are computed here."""
    if not tokens:
        return {"use_cache": False}
    cache = new_cache()
    first = torch.tensor([rows[0].tokens[:tokens]], device=model.device)
    model(first, past_key_values=cache, use_cache=True, logits_to_keep=1)
    cache.batch_repeat_interleave(len(rows))
    return {"past_key_values": cache, "use_cache": True}


NP = TypeVar("NP", bound=LoraNextTokenParameters | PrefixNextTokenParameters)


class Writer(Member):
    """A causal model with an adapter that writes settings, and the sampling engine around it."""

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.model = caller(backbone)
        if not takes_trees(self.model, len(backbone.tokenizer)):
            raise UsageError(
                f"--model {backbone.name}: does not take tree masks, which training on packed answers needs; "
                "use another causal model, or lora-head"
            )
        loaded = Loaded(self.model, backbone.tokenizer, backbone.name, backbone.revision)
        self.engine = LocalModel(backbone.name, device=str(self.model.device), loaded=loaded)
        self._shares = False

    def train(self, mode: bool) -> None:
        self._shares = False  # what chats begin with is computed again once the weights stay
        super().train(mode)

    def answers(
        self, template: Template, prompts: Sequence[Prompt], n: int, form: AnswerFormat, rngs: Sequence[Any]
    ) -> list[list[str]]:
        """``n`` answers to each prompt."""
        if not self._shares:
            self.engine.share([template.chat(sentence) for sentence in PROBES])
            self._shares = True
        return self.engine.generate([template.chat(p.text) for p in prompts], n, form, rngs).answers

    def packed(self, chat: Chat, responses: Floats, form: AnswerFormat) -> Packed:
        """A chat and its listeners' answers, as the tokenizer writes them together."""
        tokenizer = self.backbone.tokenizer
        before = self.engine.render(chat)
        answers = [answer_text([point], form) for point in responses]

        def encode(texts: list[str]) -> list[list[int]]:
            found: list[list[int]] = tokenizer(texts, add_special_tokens=False)["input_ids"]
            return found

        sequences, healed = continuations(encode, before, answers)
        ids = encode([before])[0]
        end = [] if tokenizer.eos_token_id is None else [int(tokenizer.eos_token_id)]
        check_length(self.backbone.name, self.model, [ids], max(map(len, sequences)) + len(end))
        return pack(ids[: len(ids) - healed], [s + end for s in sequences])

    def losses(self, rows: Sequence[Packed]) -> Tensor:
        """``packed_losses`` of the model."""
        return packed_losses(self.model, rows)


class _NextTokenPredictor(FineTuned[NP, Writer]):
    """Each listener's setting is an answer ``[x, y]`` to the prompt of ``icl-zero``; samples are constrained
    to valid answers and exact (popeq_llm)."""

    language = True

    def __init__(self, parameters: NP, space: Space) -> None:
        super().__init__(parameters, space)
        parameters.check_space(space)
        self.template = load_template("zero", parameters.template, parameters.wording, space)
        self.form = self.template.form

    def build(self, backbone: Backbone, train: Sequence[LabelledPrompt], seed: int) -> Writer:
        return Writer(backbone)

    def read(self, backbone: Backbone, folder: Path) -> Writer:
        return Writer(backbone)

    def task(
        self, member: Writer, examples: Sequence[Example], validation: Sequence[LabelledPrompt]
    ) -> NextTokenTask:
        rows = [member.packed(self.template.chat(e.text), e.responses, self.form) for e in examples]
        held = [member.packed(self.template.chat(p.prompt.text), p.responses, self.form) for p in validation]
        return NextTokenTask(member, rows, held, self.parameters.learning_rate, self.parameters.batch_size)

    def draw(
        self, member: Writer, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> list[Floats]:
        drawn = []
        for answers in member.answers(self.template, prompts, n, self.form, rngs):
            points = [parse_answer(a, self.form) for a in answers]
            drawn.append(np.concatenate([p for p in points if p is not None]))
        return drawn

    def describe(self) -> dict[str, Any]:
        """Also the template."""
        return super().describe() | {"template": {"name": self.template.name, "sha256": self.template.sha256}}


class NextTokenTask:
    """Trains the adapter on packed rows; the score is the validation answers' negative log-likelihood."""

    def __init__(
        self, member: Writer, rows: Sequence[Packed], held: Sequence[Packed], rate: float, batch_size: int
    ) -> None:
        self.member, self.rows, self.held = member, rows, held
        self.rate, self.batch_size = rate, batch_size
        self.prompts, self.divergence_rise = len(rows), DIVERGENCE_NATS

    def groups(self) -> list[dict[str, Any]]:
        """The adapter's parameters."""
        return [self.member.backbone.group(self.rate)]

    def loss(self, items: Sequence[int]) -> Tensor:
        """Sum over prompts of the mean negative log-likelihood of their answers, nats."""
        self.member.train(True)
        return self.member.losses([self.rows[i] for i in items]).sum()

    def validation(self) -> float | None:
        """Mean negative log-likelihood of the validation answers, nats."""
        if not self.held:
            return None
        self.member.train(False)
        total = 0.0
        with torch.no_grad():
            for begin in range(0, len(self.held), self.batch_size):
                total += float(self.member.losses(self.held[begin : begin + self.batch_size]).sum())
        return total / len(self.held)


class LoraNextToken(_NextTokenPredictor[LoraNextTokenParameters]):
    """With LoRA."""

    name = "lora-ntp"


class PrefixNextToken(_NextTokenPredictor[PrefixNextTokenParameters]):
    """With a trained prefix."""

    name = "prefix-ntp"
