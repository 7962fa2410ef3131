"""Where a predictor's members come from: their records, written after training and checked before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from popeq.contract import LabelledPrompt
from popeq.errors import UsageError
from popeq.space import Space
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone
from popeq_peft.card import RECORD, MemberRecord, read_record
from popeq_peft.checkpoint import Progress
from popeq_peft.parameters import TrainingParameters


@dataclass(frozen=True)
class Origin:
    """What all members of a predictor have in common."""

    predictor: str
    parameters: TrainingParameters
    space: Space

    @property
    def space_db(self) -> list[float]:
        """The box as x low, y low, x high, y high."""
        return [float(v) for v in (*self.space.low, *self.space.high)]

    def fingerprint(
        self, seed: int, examples: Sequence[Example], validation: Sequence[LabelledPrompt], revision: str
    ) -> str:
        """SHA-256 over everything that a member's training depends on; ``revision`` is the base model's."""
        parts = [
            self.predictor,
            self.parameters.model_dump(mode="json"),
            self.space_db,
            seed,
            revision,
            [[e.text, e.responses.tolist()] for e in examples],
            [[p.prompt.text, p.responses.tolist()] for p in validation],
        ]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def record(
        self, progress: Progress, backbone: Backbone, *, stand_in: bool, trained: int, train_s: float
    ) -> MemberRecord:
        """The record of a member that was just trained; ``trained``: how many parameters."""
        return MemberRecord(
            predictor=self.predictor,
            parameters=self.parameters.model_dump(mode="json"),
            base_model=backbone.name,
            base_revision=backbone.revision,
            stand_in=stand_in,
            space_db=self.space_db,
            trained_parameters=trained,
            history=progress.history,
            best_epoch=progress.best_epoch,
            stopped=progress.stopped,
            train_s=train_s,
            fingerprint=progress.fingerprint,
        )

    def given(self, folder: Path) -> MemberRecord:
        """The record in the folder of a given adapter; UsageError if this predictor cannot use it."""
        record = read_record(folder)
        if record is None:
            raise UsageError(f"adapter {folder}: has no {RECORD}; it was not written by popeq")
        if record.predictor != self.predictor:
            raise UsageError(f"adapter {folder}: is one of {record.predictor}, not of {self.predictor}")
        if record.space_db != self.space_db:
            raise UsageError(f"adapter {folder}: was trained for the box {record.space_db} dB, not this one")
        return record


def check_base(folder: Path, record: MemberRecord, backbone: Backbone) -> None:
    """UsageError unless an adapter was trained on this very base model."""
    if (record.base_model, record.base_revision) != (backbone.name, backbone.revision):
        raise UsageError(
            f"adapter {folder}: was trained on {record.base_model} ({record.base_revision}), not on "
            f"{backbone.name} ({backbone.revision}); give that one with --model"
        )
