"""The loop: early stopping, divergence, and the same numbers whether or not a training was stopped."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from popeq.errors import RunError
from popeq_peft.training import Schedule, read_progress, train


class Line:
    """Fits a line with a noisy loss; ``validation_at`` makes the score rise again after some epochs."""

    def __init__(self, scale=1.0, validation_at=None, blow_up_at=None):
        g = torch.Generator().manual_seed(0)
        self.x = torch.randn(10, 3, generator=g)
        self.y = self.x @ torch.tensor([1.0, -2.0, 0.5]) * scale
        self.weight = torch.nn.Parameter(torch.zeros(3))
        self.validation_at, self.blow_up_at = validation_at, blow_up_at
        self.validated = 0
        self.steps = 0

    prompts = 10
    divergence_rise = 5.0

    def groups(self):
        return [{"params": [("weight", self.weight)], "lr": 0.1}]

    def loss(self, items):
        self.steps += 1
        noise = 0.1 * torch.randn(len(items))  # what dropout is to a real loss
        error = self.x[items] @ self.weight - self.y[items] + noise
        if self.blow_up_at is not None and self.steps > self.blow_up_at:
            return error.square().sum() * torch.nan
        return error.square().sum()

    def validation(self):
        self.validated += 1
        if self.validation_at is None:
            return None
        return float(abs(self.validated - self.validation_at))


def schedule(**changes):
    return Schedule(
        **{"epochs": 6, "batch_size": 4, "weight_decay": 0.01, "patience": 2, "seed": 5} | changes
    )


def test_it_learns_and_repeats():
    first, second = Line(), Line()
    progress = train(first, schedule(epochs=60), "f")
    train(second, schedule(epochs=60), "f")
    torch.testing.assert_close(first.weight, second.weight, rtol=0, atol=0)
    assert progress.history[-1]["loss"] < 0.1 * progress.history[0]["loss"]
    assert progress.best_epoch == 60
    other = Line()
    train(other, schedule(epochs=60, seed=6), "f")
    assert not torch.equal(other.weight, first.weight)


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_stopped_training_goes_on_to_the_same_numbers(tmp_path, stop_after):
    whole = Line()
    expected = train(whole, schedule(), "f")
    file = tmp_path / "state"

    def kill(text):
        if text.startswith(f"epoch {stop_after}/"):
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train(Line(), schedule(), "f", file, on_progress=kill)
    assert len(read_progress(file, "f").history) == stop_after
    resumed = Line()
    found = train(resumed, schedule(), "f", file)
    torch.testing.assert_close(resumed.weight, whole.weight, rtol=0, atol=0)
    assert found.history == expected.history


def test_the_state_of_another_training_or_a_broken_one_is_not_taken_up(tmp_path):
    file = tmp_path / "state"
    train(Line(), schedule(), "f", file)
    assert read_progress(file, "other") is None
    assert load_file(file)["now:weight"].shape == (3,)  # plain safetensors, nothing pickled
    file.write_bytes(file.read_bytes()[:-5])
    assert read_progress(file, "f") is None
    whole, again = Line(), Line()
    train(whole, schedule(), "f")
    train(again, schedule(), "f", file)
    torch.testing.assert_close(again.weight, whole.weight, rtol=0, atol=0)


def test_it_stops_early_and_keeps_the_best():
    task = Line(validation_at=2)
    progress = train(task, schedule(epochs=20), "f")
    assert progress.stopped == "no better validation score for 2 epochs"
    assert (len(progress.history), progress.best_epoch) == (4, 2)
    torch.testing.assert_close(task.weight.detach(), progress.best["weight"])
    assert not torch.equal(progress.best["weight"], progress.now["weight"])


def test_divergence_keeps_the_last_good_state():
    task = Line(validation_at=99, blow_up_at=1 + 4 * 2)  # one probe, then three steps and a probe an epoch
    with pytest.warns(UserWarning, match="diverged in epoch 3 .* the state of epoch 2 is kept"):
        progress = train(task, schedule(), "f")
    assert progress.best_epoch == 2
    assert torch.isfinite(task.weight).all()
    torch.testing.assert_close(task.weight.detach(), progress.best["weight"])


def test_divergence_at_once_is_one_line():
    with pytest.raises(RunError, match=r"diverged in its first epoch .* lower -o learning_rate"):
        train(Line(blow_up_at=1), schedule(), "f")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
    ],
)
def test_too_little_memory_is_one_line(error):
    class Hungry(Line):
        def loss(self, items):
            raise error

    with pytest.raises(RunError, match=r"not enough memory to train: use a smaller -o batch_size") as caught:
        train(Hungry(), schedule(), "f")
    assert "\n" not in str(caught.value)


def test_other_errors_are_not_taken_for_memory():
    class Broken(Line):
        def loss(self, items):
            raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        train(Broken(), schedule(), "f")
