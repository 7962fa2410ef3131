"""Runs as the evaluation results that model repositories on the hub hold: ``.eval_results/*.yaml``.

Source: huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import popeq
from popeq.atomic import write_text
from popeq.errors import UsageError
from popeq.installing import install_hint
from popeq.interchange.results import LEVEL, Origin, Result, new_place, portable
from popeq.metrics import SCORES
from popeq.plain_text import visible

FOLDER = ".eval_results"


def check_origin(origin: Origin) -> None:
    """Raise UsageError if the data set's repository is not given, or PyYAML is missing."""
    try:
        import yaml  # noqa: F401
    except ImportError:
        raise UsageError(f"--to eval-results needs PyYAML{install_hint('hub')}") from None
    if origin.hub_dataset is None:
        raise UsageError(
            "--to eval-results needs --hub-dataset OWNER/NAME, the repository of the data set on the hub"
        )


def write_eval_results(results: list[Result], folder: Path, origin: Origin) -> tuple[list[Path], list[str]]:
    """Write ``MODEL/.eval_results/PREDICTOR-DATASET-KEY.yaml`` below ``folder`` for each run with a model;
    returns the files, and the label of each run without one.

    What is in ``MODEL`` (``OWNER/MODEL`` for a hub name) is what the model's repository gets.

    Raises UsageError if the data set's repository is not given, PyYAML is missing, or no run has a model.
    """
    check_origin(origin)
    import yaml

    with_model = [result for result in results if result.model]
    if not with_model:
        raise UsageError("none of these runs has a model, so there is no repository that could hold them")
    written = []
    for result in with_model:
        place = new_place(folder, *map(portable, result.model.split("/")), FOLDER)
        record = result.record
        name = f"{portable(record.predictor.name)}-{portable(result.dataset.name)}-{record.key[:8]}.yaml"
        entries = [_entry(result, score, origin) for score in SCORES]
        write_text(place / name, yaml.safe_dump(entries, sort_keys=False, allow_unicode=True, width=100))
        written.append(place / name)
    return written, [result.label for result in results if not result.model]


def _entry(result: Result, score: str, origin: Origin) -> dict[str, Any]:
    record = result.record
    source = {"source": {"url": origin.source_url}} if origin.source_url else {}
    return {
        "dataset": {"id": origin.hub_dataset, "task_id": score},
        "value": result.mean(score).value,
        "date": record.finished_at or record.started_at,
        **source,
        "notes": _notes(result, score),
    }


def _notes(result: Result, score: str) -> str:
    """One line on what the number is, how sure it is, and where it is from."""
    record, estimate, card = result.record, result.mean(score), result.dataset.card
    about = record.predictor.described
    low, high = estimate.interval(LEVEL)
    parts = [
        f"mean {score} in dB over {len(result.scorer.prompt_ids)} test prompts, lower is better",
        f"95 % interval {low:.3f} to {high:.3f}" if estimate.df else "",
        "simulated listeners" if card.simulated else "real listeners",
        f"method {result.label}, seed {record.seed}",
        f"quantisation {about['quantisation']}" if about.get("quantisation") else "",
        f"model {record.predictor.identity['model']}" if record.predictor.identity.get("model") else "",
        f"data set {card.name} {card.version}, popeq revision {result.dataset.revision[:12]}",
        f"popeq {popeq.__version__}, {record.protocol.label}, run {record.key[:12]}",
        f"trust: {result.entry.trust}",
    ]
    return visible("; ".join(part for part in parts if part))
