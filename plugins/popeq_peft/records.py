"""Records of trained members, kept beside their weights with a model card and checked before use."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from popeq.atomic import write_text
from popeq.contract import LabelledPrompt
from popeq.eq import curves
from popeq.errors import UsageError
from popeq.others_files import UnreadableFileError, read_model
from popeq.space import CURVES, STEP_DB, Space
from popeq_peft.augment import Example
from popeq_peft.backbone import Backbone, hub_name
from popeq_peft.parameters import TrainingParameters

RECORD = "popeq.json"


def space_db(space: Space) -> list[float]:
    """The box as x low, y low, x high, y high."""
    return [float(v) for v in (*space.low, *space.high)]


class MemberRecord(BaseModel):
    """How an adapter came about. ``space_db`` is the box as x low, y low, x high, y high; ``step_db`` and
    ``curves`` are the rest of the space."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictor: str
    parameters: dict[str, Any]
    base_model: str
    base_revision: str
    base_quantisation: str
    base_parameters: int
    space_db: list[float]
    step_db: float = STEP_DB
    curves: str = CURVES
    trained_parameters: int
    history: list[dict[str, float]]
    best_epoch: int
    stopped: str
    train_s: float
    fingerprint: str

    @property
    def space(self) -> Space:
        """The space of the answers that it was trained on."""
        x_low, y_low, x_high, y_high = self.space_db
        return Space(x_low, x_high, y_low, y_high, self.step_db, self.curves)

    @property
    def best(self) -> dict[str, float]:
        """The entry of the history for the epoch whose weights are kept."""
        return next((e for e in self.history if e["epoch"] == self.best_epoch), {})

    def summary(self) -> dict[str, Any]:
        """How training went, in a few values."""
        return {
            "epochs": len(self.history),
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "validation": self.best.get("validation"),
            "train_s": round(self.train_s, 3),
        }


def read_record(folder: Path) -> MemberRecord | None:
    """The record in an adapter's folder; None if there is none that can be read."""
    try:
        return read_model(folder / RECORD, MemberRecord, follow=True)
    except UnreadableFileError:
        return None


def write_record(folder: Path, record: MemberRecord) -> None:
    """Write the record, and ``README.md`` in the form of a Hugging Face model card."""
    write_text(folder / RECORD, record.model_dump_json(indent=2) + "\n")
    write_text(folder / "README.md", _card(record, with_adapter=(folder / "adapter_config.json").exists()))


def fingerprint(
    predictor: str,
    parameters: TrainingParameters,
    space: Space,
    seed: int,
    examples: Sequence[Example],
    validation: Sequence[LabelledPrompt],
    revision: str,
) -> str:
    """SHA-256 over everything that a member's training depends on; ``revision`` is the base model's."""
    parts = [
        predictor,
        parameters.model_dump(mode="json"),
        space_db(space) + ([] if _is_usual(space) else [space.step_db, space.curves]),
        seed,
        revision,
        [[e.text, e.responses.tolist()] for e in examples],
        [[p.prompt.text, p.responses.tolist()] for p in validation],
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _is_usual(space: Space) -> bool:
    """Whether it has the step and the curves that every space had when the first adapters were trained."""
    return (space.step_db, space.curves) == (STEP_DB, CURVES)


def given_record(folder: Path, predictor: str, space: Space) -> MemberRecord:
    """The record in the folder of a given adapter; UsageError if this predictor cannot use it."""
    record = read_record(folder)
    if record is None:
        raise UsageError(f"adapter {folder}: has no {RECORD}; it was not written by popeq")
    if record.predictor != predictor:
        raise UsageError(f"adapter {folder}: is one of {record.predictor}, not of {predictor}")
    if record.space != space:
        raise UsageError(
            f"adapter {folder}: was trained for {_said(record.space)}, and this data set has {_said(space)}"
        )
    return record


def _said(space: Space) -> str:
    """A space as text."""
    return (
        f"x {space.x_low_db:g} to {space.x_high_db:g} dB, y {space.y_low_db:g} to {space.y_high_db:g} dB in "
        f"steps of {space.step_db:g} dB, curves {space.curves}"
    )


def check_base(folder: Path, record: MemberRecord, backbone: Backbone) -> None:
    """UsageError unless an adapter was trained on this very base model."""
    if (record.base_model, record.base_revision) != (backbone.name, backbone.revision):
        raise UsageError(
            f"adapter {folder}: was trained on {record.base_model} ({record.base_revision}), not on "
            f"{backbone.name} ({backbone.revision}); give that one with --model"
        )


_WITH_ADAPTER = """
The adapter is in peft's own format:

```python
from peft import PeftModel
from transformers import {auto} as Auto

model = PeftModel.from_pretrained(Auto.from_pretrained("{base}"), "this folder")
```
"""
_FROM_GGUF = """
It was learnt over the {quantisation} weights of the GGUF file whose SHA-256 begins with {sha256}, and is
meant for these: `popeq models --convert {base}` prints the folder with the same weights as safetensors.

```python
from peft import PeftModel
from transformers import {auto} as Auto

model = PeftModel.from_pretrained(Auto.from_pretrained("that folder"), "this folder")
```
"""
_WITHOUT_ADAPTER = "\nThe base model is used as it is; only the head was trained.\n"


def _card(record: MemberRecord, *, with_adapter: bool) -> str:
    base = hub_name(record.base_model)
    auto = "AutoModelForCausalLM" if "ntp" in record.predictor else "AutoModel"
    load = _WITHOUT_ADAPTER
    if with_adapter and record.base_quantisation:
        sha256 = record.base_revision.removeprefix("sha256:")
        load = _FROM_GGUF.format(
            auto=auto, base=record.base_model, quantisation=record.base_quantisation, sha256=sha256
        )
    elif with_adapter:
        load = _WITH_ADAPTER.format(auto=auto, base=base)
    weights = f", {record.base_quantisation} weights of a GGUF file" if record.base_quantisation else ""
    scores = ", ".join(f"{k} {record.best[k]:.4f}" for k in ("loss", "validation") if k in record.best)
    stopped = f"; {record.stopped}" if record.stopped else ""
    pair = curves(record.space)
    axes = f"{pair.x.name} and {pair.y.name}"
    settings = "\n".join(f"| {k} | {v} |" for k, v in record.parameters.items() if v is not None)
    return f"""---
base_model: {base}
library_name: peft
tags: [popeq, equalizer]
---

# {record.predictor} on {record.base_model}

Predicts how listeners set an equaliser ({axes}, dB) for a sentence. Written by popeq.

- Base model: {record.base_model}{weights}, revision {record.base_revision or "unknown"}
- Trained parameters: {record.trained_parameters}
- Epochs: {len(record.history)}, kept: {record.best_epoch} ({scores}{stopped})
- Settings: {_said(record.space)}

With popeq: `popeq run {record.predictor} -o adapter=THIS_FOLDER`.
{load}
| parameter | value |
|---|---|
{settings}
"""
