"""A plugin like any third party's: specs here, behaviour in ``predictors`` (imported only when it runs)."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

import popeq


class BlobParameters(popeq.Parameters):
    spread_db: float = Field(2.0, gt=0, le=6, description="SD of the draws, dB")
    label: str = Field("blob", description="free text, kept in the run")
    centre: tuple[float, float] = Field((0.0, 0.0), description="where the draws are, dB")


class SlowParameters(popeq.Parameters):
    pause_s: float = Field(0.2, ge=0, description="seconds to sleep before each batch")


_BROKEN = {
    "crashes": "raises in fit",
    "dies": "kills its own process",
    "hangs": "never comes back, nor does its child",
    "wrong-shape": "gives one sample too few",
    "leaves-the-box": "gives 7 dB",
    "not-finite": "gives NaN",
    "not-json": "describes itself with an object",
    "needs-more": "imports what is not installed",
}


@popeq.hookimpl
def popeq_predictors() -> list[popeq.PredictorSpec]:
    where = "popeq_example.predictors"
    return [
        popeq.PredictorSpec("example-blob", "a round blob", f"{where}:Blob", parameters=BlobParameters),
        popeq.PredictorSpec("example-telling", "says what it was asked", f"{where}:Telling"),
        popeq.PredictorSpec("example-slow", "a slow blob", f"{where}:Slow", parameters=SlowParameters),
        *(
            popeq.PredictorSpec(
                f"example-{name}",
                summary,
                f"{where}:{name.title().replace('-', '')}"
                if name != "needs-more"
                else "popeq_example.needs_more:NeedsMore",
                extra="llm" if name == "needs-more" else None,
            )
            for name, summary in _BROKEN.items()
        ),
    ]


def _note(text: str) -> None:
    if "POPEQ_EXAMPLE_EVENTS" in os.environ:
        with Path(os.environ["POPEQ_EXAMPLE_EVENTS"]).open("a", encoding="utf-8") as stream:
            stream.write(text + "\n")


@popeq.hookimpl
def popeq_run_started(run) -> None:
    _note(f"started {run.predictor.name}")


@popeq.hookimpl
def popeq_prompt_done(run, prompt_id: str) -> None:
    _note(f"done {prompt_id}")


@popeq.hookimpl
def popeq_run_finished(run) -> None:
    _note(f"finished {run.status}")
