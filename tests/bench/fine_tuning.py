"""A step of the Sinkhorn loss and a training step of ``lora-head``, beside their peers in the same run.

The peers of the Sinkhorn step are geomloss and POT's batched solver at settings as coarse as popeq's (the
first of a row, from coarse to fine, whose gradient is at most a tenth worse), and a loop over POT's
``empirical_sinkhorn_divergence`` with as many iterations as POT's batched solver needs (by default it does up
to 10,000). The peer of a training step is a plain PyTorch loop over the same model, prompts, loss, optimizer.
That of a step of next-token training is the same step with the prompts' beginning computed for each of them.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache, partial
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.bench.ratios import Row, least_seconds, timed

PROMPTS, LISTENERS, BLUR_DB = 60, 11, 0.5
BATCH, EPOCHS = 20, 4


@lru_cache(maxsize=2)
def sets(prompts: int) -> tuple[Any, Any]:
    """What a head gives in training, and listeners: pairs of sets of 11 points (prompts, 11, 2), dB."""
    import torch

    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    centre = rng.normal(0, 2, (prompts, 1, 2))
    drawn = [np.clip(c + rng.normal(0, 2.2, (prompts, LISTENERS, 2)), -6, 6) for c in (0.7 * centre, centre)]
    x, y = (torch.as_tensor(d).float() for d in drawn)
    return x, y


def gradient(loss, x, y):
    import torch

    x = x.detach().clone().requires_grad_()
    (found,) = torch.autograd.grad(loss(x, y).sum(), x)
    return found


def ours(x, y):
    from popeq_peft.losses import sinkhorn_divergence

    return sinkhorn_divergence(x, y, blur=BLUR_DB)


def loop(steps):
    """One call a pair. POT's cost is the squared distance, twice ours: so is its regularisation."""
    import ot
    import torch

    def loss(a, b):
        return ot.bregman.empirical_sinkhorn_divergence(a, b, 2 * BLUR_DB**2, numIterMax=steps) / 2

    return lambda x, y: torch.stack([gradient(loss, a, b) for a, b in zip(x, y, strict=True)])


def geomloss(scaling):
    from geomloss import SamplesLoss

    return SamplesLoss("sinkhorn", p=2, blur=BLUR_DB, scaling=scaling, backend="tensorized")


def solve_sample_batch(steps):
    import ot

    def transport(a, b):
        reg = 2 * BLUR_DB**2
        return ot.solve_sample_batch(a, b, reg=reg, max_iter=steps, tol=0.0, reg_type="kl").value

    return lambda x, y: (transport(x, y) - transport(x, x) / 2 - transport(y, y) / 2) / 2


COARSE_TO_FINE = {
    "geomloss": (geomloss, (0.5, 0.7, 0.8, 0.9, 0.95, 0.97, 0.98, 0.985, 0.99, 0.995)),
    "solve_sample_batch": (solve_sample_batch, (10, 20, 40, 60, 70, 80, 90, 100, 120, 200, 400)),
}


@lru_cache(maxsize=2)
def exact(prompts):
    """The gradient in the limit of many steps, in double precision (which equals POT's: test_sinkhorn)."""
    from popeq_peft.losses import sinkhorn_divergence

    x, y = (s.double() for s in sets(prompts))
    return gradient(lambda a, b: sinkhorn_divergence(a, b, blur=BLUR_DB, steps=2000), x, y)


def error(loss, prompts):
    """Of a gradient, relative to the exact one's length."""
    found = gradient(loss, *sets(prompts)).double()
    return float((found - exact(prompts)).norm() / exact(prompts).norm())


def as_exact_as_ours(peer: str, prompts: int) -> tuple[Any, Any, float]:
    """The coarsest loss of a peer whose gradient is at most a tenth worse than popeq's, its setting, and the
    relative error of its gradient."""
    make, settings = COARSE_TO_FINE[peer]
    most = 1.1 * error(ours, prompts)
    for setting in settings:
        if (reached := error(make(setting), prompts)) <= most:
            return make(setting), setting, reached
    raise AssertionError(f"{peer} does not reach an error of {most:.3g}")


def sinkhorn_step(whole: bool) -> Iterator[Row]:
    """Forward and backward, all prompts."""
    prompts = PROMPTS if whole else 3
    x, y = sets(prompts)
    _, steps, _ = as_exact_as_ours("solve_sample_batch", prompts)
    # Nothing is known of the error of the loop: POT gives no gradient with so few iterations.
    peers = {"POT, a loop": (partial(loop(steps), x, y), f"{steps} iterations", 50.0)}
    for peer in COARSE_TO_FINE:
        loss, setting, reached = as_exact_as_ours(peer, prompts)
        peers[peer] = partial(gradient, loss, x, y), f"{setting}, error of its gradient {reached:.1%}", 1.0
    for peer, (call, setting, least_ratio) in peers.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # POT's, of sets that have not converged
            assert call().shape == x.shape
            times = timed(
                partial(gradient, ours, x, y), (3 if "loop" in peer else 15) if whole else 1, peer=call
            )
        yield Row(
            measurement="Sinkhorn step",
            size=f"{prompts} prompts",
            **times,
            peer=peer,
            least_ratio=least_ratio,
            figure=f"error of the gradient {error(ours, prompts):.1%}; {peer} at {setting}",
        )


@lru_cache(maxsize=1)
def trained(prompts: int) -> tuple[Any, Any, Any]:
    """What ``lora-head`` trains with its defaults on simulated-120: parameters, member and task."""
    import popeq
    from popeq.space import PLANE
    from popeq_peft.augment import augmented
    from popeq_peft.backbone import open_backbone, wrap
    from popeq_peft.parameters import LoraHeadParameters
    from popeq_peft.point_heads import LoraHead

    data = popeq.load_dataset("simulated-120")
    train = data.labelled(data.stages[0].train)[:prompts]
    assert len(train) == prompts
    predictor = LoraHead(LoraHeadParameters(), PLANE)
    member = predictor.build(wrap(open_backbone(predictor.parameters), predictor.parameters, 0), train, 0)
    task = predictor.task(member, augmented(train, 0, 0), [])
    return predictor.parameters, member, task


def train_ours(folder: Path, prompts: int, epochs: int) -> Callable[[], None]:
    """The loop as a run has it, with its checks and a checkpoint an epoch."""
    from popeq_peft.training import Schedule, train

    parameters, _, task = trained(prompts)
    schedule = Schedule(epochs, BATCH, parameters.weight_decay, parameters.patience, 0)

    def run() -> None:
        fresh = tempfile.mkdtemp(dir=folder)
        assert len(train(task, schedule, "bench", Path(fresh, "checkpoint")).history) == epochs

    return run


def train_plainly(prompts: int, epochs: int) -> Callable[[], None]:
    """The same arithmetic and nothing else: tokens are ready, nothing is checked, kept or written."""
    import torch

    from popeq_peft.losses import sinkhorn_divergence

    parameters, member, task = trained(prompts)
    groups = task.groups()
    learnt = [p for g in groups for _, p in g["params"]]
    batches = [list(range(i, i + BATCH)) for i in range(0, prompts, BATCH)]
    ready = [(*member.backbone.tokens([task.texts[i] for i in b]), task.responses[b]) for b in batches]

    def run() -> None:
        member.train(True)
        optimizer = torch.optim.AdamW(
            [{"params": [p for _, p in g["params"]], "lr": g["lr"]} for g in groups],
            weight_decay=parameters.weight_decay,
        )
        for _ in range(epochs):
            for ids, mask, responses in ready:
                hidden = member.backbone.model(ids, attention_mask=mask).last_hidden_state
                points = member.head(member.pooling(hidden, mask))
                optimizer.zero_grad(set_to_none=True)
                sinkhorn_divergence(points, responses, blur=parameters.blur_db).mean().backward()
                torch.nn.utils.clip_grad_norm_(learnt, 1.0)
                optimizer.step()

    return run


def lora_head_training(whole: bool) -> Iterator[Row]:
    """Steps of 20 prompts of lora-head."""
    import torch

    torch.set_num_threads(1)
    prompts, epochs = (PROMPTS, EPOCHS) if whole else (BATCH, 1)
    with tempfile.TemporaryDirectory() as folder:
        calls = [train_ours(Path(folder), prompts, epochs), train_plainly(prompts, epochs)]
        seconds, peer_s = least_seconds(calls, 5 if whole else 1)
    steps = epochs * prompts // BATCH
    yield Row(
        measurement="lora-head training",
        size=f"{steps} steps of {BATCH} prompts",
        seconds=seconds,
        peer="a plain loop",
        peer_s=peer_s,
        least_ratio=1 / 1.5,
        figure=f"{steps / seconds:.1f} steps a second",
    )


def next_token_step(whole: bool) -> Iterator[Row]:
    """Forward and backward of ``lora-ntp`` for ten prompts of simulated-120: SmolLM2-135M-Instruct, float32,
    one thread; in the small form a random model and three prompts."""
    import torch

    import popeq
    from popeq.space import PLANE
    from popeq_peft import next_token
    from popeq_peft.backbone import open_backbone, wrap
    from popeq_peft.parameters import LoraNextTokenParameters
    from tests.popeq_llm.shapes import save_model

    torch.set_num_threads(1)
    data = popeq.load_dataset("simulated-120")
    train = data.labelled(data.stages[0].train)[: 10 if whole else 3]
    with tempfile.TemporaryDirectory() as folder:
        model = {} if whole else {"model": str(save_model("llama", Path(folder)))}
        parameters = LoraNextTokenParameters(dtype="float32", device="cpu", **model)
        predictor = next_token.LoraNextToken(parameters, PLANE)
        writer = next_token.Writer(wrap(open_backbone(parameters, language=True), parameters, 0))
    rows = [writer.packed(predictor.template.chat(p.prompt.text), p.responses, predictor.form) for p in train]
    adapter = [p for _, p in writer.backbone.group(1.0)["params"]]

    def step() -> Any:
        return torch.autograd.grad(writer.losses(rows).sum(), adapter)

    def nothing_shared() -> Any:
        with mock.patch.object(next_token, "_shared_tokens", return_value=0):
            return step()

    for found, plain in zip(step(), nothing_shared(), strict=True):
        torch.testing.assert_close(found, plain, rtol=1e-2, atol=1e-3)
    seconds, peer_s = least_seconds([step, nothing_shared], 3 if whole else 1)
    yield Row(
        measurement="next-token training",
        size=f"a step of {len(rows)} prompts",
        seconds=seconds,
        peer="nothing shared",
        peer_s=peer_s,
        least_ratio=1.5,
        figure=f"{next_token._shared_tokens(writer.model, rows)} tokens shared",
    )


MEASUREMENTS = (sinkhorn_step, lora_head_training, next_token_step)
