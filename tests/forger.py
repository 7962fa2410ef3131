"""A forger: run folders with whatever somebody wants in them, with hashes and keys as popeq computes them.

Neither is secret, so whoever sends a run can do the same. A test of an attack begins here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.dataset import Dataset
from popeq.protocol import Protocol
from popeq.runs.create import new_record
from popeq.runs.packed import name_for, pack
from popeq.runs.plan import dataset_record
from popeq.runs.record import RunRecord
from popeq.runs.spec import CodeRecord, PredictorRecord, RunSpec
from popeq.runs.submission import predictions_csv

CARD = {"authors": ["Eve Forger"], "contact": "eve@example.org", "training_data": "none"}
CODE = CodeRecord(sha256="0" * 64, popeq="0.2.0", files={})


class Forger:
    """Makes runs of one data set and protocol that look like anybody's."""

    def __init__(self, dataset: Dataset, protocol: Protocol) -> None:
        self.dataset, self.protocol = dataset, protocol

    def samples(self, seed: int, centre: float = 0.0) -> NDArray[np.float64]:
        """Samples (prompts, n, 2), dB, around a setting; bad ones if that is near the edge of the box."""
        shape = (len(self.dataset.test_ids), self.protocol.n_samples, 2)
        points = np.random.default_rng(seed).normal(centre, 1.5, shape)
        return self.dataset.space.clip(points).round(2)

    def run(
        self,
        board: Path,
        name: str = "mine",
        *,
        seed: int = 0,
        parameters: Mapping[str, Any] | None = None,
        origin: str = "drawn",
        points: NDArray[np.float64] | None = None,
        card: Mapping[str, Any] | None = CARD,
        folder: str | None = None,
        **changes: Any,
    ) -> Path:
        """A run folder in a folder of runs; ``changes`` are other fields of its record, such as ``key``."""
        points = self.samples(seed) if points is None else points
        text = predictions_csv(self.dataset.test_ids, points)
        sent = origin == "submitted"
        predictor = PredictorRecord(
            name=name,
            source="submitted" if sent else "popeq 0.2.0",
            parameters=dict(parameters or {}),
            code=None if sent else CODE,
        )
        record = new_record(
            RunSpec(
                predictor=predictor,
                dataset=dataset_record(self.dataset),
                protocol=self.protocol,
                seed=seed,
            ),
            "",
            origin=origin,
            status="complete",
            command="popeq run",
            prompts=len(self.dataset.test_ids),
            prompts_done=len(self.dataset.test_ids),
            predictions_sha256=hashlib.sha256(text.encode()).hexdigest(),
        )
        own = {"run_id": folder or f"20260101T000000Z-run-{len(list(board.glob('*')))}"}
        record = RunRecord.model_validate(
            dict(record) | own | {k: v for k, v in changes.items() if k != "key"}
        )
        record = record.model_copy(update={"key": changes.get("key", record.expected_key)})
        place = board / (folder or record.run_id)
        place.mkdir(parents=True)
        (place / "run.json").write_text(record.model_dump_json(indent=2) + "\n")
        file = name_for(record.protocol)
        (place / file).write_bytes(pack(text, file))
        if card is not None:
            (place / "card.json").write_text(json.dumps(card))
        return place
