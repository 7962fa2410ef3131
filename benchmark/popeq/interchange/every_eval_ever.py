"""Runs as the aggregate results of Every Eval Ever (schema 0.3.0): one file a run, only what popeq knows.

Source: the public repository evaleval/every_eval_ever. Where its schema requires a value that popeq does not
know, ``unknown`` or ``other`` stands there, as it provides.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import popeq
from popeq.atomic import write_text
from popeq.board.scoring import DIAGNOSTICS
from popeq.board.trust import LABELS
from popeq.interchange.results import LEVEL, Origin, Result, new_place, portable
from popeq.metrics import HEADLINE, SCORES
from popeq.plain_text import json_text

SCHEMA_VERSION = "0.3.0"
_KINDS = {"energy_score": "energy_score"}
_NAMES = {
    "kantorovich": "Kantorovich distance (Wasserstein-1) between kernel densities",
    "reflective_kantorovich": "Kantorovich distance (Wasserstein-1) between reflective kernel densities",
    "sample_kantorovich": "Kantorovich distance (Wasserstein-1) between the points",
    "energy_score": "Energy score (fair form)",
}
#: Parameters that the schema names, with what they must be.
_TYPED: dict[str, tuple[type, ...]] = {
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": (int, float),
    "max_tokens": (int,),
}


def write_every_eval_ever(results: list[Result], folder: Path, origin: Origin) -> list[Path]:
    """Write ``data/DATASET/DEVELOPER/MODEL/UUID.json`` below ``folder`` for each run; returns the files.

    The same run has the same file name, so that a second export takes the place of the first.
    """
    written = []
    for result in results:
        content = every_eval_ever(result, origin)
        owner, _, name = content["model_info"]["id"].rpartition("/")
        place = new_place(folder, "data", *map(portable, (result.dataset.name, owner, name)))
        written.append(place / f"{result.uuid}.json")
        write_text(written[-1], json_text(content, indent=2) + "\n")
    return written


def every_eval_ever(result: Result, origin: Origin) -> dict[str, Any]:
    """The content of one file."""
    record = result.record
    model = _model(result)
    name = f"popeq.{result.dataset.name}"
    ended = record.finished_at or record.started_at
    return {
        "schema_version": SCHEMA_VERSION,
        "evaluation_id": f"{name}/{model['id']}/{record.key[:16]}",
        "evaluation_timestamp": ended,
        "retrieved_timestamp": str(int(time.time())),
        "source_metadata": {
            "source_name": "popeq",
            "source_type": "evaluation_run",
            "source_organization_name": origin.organization or "unknown",
            "evaluator_relationship": origin.relationship or "other",
            "additional_details": _texts(
                {
                    "trust": result.entry.trust,
                    "trust_meaning": LABELS[result.entry.trust],
                    "origin": record.origin,
                    "source_url": origin.source_url,
                    **_card(result),
                }
            ),
        },
        "eval_library": {
            "name": "popeq",
            "version": popeq.__version__,
            "additional_details": _texts(
                {
                    "protocol": record.protocol.label,
                    "drawn_with": record.environment.packages,
                    "python": record.environment.python,
                    "platform": record.environment.platform,
                }
            ),
        },
        "model_info": model,
        "evaluation_results": [_result(result, score, name, ended, origin) for score in SCORES],
    }


def _model(result: Result) -> dict[str, Any]:
    """The model behind the predictor; the predictor itself where there is none."""
    record = result.record
    made, about = record.predictor, record.predictor.described
    source = made.source.split()[0]
    identifier = result.model or f"{source}/{made.name}"
    identity = made.identity.get("model", "")
    served = bool(made.parameters.get("base_url")) or str(made.parameters.get("model", "")).startswith(
        "openai:"
    )
    ran_here = record.origin == "drawn" and not served
    weights_are_open = identity.startswith("commit:") or (bool(identity) and ":" not in identity)
    return {
        "name": result.model or made.name,
        "id": identifier,
        **({"developer": result.model.split("/")[0]} if "/" in result.model else {}),
        "additional_details": _texts(
            {
                "deployment_type": "self_deployed" if ran_here else "unknown",
                "model_availability": "open_weights" if weights_are_open else "unknown",
                "predictor": made.name,
                "predictor_kind": result.entry.kind,
                "predictor_source": made.source,
                "code_sha256": made.code.sha256 if made.code else None,
                "model_parameters": about.get("parameters"),
                "quantisation": about.get("quantisation"),
                "model_identity": identity,
                "served_by": record.answered_by,
            }
        ),
    }


def _result(result: Result, score: str, name: str, ended: str, origin: Origin) -> dict[str, Any]:
    record = result.record
    estimate = result.mean(score)
    median = float(np.median(result.entry.table.scores(score)))
    details: dict[str, Any] = {"median_db": median, "seed": record.seed, "row": result.label}
    if score == HEADLINE:
        details |= {n: float(result.entry.table.frame[n].mean()) for n in DIAGNOSTICS}
    return {
        "evaluation_result_id": f"{record.key[:16]}.{score}",
        "evaluation_name": name,
        "source_data": _data(result, origin),
        "evaluation_timestamp": ended,
        "metric_config": _metric(result, score),
        "score_details": {
            "score": estimate.value,
            "details": _texts(details),
            "uncertainty": _uncertainty(result, score),
        },
        "generation_config": _generation(result),
    }


def _uncertainty(result: Result, score: str) -> dict[str, Any]:
    estimate = result.mean(score)
    people = result.entry.table.values(score)[1] is not None
    over = "prompts and listeners (crossed)" if people else "prompts"
    found: dict[str, Any] = {"num_samples": len(result.scorer.prompt_ids)}
    if math.isfinite(estimate.sd):
        found["standard_deviation"] = estimate.sd
    if estimate.df:
        low, high = estimate.interval(LEVEL)
        found["standard_error"] = {"value": estimate.se, "method": f"analytic, over {over}"}
        found["confidence_interval"] = {
            "lower": low,
            "upper": high,
            "confidence_level": LEVEL,
            "method": f"Student's t with {estimate.df:.1f} degrees of freedom, over {over}",
        }
    return found


def _metric(result: Result, score: str) -> dict[str, Any]:
    record, space = result.record, result.dataset.space
    protocol = record.protocol
    simulated = "simulated listeners" if result.dataset.card.simulated else "real listeners"
    return {
        "evaluation_description": (
            "From a sentence to the distribution of equaliser settings that listeners choose: mean over "
            f"{len(result.scorer.prompt_ids)} test prompts, {simulated}"
        ),
        "metric_id": f"popeq.{score}",
        "metric_name": _NAMES[score],
        "metric_kind": _KINDS.get(score, "wasserstein_1"),
        "metric_unit": "dB",
        "metric_parameters": {
            "metric_version": protocol.metrics[score],
            "protocol": protocol.version,
            "samples_per_prompt": protocol.n_samples,
            "decimals": protocol.decimals,
            "bandwidth": protocol.bandwidth,
            "bandwidth_floor": protocol.bandwidth_floor,
            "grid_cells": protocol.grid_cells,
        },
        "lower_is_better": True,
        "score_type": "continuous",
        # No distance is larger than that between two corners; the fair energy score is not negative either.
        "min_score": 0.0,
        "max_score": float(np.hypot(*space.size)),
    }


def _data(result: Result, origin: Origin) -> dict[str, Any]:
    dataset, card = result.dataset, result.dataset.card
    about = _texts(
        {
            "revision": dataset.revision,
            "version": card.version,
            "title": card.title,
            "simulated": card.simulated,
            "licence": card.licence,
            "citation": card.citation,
            "listeners": dataset.responses["listener_id"].nunique(),
            "responses": len(dataset.responses),
            "curves": card.space.curves,
        }
    )
    if origin.hub_dataset is None:
        return {"dataset_name": card.label, "source_type": "other", "additional_details": about}
    return {
        "dataset_name": card.label,
        "source_type": "hf_dataset",
        "hf_repo": origin.hub_dataset,
        **({} if dataset.by_folds else {"hf_split": "test"}),
        "samples_number": len(result.scorer.prompt_ids),
        "sample_ids": list(result.scorer.prompt_ids),
        "additional_details": about,
    }


def _generation(result: Result) -> dict[str, Any]:
    record = result.record
    parameters = record.predictor.parameters
    arguments: dict[str, Any] = {"execution_command": record.shown_command}
    for name, kinds in _TYPED.items():
        value = parameters.get(name)
        if isinstance(value, kinds) and not isinstance(value, bool):
            arguments[name] = value
    rest = {name: value for name, value in parameters.items() if name not in arguments}
    return {
        "generation_args": arguments,
        "additional_details": _texts(
            {
                "seed": record.seed,
                **{f"parameter.{name}": value for name, value in rest.items()},
                "template": record.predictor.described.get("template"),
                "answers": str(record.answers) if record.answers else None,
            }
        ),
    }


def _card(result: Result) -> dict[str, Any]:
    """What the submitter of a run declares."""
    card = result.entry.card
    if card is None:
        return {}
    return {
        "submitted_by": ", ".join(card.authors),
        "training_data": card.training_data,
        "links": " ".join(card.links),
        "notes": card.notes,
    }


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The values that are known, as texts: the schema takes no others."""
    known = {name: value for name, value in values.items() if value not in (None, "")}
    return {name: value if isinstance(value, str) else json_text(value) for name, value in known.items()}
