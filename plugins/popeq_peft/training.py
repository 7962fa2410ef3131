"""The training loop: batches, early stopping, divergence, and going on where a killed training stopped.

What training keeps between epochs is one safetensors file that is written in one step; never pickled.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from popeq.atomic import write_bytes
from popeq.errors import RunError
from popeq.terminal import Bar
from popeq_peft.team import ALONE, Team

_PARTS = ("now", "best", "optimizer")
_CLIP = 1.0


@dataclass
class Progress:
    """The state of a training after some epochs.

    ``now`` and ``best`` hold what is trained, by name; ``optimizer`` AdamW's moments; ``history`` one entry
    an epoch; ``fingerprint`` everything that training depends on, so that no other one's state is taken up.
    """

    fingerprint: str
    now: dict[str, Tensor]
    best: dict[str, Tensor]
    optimizer: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    stopped: str = ""


def write_progress(path: Path, progress: Progress) -> None:
    """Replace the file in one step."""
    tensors = {
        f"{part}:{name}": tensor.detach().cpu().contiguous().clone()
        for part in _PARTS
        for name, tensor in getattr(progress, part).items()
    }
    content = {k: getattr(progress, k) for k in ("fingerprint", "history", "best_epoch", "stopped")}
    write_bytes(path, save(tensors, {"progress": json.dumps(content)}))


def read_progress(path: Path, fingerprint: str) -> Progress | None:
    """What is in the file; None if there is none, it is broken, or it belongs to another training."""
    parts: dict[str, Any] = {part: {} for part in _PARTS}
    try:
        with safe_open(path, "pt") as file:
            content: dict[str, Any] = json.loads((file.metadata() or {})["progress"])
        for key, tensor in load_file(path).items():
            part, _, name = key.partition(":")
            parts[part][name] = tensor
    except (OSError, ValueError, KeyError, SafetensorError):
        return None
    return Progress(**content, **parts) if content.get("fingerprint") == fingerprint else None


class Task(Protocol):
    """What is trained: its parameters, the loss of some prompts, the score on the validation prompts.

    ``prompts`` is how many prompts (rewritten copies included) there are to train on; ``divergence_rise`` the
    rise of the loss above the untrained model's that no useful training makes, in the loss's unit.
    """

    prompts: int
    divergence_rise: float

    def groups(self) -> list[dict[str, Any]]:
        """What is trained, as an optimizer's groups: ``params`` (names and parameters) and ``lr``."""

    def loss(self, items: Sequence[int]) -> Tensor:
        """Sum of the losses of some prompts, by index; with what is random in training."""

    def validation(self) -> float | None:
        """Score on the validation prompts, lower is better; None if there are none."""


@dataclass(frozen=True)
class Schedule:
    """How long and in which steps; see ``TrainingParameters``."""

    epochs: int
    batch_size: int
    weight_decay: float
    patience: int
    seed: int


def train(
    task: Task,
    schedule: Schedule,
    fingerprint: str,
    file: Path | None = None,
    team: Team = ALONE,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Progress:
    """Train and leave the best parameters in the task's modules; returns the history.

    The best epoch is that of the lowest validation score; without validation prompts it is the last. The
    learning rate falls to zero along a cosine. All that is random in epoch e is derived from (seed, e), so
    that a training that goes on from ``file`` gives the very numbers of one that was never stopped.

    Raises
    ------
    RunError
        If the loss diverges before a single epoch was good; afterwards the last good state is kept, with a
        warning. Also if memory runs out.
    """
    training = _Training(task, schedule, team)
    progress = training.begin(read_progress(file, fingerprint) if file else None, fingerprint)
    try:
        start = training.probe()
        with Bar("epochs", schedule.epochs, len(progress.history)) as bar:
            while len(progress.history) < schedule.epochs and not progress.stopped:
                epoch = len(progress.history)
                loss = training.epoch(epoch)
                worst = max(loss, training.probe()) if math.isfinite(loss) else loss
                training.judge(progress, loss, worst, start)
                if file and team.rank == 0:
                    write_progress(file, progress)
                last = progress.history[-1]
                shown = ", ".join(f"{k} {last[k]:.3f}" for k in ("loss", "validation") if k in last)
                bar.say(shown)
                bar.step()
                on_progress(f"epoch {epoch + 1}/{schedule.epochs}, {shown}")
    except RuntimeError as error:
        if isinstance(error, torch.OutOfMemoryError) or "allocate memory" in str(error):
            raise out_of_memory() from None
        raise
    training.put(progress.best)
    return progress


def out_of_memory() -> RunError:
    """One line for the many ways in which PyTorch says that memory ran out."""
    return RunError(
        "not enough memory to train: use a smaller -o batch_size, -o gradient_checkpointing=true (LoRA), "
        "--dtype bfloat16, -o four_bit=true, or a smaller --model"
    )


class _Training:
    """A task with its optimizer."""

    def __init__(self, task: Task, schedule: Schedule, team: Team) -> None:
        self.task, self.schedule, self.team = task, schedule, team
        groups = task.groups()
        self.named: dict[str, torch.nn.Parameter] = {n: p for g in groups for n, p in g["params"]}
        self.rates = [g["lr"] for g in groups]
        self.optimizer = torch.optim.AdamW(
            [{**g, "params": [p for _, p in g["params"]]} for g in groups], weight_decay=schedule.weight_decay
        )

    def begin(self, found: Progress | None, fingerprint: str) -> Progress:
        """The state of a stopped training, put back, or a fresh one."""
        if found is None:
            first = self.state()
            return Progress(fingerprint, now=first, best=first)
        self.put(found.now)
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in found.optimizer.items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})
        return found

    def probe(self) -> float:
        """Mean loss of always the same batch, with the same noise: shows whether training has diverged."""
        items = list(range(min(self.task.prompts, self.schedule.batch_size)))
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(self.schedule.seed)
            return self.team.agreed(float(self.task.loss(items)) / len(items))

    def epoch(self, epoch: int) -> float:
        """One pass over the prompts; the mean loss, NaN as soon as one is not finite."""
        schedule, team, parameters = self.schedule, self.team, list(self.named.values())
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * epoch / schedule.epochs))
        own_order = torch.Generator().manual_seed((schedule.seed + 7919 * epoch) % 2**63)
        order = torch.randperm(self.task.prompts, generator=own_order).tolist()
        total = 0.0
        with torch.random.fork_rng():
            torch.manual_seed((schedule.seed + 104729 * epoch + team.rank + 1) % 2**63)
            for begin in range(0, len(order), schedule.batch_size):
                items = order[begin : begin + schedule.batch_size]
                own = items[team.rank :: team.size]
                self.optimizer.zero_grad(set_to_none=True)
                loss = self.task.loss(own) if own else torch.zeros((), requires_grad=True)
                (loss / len(items)).backward()  # type: ignore[no-untyped-call]
                summed = team.total(float(loss.detach()), parameters)
                if not math.isfinite(summed):
                    return math.nan
                torch.nn.utils.clip_grad_norm_(parameters, _CLIP)
                self.optimizer.step()
                total += summed
        return total / len(order)

    def judge(self, progress: Progress, loss: float, worst: float, start: float) -> None:
        """Write an epoch into the history, keep its state and the best one, and say whether to stop.

        ``worst`` is the highest loss that was seen in the epoch, ``start`` that of the untrained model.
        """
        epoch = len(progress.history) + 1
        if not math.isfinite(worst) or worst - start > max(abs(start), self.task.divergence_rise):
            what = f"(loss {worst:.3g}, untrained {start:.3g})"
            if not progress.history:
                raise RunError(f"training diverged in its first epoch {what}; lower -o learning_rate")
            progress.stopped = f"diverged in epoch {epoch}"
            warnings.warn(
                f"training {progress.stopped} {what}: the state of epoch {progress.best_epoch} is kept; "
                "lower -o learning_rate",
                stacklevel=3,
            )
            return
        score = self.task.validation()
        best = min((e["validation"] for e in progress.history if "validation" in e), default=math.inf)
        progress.history.append({"epoch": float(epoch), "loss": loss})
        progress.now = self.state()
        progress.optimizer = {
            f"{i}.{key}": torch.as_tensor(value)
            for i, own in self.optimizer.state_dict()["state"].items()
            for key, value in own.items()
        }
        if score is not None:
            score = progress.history[-1]["validation"] = self.team.agreed(score)
        if score is None or score < best:
            progress.best, progress.best_epoch = progress.now, epoch
        elif epoch - progress.best_epoch >= self.schedule.patience:
            progress.stopped = f"no better validation score for {self.schedule.patience} epochs"

    def state(self) -> dict[str, Tensor]:
        """What is trained, by name, copied to the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self.named.items()}

    def put(self, state: Mapping[str, Tensor]) -> None:
        """Take the values of what ``state`` gave."""
        for name, parameter in self.named.items():
            parameter.data.copy_(state[name])
