"""A base model with a head: features of sentences, what is trained, and how it is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from popeq.contract import LabelledPrompt
from popeq.errors import UsageError
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone
from popeq_peft.checkpoint import write_bytes
from popeq_peft.heads import Pooling
from popeq_peft.losses import padded_responses

HEAD = "head.safetensors"
#: (what the head gives, responses (B, m, 2), mask (B, m)) -> one number a prompt, (B,)
Loss = Callable[[Any, Tensor, Tensor], Tensor]


class HeadMember:
    """A base model, perhaps with an adapter, a pooling and a head."""

    def __init__(self, backbone: Backbone, pooling: Pooling, head: nn.Module) -> None:
        self.backbone = backbone
        self.pooling = pooling.to(backbone.device)
        self.head = head.to(backbone.device)
        self._kept: dict[str, Tensor] = {}

    @property
    def modules(self) -> nn.ModuleDict:
        """What is trained beside the adapter."""
        return nn.ModuleDict({"pooling": self.pooling, "head": self.head})

    def train(self, mode: bool) -> None:
        """Turn what is random in training on or off."""
        self.modules.train(mode)
        self.backbone.train(mode)

    def pooled(self, texts: Sequence[str]) -> Tensor:
        """One vector a sentence, (B, width)."""
        if self.backbone.adapted is not None:
            ids, mask = self.backbone.tokens(texts)
            return self.pooling(self.backbone.hidden(ids, mask), mask)  # type: ignore[no-any-return]
        rows = [self._states(text) for text in texts]  # a base model without an adapter never changes
        hidden = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        mask = nn.utils.rnn.pad_sequence(
            [torch.ones(len(r), dtype=torch.long) for r in rows], batch_first=True
        )
        return self.pooling(hidden, mask.to(hidden.device))  # type: ignore[no-any-return]

    def alone(self, text: str) -> Tensor:
        """The vector (1, width) of a sentence that is fed by itself: no other one changes a bit of it."""
        return self.pooled([text])

    def _states(self, text: str) -> Tensor:
        if text not in self._kept:
            with torch.no_grad():
                ids, mask = self.backbone.tokens([text])
                self._kept[text] = self.backbone.hidden(ids, mask)[0]
        return self._kept[text]

    def write(self, folder: Path) -> None:
        """Adapter (peft's format) and head, as safetensors."""
        self.backbone.save(folder)
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.modules.state_dict().items()}
        write_bytes(folder / HEAD, save(tensors))

    def read(self, folder: Path) -> HeadMember:
        """Take the pooling's and the head's weights from a folder. Raises UsageError if they do not fit."""
        try:
            self.modules.load_state_dict(load_file(folder / HEAD, device=str(self.backbone.device)))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:160]
            raise UsageError(
                f"adapter {folder}: its {HEAD} does not fit: {reason}; give the parameters that it was "
                "trained with (popeq.json)"
            ) from None
        self.train(False)
        return self


class HeadTask:
    """Trains a member on examples with a loss, and scores it on the validation prompts."""

    def __init__(
        self,
        member: HeadMember,
        examples: Sequence[Example],
        validation: Sequence[LabelledPrompt],
        rates: tuple[float, float],
        loss: Loss,
        score: Callable[[Tensor, Tensor, Tensor], Tensor],
        alarm: float,
    ) -> None:
        self.member, self.rates, self._loss, self._score = member, rates, loss, score
        self._alarm = alarm
        device = member.backbone.device
        self.texts = [e.text for e in examples]
        self.responses, self.mask = (t.to(device) for t in padded_responses([e.responses for e in examples]))
        self.held = [p.prompt.text for p in validation]
        if self.held:
            points, mask = padded_responses([p.responses for p in validation])
            self.held_responses, self.held_mask = points.to(device), mask.to(device)

    @property
    def prompts(self) -> int:
        return len(self.texts)

    @property
    def alarm(self) -> float:
        return self._alarm

    def groups(self) -> list[dict[str, Any]]:
        """The adapter and the head, each with its learning rate."""
        adapter = [(f"adapter.{n}", p) for n, p in self.member.backbone.trained.items()]
        head = [(n, p) for n, p in self.member.modules.named_parameters() if p.requires_grad]
        groups = [{"params": adapter, "lr": self.rates[0]}, {"params": head, "lr": self.rates[1]}]
        return [g for g in groups if g["params"]]

    def loss(self, items: Sequence[int]) -> Tensor:
        """Sum of the losses of some examples."""
        self.member.train(True)
        given = self.member.head(self.member.pooled([self.texts[i] for i in items]))
        index = torch.tensor(list(items), device=self.mask.device)
        mask = self.mask[index]
        most = int(mask.sum(dim=1).max())
        return self._loss(given, self.responses[index, :most], mask[:, :most]).sum()

    def validation(self) -> float | None:
        """Mean score of the validation prompts."""
        if not self.held:
            return None
        self.rest()
        with torch.no_grad():
            pooled = self.member.pooled(self.held)
            return float(self._score(pooled, self.held_responses, self.held_mask).mean())

    def rest(self) -> None:
        """Turn dropout off."""
        self.member.train(False)
