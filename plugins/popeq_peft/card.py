"""What stands beside a trained adapter: a record for popeq and a model card for people."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from popeq.atomic import write_text

RECORD = "popeq.json"


class MemberRecord(BaseModel):
    """How an adapter came about. ``space_db`` is the box as x low, y low, x high, y high."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    predictor: str
    parameters: dict[str, Any]
    base_model: str
    base_revision: str
    stand_in: bool
    space_db: list[float]
    trained_parameters: int
    history: list[dict[str, float]]
    best_epoch: int
    stopped: str
    train_s: float
    fingerprint: str

    def summary(self) -> dict[str, Any]:
        """How training went, in a few values."""
        best = [e.get("validation") for e in self.history if e["epoch"] == self.best_epoch]
        return {
            "epochs": len(self.history),
            "best_epoch": self.best_epoch,
            "stopped": self.stopped,
            "validation": best[0] if best else None,
            "train_s": round(self.train_s, 3),
        }


def read_record(folder: Path) -> MemberRecord | None:
    """The record in an adapter's folder; None if there is none that can be read."""
    try:
        return MemberRecord.model_validate(json.loads((folder / RECORD).read_text(encoding="utf-8")))
    except (OSError, ValueError, ValidationError):
        return None


def write_card(folder: Path, record: MemberRecord) -> None:
    """Write the record, and ``README.md`` in the form of a Hugging Face model card."""
    write_text(folder / RECORD, record.model_dump_json(indent=2) + "\n")
    write_text(
        folder / "README.md", card_text(record, with_adapter=(folder / "adapter_config.json").exists())
    )


def card_text(record: MemberRecord, *, with_adapter: bool) -> str:
    """The model card."""
    base = {"all-MiniLM-L6-v2": "sentence-transformers/all-MiniLM-L6-v2"}.get(
        record.base_model, record.base_model
    )
    last = record.history[-1] if record.history else {}
    best = next((e for e in record.history if e["epoch"] == record.best_epoch), last)
    scores = ", ".join(f"{k} {best[k]:.4f}" for k in ("loss", "validation") if k in best)
    stand_in = " (a small stand-in)" if record.stand_in else ""
    load = (
        f"""
The adapter is in peft's own format:

```python
from peft import PeftModel
from transformers import {"AutoModelForCausalLM" if "ntp" in record.predictor else "AutoModel"} as Auto

model = PeftModel.from_pretrained(Auto.from_pretrained("{base}"), "this folder")
```
"""
        if with_adapter
        else "\nThe base model is used as it is; only the head was trained.\n"
    )
    stopped = f"; {record.stopped}" if record.stopped else ""
    x_low, y_low, x_high, y_high = record.space_db
    settings = "\n".join(f"| {k} | {v} |" for k, v in record.parameters.items() if v is not None)
    return f"""---
base_model: {base}
library_name: peft
tags: [popeq, equalizer]
---

# {record.predictor} on {record.base_model}{stand_in}

Predicts how listeners set an equaliser (smile and tilt, dB) for a sentence. Written by popeq.

- Base model: {record.base_model}, revision {record.base_revision or "unknown"}
- Trained parameters: {record.trained_parameters}
- Epochs: {len(record.history)}, kept: {record.best_epoch} ({scores}{stopped})
- Box: x {x_low:g} to {x_high:g} dB, y {y_low:g} to {y_high:g} dB

With popeq: `popeq run {record.predictor} -o adapter=THIS_FOLDER`.
{load}
| parameter | value |
|---|---|
{settings}
"""
