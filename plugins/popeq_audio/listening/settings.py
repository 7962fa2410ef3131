"""What a listening test is like: one object, from which the options of the command line are made."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from popeq.settings import Settings

Kind = Literal["mushra", "preference"]


class ListeningTestSettings(Settings):
    """Kind, size, length and name of a listening test."""

    kind: Kind = Field(
        "mushra",
        description="Rated beside a reference that hides once more, with anchor; or by fit alone.",
    )
    prompts: int = Field(10, ge=1, description="Test prompts, chosen at random where none are named.")
    seconds: float = Field(10.0, ge=1, le=60, description="Of a track.")
    seed: int = Field(0, ge=0, description="Of the chosen prompts and the order of sounds.")
    name: str = Field("popeq", pattern=r"^[a-z0-9][a-z0-9-]{0,40}$", description="The test's id.")


DEFAULT_TEST = ListeningTestSettings()
