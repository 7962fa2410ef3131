"""Parameters of the importers. The module imports little, so that the command line starts fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from popeq.contract import Parameters
from popeq.space import CURVES

_SALT = "secret text that keys the listeners' hashes, for a repeatable revision (default: random)"
_CURVES = "pair of curves that the axes move: orthogonal, beosonic, shelves:LOW:HIGH or a plugin's"
_UNSEEN = "divide listeners into two panels, and train each fold on the other panel's answers only"


class SafeOptions(Parameters):
    """Choices of ``popeq data import safe``."""

    part: Literal["lab", "home", "all", "words"] = Field(
        "lab",
        description="lab: a prompt per word and track; home: a prompt per word; all: both; words: a prompt "
        "per word for everybody, with the listeners' groups lab and home",
    )
    scale: float = Field(
        0.5, gt=0, le=8, description="factor on every setting before it is clipped to the plane"
    )
    min_responses: int = Field(
        4,
        ge=2,
        description="distinct listeners that a word needs (not of lab); one alone could be identified",
    )
    curves: str = Field(CURVES, description=_CURVES)
    unseen_people: bool = Field(False, description=_UNSEEN)
    salt: str = Field("", description=_SALT)


class SocialEqOptions(Parameters):
    """Choices of ``popeq data import socialeq``."""

    language: str = Field(
        "English",
        min_length=1,
        description="language of the words to keep; all: every language, as the listeners' groups",
    )
    min_responses: int = Field(8, ge=1, description="contributions that a word needs")
    min_consistency: float = Field(
        0.0,
        ge=-1,
        le=1,
        description="least consistency of a contribution's ratings; under 0.3 is weak evidence",
    )
    db_per_unit: float = Field(
        3.0, gt=0, le=24, description="dB for one standard deviation of a z-scored curve"
    )
    curves: str = Field(CURVES, description=_CURVES)


def _bounds(value: object) -> object:
    """LOW,HIGH as two numbers; anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        low, high = map(float, value.split(","))
    except ValueError:
        raise ValueError(f"needs LOW,HIGH, two numbers such as -12,12, not {value!r}") from None
    return low, high


def _ordered(bounds: tuple[float, float]) -> tuple[float, float]:
    if not bounds[0] < bounds[1]:
        raise ValueError(f"needs LOW,HIGH in dB, the lower first, not {bounds[0]:g},{bounds[1]:g}")
    return bounds


#: The two ends of an axis; as text LOW,HIGH.
Bounds = Annotated[tuple[float, float], BeforeValidator(_bounds), AfterValidator(_ordered)]


class OwnOptions(Parameters):
    """What the importers of a user's own files share: the card, the plane, how files are read, listeners."""

    name: str = Field(
        "imported",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$",
        description="short name: a-z, 0-9, '.', '_' and '-'",
    )
    version: str = Field("1", min_length=1, description="the maker's own version")
    title: str = Field("Imported listening data", min_length=1, description="one line that describes it")
    licence: str = Field("not stated", min_length=1, description="SPDX identifier or a sentence")
    citation: str = Field("not stated", min_length=1, description="who to cite")
    simulated: bool = Field(False, description="say that no real listener made these responses")
    grouping: tuple[str, ...] = Field(
        (), description="a further column of the prompts by which tables can be split; repeatable"
    )
    box: Bounds | None = Field(
        None, description="LOW,HIGH: lowest and highest setting on both axes, dB (default: -6,6)"
    )
    box_x: Bounds | None = Field(None, description="LOW,HIGH of the x axis, in place of --box")
    box_y: Bounds | None = Field(None, description="LOW,HIGH of the y axis, in place of --box")
    step: float | None = Field(
        None, gt=0, description="step of the control in dB, which divides the box (default: 0.1)"
    )
    curves: str = Field(CURVES, description=_CURVES)
    outside: Literal["refuse", "clip"] = Field(
        "refuse",
        description="answers outside the box: refuse the file, or move them to the edge and report how far",
    )
    unit: Literal["dB", "ratio"] = Field(
        "dB", description="unit of the gains in the file; a ratio (linear gain) becomes 20 log10 of it"
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="decimal mark of the numbers: . or , (default: the only one that fits)"
    )
    hash_listeners: bool = Field(
        False, description="replace listener ids by keyed hashes, in case they name people"
    )
    unseen_people: bool = Field(False, description=_UNSEEN)
    salt: str = Field("", description=_SALT)


class CsvOptions(OwnOptions):
    """Choices of ``popeq data import csv``."""


class BandsOptions(OwnOptions):
    """Choices of ``popeq data import bands``."""

    prompts: Path | None = Field(
        None, description="CSV file of the prompts (default: FILE has their columns in each row)"
    )
    scale: float = Field(1.0, gt=0, le=8, description="factor on every curve before it becomes a setting")
