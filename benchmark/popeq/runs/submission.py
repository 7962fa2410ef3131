"""From a file of somebody's predictions to a run folder like any other."""

from __future__ import annotations

import hashlib
import shlex
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from popeq.atomic import write_text
from popeq.dataset import Dataset
from popeq.dataset_tables import IDENTIFIER
from popeq.errors import UsageError
from popeq.locks import Lock
from popeq.plugins import registry
from popeq.protocol import DEFAULT_PROTOCOL, Protocol
from popeq.runs.card import CARD, Card
from popeq.runs.create import new_record, new_run
from popeq.runs.folder import Run, find_runs, kept_to, lock_file
from popeq.runs.packed import name_for, pack
from popeq.runs.plan import dataset_record
from popeq.runs.predictions import PREDICTION_COLUMNS, read_predictions
from popeq.runs.record import RunRecord, submitted_key
from popeq.runs.spec import PredictorRecord, RunSpec
from popeq.runs.worker import predictions_text

SOURCE = "submitted"


def run_from_predictions(
    file: Path,
    dataset: Dataset,
    name: str,
    *,
    card: Card | None = None,
    runs_dir: Path = Path("runs"),
    seed: int = 0,
    protocol: Protocol = DEFAULT_PROTOCOL,
) -> tuple[Run, bool]:
    """A run folder from a file of predictions, and whether it is new (the same file makes it only once).

    A ``card`` takes the place of the one that the run has; without one, that stays. Samples are rounded to
    the protocol's decimals; where that moves any, ``described["rounded"]`` says how many, how far.

    Raises
    ------
    UsageError
        If the name is none, or is taken: by a predictor, or in ``runs_dir`` by other predictions.
    InvalidInputError
        With everything that is wrong in the file.
    """
    if wrong := wrong_name(name):
        raise UsageError(f"--name {name!r}: {wrong}")
    sent = read_predictions(file, dataset.test_ids, protocol.n_samples, dataset.space)
    samples = sent if protocol.decimals is None else kept_to(sent, protocol.decimals, dataset.space)
    text = predictions_csv(dataset.test_ids, samples)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    made = PredictorRecord(
        name=name,
        source=SOURCE,
        kind=card.kind if card else "other",
        parameters={},
        described=_described(card) | _rounding(sent, samples, protocol),
    )
    spec = RunSpec(predictor=made, dataset=dataset_record(dataset), protocol=protocol, seed=seed)
    record = _record(file, spec, len(dataset.test_ids), sha256)

    def fill(folder: Path) -> None:
        (folder / name_for(protocol)).write_bytes(pack(text, name_for(protocol)))
        if card is not None:
            write_text(folder / CARD, card.model_dump_json(indent=2) + "\n")

    with Lock(lock_file(runs_dir, f"{SOURCE}-{name}.lock")):
        for other in find_runs(runs_dir)[0]:
            if other.record.key == record.key:
                return (other if card is None else _with_card(other, card)), False
            if _drawn_as(other.record) == _drawn_as(record):
                raise UsageError(
                    f"--name {name}: {other.folder} has other predictions under that name and seed; give "
                    "another --name, or --seed if they are another draw of the same method"
                )
        return new_run(record, runs_dir, fill), True


def odd_name(name: str) -> str:
    """Why a method cannot be published under this name, empty if it can: letters of other scripts, and
    characters that are not seen, make one name look like another."""
    good = IDENTIFIER.fullmatch(name) and len(name) <= 64
    return "" if good else "use up to 64 letters, digits, '.', '_' and '-', no sign first"


def wrong_name(name: str) -> str:
    """Why a method whose predictions are sent cannot have this name; empty if it can."""
    if odd := odd_name(name):
        return odd
    taken = name.casefold() in (known.casefold() for known in registry().predictors)
    return "is the name of a predictor; give your method another" if taken else ""


def _with_card(run: Run, card: Card) -> Run:
    """A submitted run with another card, and what its record takes from that."""
    write_text(run.folder / CARD, card.model_dump_json(indent=2) + "\n")
    described = {k: v for k, v in run.record.predictor.described.items() if k != "model"} | _described(card)
    changed = run.record.predictor.model_copy(update={"kind": card.kind, "described": described})
    return run if changed == run.record.predictor else run.update(predictor=changed)


def _described(card: Card | None) -> dict[str, str]:
    return {"model": card.model} if card and card.model else {}


def predictions_csv(prompt_ids: tuple[str, ...], samples: NDArray[np.float64]) -> str:
    """The text of a run's predictions for samples (P, n, 2), dB."""
    rows = (predictions_text(p, points) for p, points in zip(prompt_ids, samples, strict=True))
    return ",".join(PREDICTION_COLUMNS) + "\n" + "".join(rows)


def _rounding(given: NDArray[np.float64], stored: NDArray[np.float64], protocol: Protocol) -> dict[str, str]:
    """What a record says of samples that were moved by rounding; nothing if none was."""
    distance = np.abs(stored - given).max(axis=-1)
    moved = int(np.count_nonzero(distance))
    if not moved:
        return {}
    how_far = f"{moved} of {distance.size} samples moved, by at most {distance.max():.2g} dB along an axis"
    return {"rounded": f"to {protocol.decimals} decimals of a dB, as {protocol.label} says: {how_far}"}


def _drawn_as(record: RunRecord) -> tuple[object, ...]:
    """What two submitted runs have in common that would be taken for the same draw of the same method."""
    return record.origin, record.predictor.name, record.seed, record.dataset.revision, record.protocol


def _record(file: Path, spec: RunSpec, prompts: int, sha256: str) -> RunRecord:
    """The record of predictions that were sent."""
    name = spec.predictor.name
    words = ["popeq", "score", file.name, "--dataset", spec.dataset.given, "--name", name, "--seed"]
    record = new_record(
        spec,
        submitted_key(spec, sha256),
        origin="submitted",
        status="complete",
        command=shlex.join([*words, str(spec.seed)]),
        prompts=prompts,
        prompts_done=prompts,
        predictions_sha256=sha256,
    )
    return record.model_copy(update={"finished_at": record.started_at})
