"""The process that runs a predictor: ``python -m popeq.runs.worker``, with a Job as one line on its input.

It dies with its parent: popeq.runs.confined.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.atomic import write_text
from popeq.contract import (
    Describes,
    Explains,
    Predictor,
    Prompt,
    ReportsProgress,
    Resumable,
    load_object,
)
from popeq.errors import ChangedError, PopeqError, PromptsError, RunError
from popeq.installing import install_hint
from popeq.runs.answering import answerers, mixed
from popeq.runs.confined import receive_job
from popeq.runs.folder import kept_to
from popeq.runs.job import WRITE_FAILED, Job, Report, report_progress
from popeq.seeding import generator
from popeq.space import Space


class ContractError(Exception):
    """The predictor gave back something that the contract does not allow."""


def check_samples(given: object, prompts: Sequence[Prompt], n: int, space: Space) -> NDArray[np.float64]:
    """Samples as a float array (len(prompts), n, 2), or ContractError that says what came instead."""
    try:
        samples = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        raise ContractError(f"sample() must give an array of numbers, not {type(given).__name__}") from None
    if samples.shape != (len(prompts), n, 2):
        raise ContractError(f"sample() must give shape ({len(prompts)}, {n}, 2), not {samples.shape}")
    for prompt, points in zip(prompts, samples, strict=True):
        if not np.isfinite(points).all():
            raise ContractError(f"sample() gave a value that is not finite for prompt {prompt.prompt_id!r}")
        outside = points[~space.contains(points)]
        if len(outside):
            raise ContractError(
                f"sample() gave ({outside[0, 0]:g}, {outside[0, 1]:g}) dB for prompt {prompt.prompt_id!r}, "
                f"outside the box {space.low.tolist()}..{space.high.tolist()}"
            )
    return samples


def predictions_text(prompt_id: str, samples: NDArray[np.float64]) -> str:
    """Rows of the predictions for one prompt; every float is written so that it reads back the same."""
    return "".join(f"{prompt_id},{i},{float(x)!r},{float(y)!r}\n" for i, (x, y) in enumerate(samples))


def description_of(predictor: Predictor) -> dict[str, Any]:
    """What ``describe()`` gives, as plain JSON; empty if the predictor does not describe itself."""
    return _as_json("describe", predictor.describe) if isinstance(predictor, Describes) else {}


def explanation_of(predictor: Predictor, prompt_id: str) -> dict[str, Any] | None:
    """What ``explain(prompt_id)`` gives, as plain JSON; None if the predictor explains nothing."""
    if not isinstance(predictor, Explains):
        return None
    return _as_json("explain", lambda: predictor.explain(prompt_id))


def _as_json(method: str, call: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    try:
        values: dict[str, Any] = json.loads(json.dumps(dict(call()), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ContractError(f"{method}() must give a mapping of plain JSON values: {error}") from None
    return values


def _load(job: Job) -> Predictor:
    try:
        factory = load_object(job.factory)
    except ImportError as error:
        raise ContractError(f"cannot import {job.factory}: {error}{install_hint(job.extra)}") from error
    parameters = load_object(job.parameters_model).model_validate(job.parameters)
    predictor: Predictor = factory(parameters, job.space)
    for method in ("fit", "sample"):
        if not callable(getattr(predictor, method, None)):
            raise ContractError(f"{job.factory} has no method {method}()")
    return predictor


def work(job: Job) -> Report:
    """Fit, then draw and store batch by batch."""
    predictor = _load(job)
    if isinstance(predictor, Resumable):
        job.state.mkdir(exist_ok=True)
        predictor.use_folder(job.state)
    if isinstance(predictor, ReportsProgress):
        predictor.report_to(partial(report_progress, job.state))
    started = time.perf_counter()
    predictor.fit(
        job.train, job.validation, generator(job.spec.seed, job.spec.predictor.name, "fit", job.stage)
    )
    fitted = time.perf_counter()
    reached = Report(kind="fitted", fit_s=fitted - started, described=description_of(predictor))
    write_text(job.report, reached.model_dump_json())
    failed: dict[str, str] = {}
    answered_by = job.answered_by
    # A run that goes on may find another model behind the same server: a single prompt shows it.
    first = 1 if answered_by else job.batch_size
    starts = [0, *range(first, len(job.prompts), job.batch_size)]
    for start, end in zip(starts, [*starts[1:], len(job.prompts)], strict=True):
        for prompt, points in _drawn(predictor, job, job.prompts[start:end], failed):
            explained = explanation_of(predictor, prompt.prompt_id)
            if explained is not None:  # before the samples, whose file says that the prompt is done
                who = next(iter(answerers([explained])), answered_by)
                if answered_by not in ("", who):
                    raise ChangedError(mixed(answered_by, who))
                answered_by = who
                line = json.dumps({"prompt_id": prompt.prompt_id, **explained}, ensure_ascii=False)
                write_text(job.partial / f"{prompt.prompt_id}.json", line + "\n")
            write_text(job.partial / f"{prompt.prompt_id}.csv", predictions_text(prompt.prompt_id, points))
    return Report(
        kind="done",
        fit_s=fitted - started,
        sample_s=time.perf_counter() - fitted,
        peak_memory_mb=peak_memory_mb(),
        failed=failed,
        described=description_of(predictor),  # it may know more by now
    )


def _drawn(
    predictor: Predictor, job: Job, batch: list[Prompt], failed: dict[str, str]
) -> list[tuple[Prompt, NDArray[np.float64]]]:
    """Samples of a batch's prompts; those that fail by themselves are noted in ``failed`` and left out."""
    spec, protocol = job.spec, job.spec.protocol
    while batch:
        rngs = [generator(spec.seed, spec.predictor.name, "sample", p.prompt_id) for p in batch]
        try:
            given = predictor.sample(batch, protocol.n_samples, rngs)
        except PromptsError as error:
            if not error.failures.keys() <= set(range(len(batch))):
                raise ContractError("PromptsError names places that are none of the prompts asked") from error
            failed |= {batch[i].prompt_id: line for i, line in error.failures.items()}
            batch = [prompt for i, prompt in enumerate(batch) if i not in error.failures]
        else:
            samples = check_samples(given, batch, protocol.n_samples, job.space)
            if protocol.decimals is not None:
                samples = kept_to(samples, protocol.decimals, job.space)
            return list(zip(batch, samples, strict=True))
    return []


def peak_memory_mb() -> float:
    """Largest resident size of this process, MiB."""
    try:  # on Linux ru_maxrss would begin at the parent's size
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return float(status.split("VmHWM:")[1].split()[0]) / 1024.0
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0**2  # bytes on macOS


def main() -> int:
    """Read the job, work, report; 0 if all prompts are on disk."""
    job = Job.model_validate_json(receive_job())
    try:
        try:
            report = work(job)
        except BaseException as error:  # sys.exit() too: whoever ends this process early has failed
            write_text(job.traceback, traceback.format_exc())
            report = _failed(error)
        write_text(job.report, report.model_dump_json())
    except RunError as error:
        print(error, file=sys.stderr)
        return WRITE_FAILED
    return 0 if report.kind == "done" and not report.failed else 1


def _failed(error: BaseException) -> Report:
    contract = isinstance(error, ContractError)
    message = " ".join(str(error).split())
    if not isinstance(error, ContractError | PopeqError):
        message = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return Report(kind="contract" if contract else "error", message=message)


if __name__ == "__main__":
    sys.stdout.flush()
    status = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)  # the thread that watches the parent never ends
