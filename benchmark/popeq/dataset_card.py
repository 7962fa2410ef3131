"""The card of a data set, which is its ``dataset.toml``, and the columns of its tables."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import BaseModel, Field, field_validator, model_validator

from popeq.space import CURVES, STEP_DB, Space

SPLITS = ("train", "validation", "test")
PROMPT_COLUMNS = ("prompt_id", "text", "category", "basis", "split", "fold", "audio_id", "panel")
RESPONSE_COLUMNS = ("prompt_id", "listener_id", "x_db", "y_db")
LISTENER_COLUMNS = ("listener_id", "group")
#: Far more than any gain, and squares of distances are still numbers.
MOST_DB = 1e9
#: A name, and numbers where a pair takes some.
_CURVES = r"^[a-z0-9][a-z0-9._-]{0,63}(:[0-9.]{1,13}){0,8}$"
_GROUPING = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


class SpaceCard(BaseModel, frozen=True, extra="forbid"):
    """Bounds, unit and step of the plane and its pair of curves, as ``dataset.toml`` writes them."""

    x_db: tuple[float, float] = Field((-6.0, 6.0), description="lowest and highest x")
    y_db: tuple[float, float] = Field((-6.0, 6.0), description="lowest and highest y")
    unit: Literal["dB"] = "dB"
    step_db: float = Field(
        STEP_DB,
        ge=1e-6,
        exclude_if=lambda step: step == STEP_DB,
        description="distance of the settings that the control offers, dB; the bounds are multiples of it",
    )
    curves: str = Field(
        CURVES,
        pattern=_CURVES,
        exclude_if=lambda name: name == CURVES,
        description="pair of curves that the axes move: orthogonal, beosonic, shelves:LOW:HIGH or a plugin's",
    )

    @field_validator("x_db", "y_db")
    @classmethod
    def _ordered(cls, bounds: tuple[float, float]) -> tuple[float, float]:
        if not -MOST_DB <= bounds[0] < bounds[1] <= MOST_DB:
            raise ValueError(f"needs two numbers from {-MOST_DB:g} to {MOST_DB:g}, the lower first")
        return bounds

    @model_validator(mode="after")
    def _divided(self) -> SpaceCard:
        """A step that is named divides the box; the default one has to offer a setting on either axis."""
        for name, bounds in (("x_db", self.x_db), ("y_db", self.y_db)):
            for bound in bounds if "step_db" in self.model_fields_set else ():
                if abs(bound / self.step_db - round(bound / self.step_db)) > 1e-6:
                    raise ValueError(
                        f"step_db {self.step_db:g} does not divide the box: {bound:g} of {name} is not a "
                        "multiple of it"
                    )
        if not all(self.space.steps()):
            raise ValueError(
                f"no multiple of step_db {self.step_db:g} lies in the box; name a smaller step_db"
            )
        return self

    @property
    def space(self) -> Space:
        """The box of settings."""
        return Space(*self.x_db, *self.y_db, self.step_db, self.curves)


class DatasetCard(BaseModel, frozen=True, extra="forbid"):
    """The content of ``dataset.toml``."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="short name, used on the command line"
    )
    version: str = Field(min_length=1, description="the maker's own version")
    title: str = Field(min_length=1, description="one line that describes it")
    licence: str = Field(min_length=1, description="SPDX identifier or a sentence")
    citation: str = Field(min_length=1, description="who to cite")
    simulated: bool = Field(description="true if no real listener made these responses")
    second_panel: str | None = Field(
        None,
        description="folder, relative to this one, of a data set with the same prompts and other listeners",
    )
    sealed_answers: str | None = Field(
        None,
        pattern=r"^[0-9a-f]{64}$",
        description="SHA-256 (hex) of the file of responses to the test prompts, if that is kept elsewhere",
    )
    groupings: tuple[str, ...] = Field(
        (),
        exclude_if=lambda names: not names,
        description="more columns of prompts.csv, by which tables can be split; predictors do not see them",
    )
    space: SpaceCard = SpaceCard()

    @field_validator("groupings")
    @classmethod
    def _own_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for i, name in enumerate(names):
            if not _GROUPING.fullmatch(name):
                raise ValueError(f"{name!r} is not a letter and up to 39 more letters, digits, '_' and '-'")
            if name.lower() in PROMPT_COLUMNS or name in names[:i]:
                raise ValueError(f"{name!r} is a column of prompts.csv already; give it another name")
        return names

    @model_validator(mode="after")
    def _no_open_panel(self) -> DatasetCard:
        if self.sealed_answers is not None and self.second_panel is not None:
            raise ValueError(
                "sealed_answers and second_panel exclude each other, because a second panel's answers to the "
                "test prompts are open; leave second_panel out"
            )
        return self

    @property
    def label(self) -> str:
        """The name as it is shown: that of a simulated data set ends in "(simulated)"."""
        return f"{self.name} (simulated)" if self.simulated else self.name
