"""card.json: what a submission says of itself, for the people who read the board. Nothing here is scored."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from popeq.contract import Kind
from popeq.errors import InvalidInputError, Problem, UsageError
from popeq.others_files import read_json

CARD = "card.json"
#: How far a row can be trusted, best first. Given by popeq alone (popeq.board.trust), never by a card.
Trust = Literal["reproduced", "drawn", "scored", "self-reported"]
MOST_BYTES = 65_536
_LINK = re.compile(r"https?://[^\s<>\"'`\\]+", re.ASCII)


def clean_text(text: str) -> str:
    """The text itself, if it is NFC and has no control, format or unassigned character but newline and tab.

    Raises ValueError otherwise: a name that looks like another one, or turns a line around, is no name.
    """
    if not unicodedata.is_normalized("NFC", text):
        raise ValueError("must be in Unicode normal form NFC")
    for character in text:
        if unicodedata.category(character)[0] == "C" and character not in "\n\t":
            raise ValueError(f"must not hold the control character U+{ord(character):04X}")
    return text


def one_line(text: str) -> str:
    """Clean text without line breaks, not blank."""
    if not text.strip() or "\n" in text or "\t" in text:
        raise ValueError("must be one line that is not blank")
    return clean_text(text)


def web_link(text: str) -> str:
    """An absolute http or https address without blanks, quotes or brackets."""
    if not _LINK.fullmatch(clean_text(text)):
        raise ValueError("must be an http:// or https:// address")
    return text


def claimable_trust(given: object) -> object:
    """The value itself. Raises ValueError for labels that are given by what popeq did, not by a card."""
    if given in ("reproduced", "drawn"):
        raise ValueError(f"no card can say {given!r}: 'popeq verify --redraw' gives it; leave the field out")
    return given


Line = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(one_line)]
Paragraph = Annotated[str, Field(max_length=2000), AfterValidator(clean_text)]
Link = Annotated[str, Field(max_length=500), AfterValidator(web_link)]


#: Scores that a card may claim: columns of the board.
Claimable = Literal[
    "reflective_kantorovich_median",
    "reflective_kantorovich_mean",
    "kantorovich_median",
    "kantorovich_mean",
    "sample_kantorovich_median",
    "sample_kantorovich_mean",
    "energy_score_median",
    "energy_score_mean",
]


class Claim(BaseModel):
    """Scores that somebody states. With predictions beside them they are checked; without, the entry is
    self-reported: shown, and never ranked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Line = Field(description="name of the method")
    dataset: Line = Field(description="name of the data set")
    scores: dict[Claimable, Annotated[float, Field(ge=0, allow_inf_nan=False)]] = Field(
        min_length=1, description="stated scores by column of the board, dB"
    )


class Card(BaseModel):
    """What the submitter declares; shown as text, never believed where popeq can compute."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    authors: list[Line] = Field(min_length=1, max_length=50, description="who made the method")
    contact: Line = Field(description="address or handle for questions")
    kind: Kind = Field("other", description="what sort of method it is")
    model: Annotated[str, Field(max_length=200), AfterValidator(clean_text)] = Field(
        "", description="model behind the method; empty if there is none"
    )
    model_parameters: int | None = Field(None, ge=0, description="number of weights of that model")
    training_data: Paragraph = Field(
        min_length=1, description="everything it was trained or tuned on, in words"
    )
    links: list[Link] = Field(default_factory=list, max_length=10, description="paper, code, model")
    notes: Paragraph = Field("", description="anything a reader should know")
    trust: Annotated[Literal["scored", "self-reported"], BeforeValidator(claimable_trust)] = Field(
        "scored",
        description="kept for old cards, without any effect: popeq alone says how far to trust a row",
    )
    claim: Claim | None = Field(None, description="scores that the submitter states; checked where popeq can")


def read_card(path: Path) -> Card:
    """A card from a JSON file.

    Raises
    ------
    UsageError
        If it is no plain file, cannot be read, is too large or is no JSON object with each key once.
    InvalidInputError
        With every field that is wrong.
    """
    raw = read_json(path, MOST_BYTES)
    if not isinstance(raw, dict):
        raise UsageError(f"{path}: is not a JSON object")
    try:
        return Card.model_validate(raw)
    except ValidationError as error:
        problems = [
            Problem(path.name, e["msg"].removeprefix("Value error, "), None, ".".join(map(str, e["loc"])))
            for e in error.errors()
        ]
        raise InvalidInputError("wrong card", problems) from None
