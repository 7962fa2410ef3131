"""Train the stand-in: batches of dialogues, the loss on every setting in them, the optimisers."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedTokenizerFast

from popeq.seeding import generator
from popeq_llm.answers import TENTHS
from popeq_llm.tiny import tokens
from popeq_llm.tiny.chats import answer_of, chat_of
from popeq_llm.tiny.corpus import Dialogue, dialogues

POOL = 96  # dialogues that are sorted by length before they are cut into batches
BATCH_TOKENS = 2048
MUON_LR, ADAM_LR = 6e-3, 6e-3
WARM_UP = 0.05
#: Weight in the loss of a setting in an example, of one in the answer, and of the answer's other tokens.
EXAMPLE, ANSWER, FORM = 0.3, 1.0, 0.2
EMBEDDING_SD = 0.05
#: The embeddings of neighbouring numbers begin alike: over so many dB their likeness falls off.
LIKENESS_DB = 1.0


@dataclass(frozen=True)
class Size:
    """The shape of a stand-in."""

    hidden: int = 128
    layers: int = 4
    heads: int = 4
    inner: int = 384


@dataclass(frozen=True, eq=False)
class Encoded:
    """A dialogue as tokens; where a setting's halves are predicted, with what law; what else is learned."""

    ids: NDArray[np.int64]
    x_at: NDArray[np.int64]
    y_at: NDArray[np.int64]
    x_law: NDArray[np.float32]
    y_law: NDArray[np.float32]
    weights: NDArray[np.float32]
    form_at: NDArray[np.int64]


@dataclass(frozen=True)
class Progress:
    """Where training stands: excess nats a number over the corpus's own laws, and its other tokens' loss."""

    step: int
    excess: float
    form: float
    seconds: float


def new_model(tokenizer: PreTrainedTokenizerFast, size: Size, seed: int) -> Phi3ForCausalLM:
    """An untrained model with the Phi-3 architecture."""
    torch.manual_seed(seed)
    config = Phi3Config(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden,
        intermediate_size=size.inner,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=2048,
        original_max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = Phi3ForCausalLM(config)
    with torch.no_grad():
        table = model.model.embed_tokens.weight
        table.normal_(0.0, EMBEDDING_SD)
        numbers = torch.tensor(TENTHS)[:, None] / 10
        for pieces in (tokens.FIRST, tokens.SECOND):
            rows = tokenizer.convert_tokens_to_ids(list(pieces))
            waves = torch.randn(size.hidden) / LIKENESS_DB
            phases = 2 * math.pi * torch.rand(size.hidden)
            table[rows] = EMBEDDING_SD * math.sqrt(2) * torch.cos(numbers * waves + phases)
    return model


class Encoder:
    """Dialogues to tokens and targets."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._tokenizer = tokenizer
        self.first = np.array(tokenizer.convert_tokens_to_ids(list(tokens.FIRST)))
        self.second = np.array(tokenizer.convert_tokens_to_ids(list(tokens.SECOND)))
        self._assistant = tokens.ASSISTANT_ID

    def encode(self, dialogue: Dialogue) -> Encoded:
        chat = chat_of(dialogue.kind, dialogue.examples, dialogue.asked.sentence)
        messages = [{"role": message.role, "content": message.content} for message in chat]
        messages.append({"role": "assistant", "content": answer_of(dialogue)})
        text = str(self._tokenizer.apply_chat_template(messages, tokenize=False))
        ids = np.array(self._tokenizer(text, add_special_tokens=False)["input_ids"], dtype=np.int64)
        x_at = np.flatnonzero(np.isin(ids, self.first)) - 1
        shown = [*dialogue.examples, dialogue.asked]
        answered = len(dialogue.asked.cells)
        if len(x_at) != sum(len(each.cells) for each in shown):
            raise AssertionError(f"settings are not whole tokens in {text!r}")
        weights = np.full(len(x_at), EXAMPLE, dtype=np.float32)
        weights[-answered:] = ANSWER if answered > 1 else 3 * ANSWER
        form_at = np.arange(int(np.flatnonzero(ids == self._assistant)[-1]), len(ids) - 1)
        return Encoded(
            ids,
            x_at,
            x_at + 1,
            np.concatenate([np.tile(e.law.first(), (len(e.cells), 1)) for e in shown]).astype(np.float32),
            np.concatenate([e.law.second(e.cells[:, 0]) for e in shown]).astype(np.float32),
            weights,
            np.setdiff1d(form_at, np.concatenate([x_at, x_at + 1])),
        )


def batches(encoder: Encoder, seed: int) -> Iterator[list[Encoded]]:
    """Batches of dialogues of like length, without end."""
    source, rng = dialogues(seed), generator("popeq-tiny", "batches", seed)
    while True:
        pool = sorted((encoder.encode(next(source)) for _ in range(POOL)), key=lambda each: len(each.ids))
        cut: list[list[Encoded]] = [[]]
        for each in pool:
            if (len(cut[-1]) + 1) * len(each.ids) > BATCH_TOKENS:
                cut.append([])
            cut[-1].append(each)
        yield from (cut[int(i)] for i in rng.permutation(len(cut)))


def losses(
    model: Phi3ForCausalLM, encoder: Encoder, batch: list[Encoded]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weighted excess nats a number over its law, and nats a token of the answers' form."""
    length = max(len(each.ids) for each in batch)
    ids = np.full((len(batch), length), model.config.pad_token_id, dtype=np.int64)
    for row, each in zip(ids, batch, strict=True):
        row[: len(each.ids)] = each.ids
    states = model.model(input_ids=torch.from_numpy(ids), use_cache=False).last_hidden_state.flatten(0, 1)

    def at(field: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([getattr(e, field) + i * length for i, e in enumerate(batch)]))

    def joined(field: str) -> torch.Tensor:
        return torch.from_numpy(np.concatenate([getattr(each, field) for each in batch]))

    weights = joined("weights")
    excess = torch.zeros(())
    for where, law, pieces in (("x_at", "x_law", encoder.first), ("y_at", "y_law", encoder.second)):
        logs = functional.log_softmax(model.lm_head(states[at(where)]), dim=-1)[:, torch.from_numpy(pieces)]
        target = joined(law)
        nats = torch.special.xlogy(target, target).sum(1) - (target * logs).sum(1)
        excess = excess + (weights * nats).sum() / weights.sum() / 2
    form_at = at("form_at")
    form = functional.cross_entropy(
        model.lm_head(states[form_at]), torch.from_numpy(ids).flatten()[form_at + 1]
    )
    return excess, form


def train(
    model: Phi3ForCausalLM,
    encoder: Encoder,
    steps: int,
    seed: int,
    report: Callable[[Progress], None],
) -> None:
    """Muon on the matrices of the layers, AdamW on the rest; the learning rate rises, then falls to zero."""
    matrices = [p for p in model.model.layers.parameters() if p.ndim == 2]
    matrix_ids = {id(p) for p in matrices}
    rest = [p for p in model.parameters() if id(p) not in matrix_ids]
    optimisers = [
        torch.optim.Muon(matrices, lr=MUON_LR, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, lr=ADAM_LR, betas=(0.9, 0.95), weight_decay=0.01),
    ]
    rates = [MUON_LR, ADAM_LR]
    began = time.monotonic()
    model.train()
    for step, batch in zip(range(steps), batches(encoder, seed), strict=False):
        share = min((step + 1) / (WARM_UP * steps), (1 - step / steps) / (1 - WARM_UP))
        for optimiser, rate in zip(optimisers, rates, strict=True):
            optimiser.param_groups[0]["lr"] = rate * share
        excess, form = losses(model, encoder, batch)
        (excess + FORM * form).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        report(Progress(step, excess.item(), form.item(), time.monotonic() - began))
    model.eval()  # type: ignore[no-untyped-call]
