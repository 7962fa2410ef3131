"""The training loop: batches, early stopping, divergence, and going on where a killed training stopped."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from popeq.errors import RunError
from popeq_peft.checkpoint import (
    Progress,
    optimizer_tensors,
    read_progress,
    restore_optimizer,
    write_progress,
)
from popeq_peft.team import Team

_CLIP = 1.0


class Task(Protocol):
    """What is trained: its parameters, the loss of some prompts, the score on the validation prompts."""

    @property
    def prompts(self) -> int:
        """How many prompts (rewritten copies included) there are to train on."""
        ...

    @property
    def alarm(self) -> float:
        """Rise of the loss above the untrained model's that no useful training makes, in its unit."""
        ...

    def groups(self) -> list[dict[str, Any]]:
        """What is trained, as an optimizer's groups: ``params`` (names and parameters) and ``lr``."""
        ...

    def loss(self, items: Sequence[int]) -> Tensor:
        """Sum of the losses of some prompts, by index; with what is random in training."""
        ...

    def validation(self) -> float | None:
        """Score on the validation prompts, lower is better; None if there are none."""
        ...

    def rest(self) -> None:
        """Turn off what is random in training."""
        ...


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
    team: Team | None = None,
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
    team = team or Team()
    groups = task.groups()
    named = {name: p for group in groups for name, p in group["params"]}
    optimizer = torch.optim.AdamW(
        [{**g, "params": [p for _, p in g["params"]]} for g in groups], weight_decay=schedule.weight_decay
    )
    rates = [g["lr"] for g in groups]
    progress = read_progress(file, fingerprint) if file else None
    if progress is None:
        first = _state(named)
        progress = Progress(fingerprint, now=first, best=first)
    else:
        _put(named, progress.now)
        restore_optimizer(optimizer, progress.optimizer)
    try:
        start = _probe(task, schedule)
        with tqdm(
            total=schedule.epochs, initial=len(progress.history), desc="training", unit="epoch", disable=None
        ) as bar:
            while len(progress.history) < schedule.epochs and not progress.stopped:
                epoch = len(progress.history)
                for group, rate in zip(optimizer.param_groups, rates, strict=True):
                    group["lr"] = rate * 0.5 * (1 + math.cos(math.pi * epoch / schedule.epochs))
                loss = _epoch(task, schedule, epoch, optimizer, named, team)
                worst = max(loss, _probe(task, schedule)) if math.isfinite(loss) else loss
                _judge(progress, task, named, (loss, worst, start), schedule)
                progress.optimizer = optimizer_tensors(optimizer)
                if file and team.rank == 0:
                    write_progress(file, progress)
                bar.set_postfix(_shown(progress))
                bar.update()
                on_progress(
                    f"epoch {epoch + 1}/{schedule.epochs}, "
                    + ", ".join(f"{k} {v}" for k, v in _shown(progress).items())
                )
    except torch.OutOfMemoryError as error:
        raise out_of_memory(error) from None
    except RuntimeError as error:
        if "allocate memory" not in str(error):
            raise
        raise out_of_memory(error) from None
    _put(named, progress.best)
    task.rest()
    return progress


def out_of_memory(error: BaseException) -> RunError:
    """One line for the many ways in which PyTorch says that memory ran out."""
    del error
    return RunError(
        "not enough memory to train: use a smaller -o batch_size, -o gradient_checkpointing=true (LoRA), "
        "--dtype bfloat16, -o four_bit=true, or a smaller --model"
    )


def _probe(task: Task, schedule: Schedule) -> float:
    """Mean loss of always the same batch, with the same noise: whether training has diverged shows here."""
    items = list(range(min(task.prompts, schedule.batch_size)))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(schedule.seed)
        return float(task.loss(items)) / len(items)


def _epoch(
    task: Task,
    schedule: Schedule,
    epoch: int,
    optimizer: torch.optim.Optimizer,
    named: Mapping[str, torch.nn.Parameter],
    team: Team,
) -> float:
    """One pass over the prompts; the mean loss, NaN as soon as one is not finite."""
    order = torch.randperm(
        task.prompts, generator=torch.Generator().manual_seed((schedule.seed + 7919 * epoch) % 2**63)
    ).tolist()
    total = 0.0
    with torch.random.fork_rng():
        torch.manual_seed((schedule.seed + 104729 * epoch + team.rank + 1) % 2**63)
        for begin in range(0, len(order), schedule.batch_size):
            items = order[begin : begin + schedule.batch_size]
            own = items[team.rank :: team.size]
            optimizer.zero_grad(set_to_none=True)
            loss = task.loss(own) if own else torch.zeros((), requires_grad=True)
            (loss / len(items)).backward()  # type: ignore[no-untyped-call]
            summed = team.total(float(loss.detach()), list(named.values()))
            if not math.isfinite(summed):
                return math.nan
            torch.nn.utils.clip_grad_norm_(list(named.values()), _CLIP)
            optimizer.step()
            total += summed
    return total / len(order)


def _judge(
    progress: Progress,
    task: Task,
    named: Mapping[str, torch.nn.Parameter],
    losses: tuple[float, float, float],
    schedule: Schedule,
) -> None:
    """Write an epoch into the history, keep the best state, and say whether to stop.

    ``losses``: the epoch's mean loss, the worst that was seen, that of the untrained model.
    """
    loss, worst, start = losses
    diverged = not math.isfinite(worst) or worst - start > max(abs(start), task.alarm)
    what = f"(loss {worst:.3g}, untrained {start:.3g})"
    epoch = len(progress.history) + 1
    if diverged:
        if not progress.history:
            raise RunError(f"training diverged in its first epoch {what}; lower -o learning_rate")
        progress.stopped = f"diverged in epoch {epoch}"
        warnings.warn(
            f"training {progress.stopped} {what}: the state of epoch {progress.best_epoch} is kept; lower "
            "-o learning_rate",
            stacklevel=3,
        )
        return
    score = task.validation()
    entry = {"epoch": float(epoch), "loss": loss} | ({} if score is None else {"validation": score})
    best = min((e["validation"] for e in progress.history if "validation" in e), default=math.inf)
    progress.history.append(entry)
    progress.now = _state(named)
    if score is None or score < best:
        progress.best, progress.best_epoch = progress.now, epoch
    elif epoch - progress.best_epoch >= schedule.patience:
        progress.stopped = f"no better validation score for {schedule.patience} epochs"


def _state(named: Mapping[str, torch.nn.Parameter]) -> dict[str, Tensor]:
    return {name: p.detach().cpu().clone() for name, p in named.items()}


def _put(named: Mapping[str, torch.nn.Parameter], state: Mapping[str, Tensor]) -> None:
    for name, parameter in named.items():
        parameter.data.copy_(state[name])


def _shown(progress: Progress) -> dict[str, str]:
    last = progress.history[-1] if progress.history else {}
    return {k: f"{last[k]:.3f}" for k in ("loss", "validation") if k in last}
