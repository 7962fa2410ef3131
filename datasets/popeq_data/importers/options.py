"""Parameters of the importers. The module imports little, so that the command line starts fast."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from popeq.contract import Parameters

_SALT = "secret text that keys the listeners' hashes, for a repeatable revision (default: random)"
_UNSEEN = "divide listeners into two panels, and train each fold on the other panel's answers only"


class SafeOptions(Parameters):
    """Choices of ``popeq data import safe``."""

    part: Literal["lab", "home", "all"] = Field(
        "lab", description="lab: a prompt per word and track; home: a prompt per word; all: both"
    )
    scale: float = Field(
        0.5, gt=0, le=8, description="factor on every setting before it is clipped to the plane"
    )
    min_responses: int = Field(
        4,
        ge=2,
        description="distinct listeners that a word of home or all needs; one alone could be identified",
    )
    unseen_people: bool = Field(False, description=_UNSEEN)
    salt: str = Field("", description=_SALT)


class SocialEqOptions(Parameters):
    """Choices of ``popeq data import socialeq``."""

    language: str = Field("English", min_length=1, description="language of the words to keep")
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


class CsvOptions(Parameters):
    """Choices of ``popeq data import csv``: the card, points outside the plane, and listeners."""

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
        (), description="a column of PROMPTS by which tables can be split; may be given several times"
    )
    outside: Literal["clip", "refuse"] = Field(
        "clip",
        description="points beyond +-6 dB: move them to the edge and report how many, or refuse the file",
    )
    hash_listeners: bool = Field(
        False, description="replace listener ids by keyed hashes, in case they name people"
    )
    unseen_people: bool = Field(False, description=_UNSEEN)
    salt: str = Field("", description=_SALT)
