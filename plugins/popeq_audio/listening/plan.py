"""plan.json: what every stimulus of a listening test is. The listeners never see it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from popeq.dataset_card import SpaceCard
from popeq.errors import UsageError
from popeq.others_files import read_json

PLAN = "plan.json"
Kind = Literal["mushra", "preference"]
REFERENCE = "reference"
#: Steps of the scale of a preference test, from 1 (fits not at all).
STEPS = 7


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Condition(_Part):
    """One sound of a trial: a run's recommended setting, a given setting, or the anchor."""

    name: str = Field(description="what the test calls it; it does not show what it is")
    method: str = Field(description="run, 'at x,y' or 'anchor'")
    x_db: float | None = Field(None, description="setting; none for the anchor")
    y_db: float | None = None
    kantorovich: float | None = Field(
        None, description="reflective Kantorovich distance of the run on this prompt, dB; none without a run"
    )
    setting_distance: float | None = Field(
        None, description="mean distance from the setting to the prompt's responses, dB: its Wasserstein-1"
    )


class Trial(_Part):
    """One page: a sentence, a track, the reference (what most listeners chose) and the conditions."""

    trial_id: str
    prompt_id: str
    text: str
    track: str
    reference_x_db: float
    reference_y_db: float
    loudness_lufs: float = Field(description="of every sound of the trial")
    sounds_sha256: str = Field("", description="of the sounds by their names; empty in a plan of popeq 0.1")
    conditions: list[Condition]

    def condition(self, name: str) -> Condition | None:
        """The condition of that name."""
        return next((c for c in self.conditions if c.name == name), None)


class Plan(_Part):
    """A whole test. ``plan_id`` is in every row of its results: ``test_id`` and a hash of the rest."""

    schema_version: Literal[3] = 3
    plan_id: str = Field("", description="what webMUSHRA writes as session_test_id; made of the content")
    test_id: str
    kind: Kind
    dataset: str
    revision: str
    simulated: bool = Field(description="whether the listeners of the data set are simulated")
    space: SpaceCard = Field(description="box and pair of curves of the data set: what the settings mean")
    seed: int
    trials: list[Trial]

    @property
    def offered(self) -> dict[str, set[tuple[float, float]]]:
        """The settings that a listener can choose among, by prompt: neither the reference nor the anchor."""
        offered: dict[str, set[tuple[float, float]]] = {}
        for trial in self.trials:
            points = {(c.x_db, c.y_db) for c in trial.conditions if c.x_db is not None and c.y_db is not None}
            offered.setdefault(trial.prompt_id, set()).update(points)
        return offered

    def identified(self) -> Plan:
        """The plan with its ``plan_id``: other sounds, tracks, prompts or seeds have another."""
        content = self.model_dump_json(exclude={"plan_id"})
        digest = hashlib.sha256(content.encode()).hexdigest()[:10]
        return self.model_copy(update={"plan_id": f"{self.test_id}-{digest}"})

    def write(self, folder: Path) -> None:
        """As plan.json into a folder."""
        (folder / PLAN).write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """From plan.json or its folder; UsageError if it is none."""
        file = path / PLAN if path.is_dir() else path
        try:
            return cls.model_validate(_migrated(read_json(file, follow=True)))
        except ValueError as error:  # pydantic's too
            why = str(error).splitlines()[0]
            raise UsageError(f"{file}: is not the plan of a listening test: {why}") from None


def _migrated(content: Any) -> Any:
    """A plan as it is written now. Version 1 had no id, and its results carry the name of the test; versions
    1 and 2 did not say the space, which was the paper's plane."""
    if isinstance(content, dict) and content.get("schema_version", 1) == 1 and "plan_id" not in content:
        content = content | {"schema_version": 2, "plan_id": content.get("test_id")}
    if isinstance(content, dict) and content.get("schema_version") == 2 and "space" not in content:
        content = content | {"schema_version": 3, "space": SpaceCard()}
    return content
