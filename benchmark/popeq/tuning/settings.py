"""How a search is made: one object, which goes whole from the caller to the search."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from popeq.settings import Settings


class SearchSettings(Settings):
    """How many settings of a predictor are tried, with which budgets, and where the search is kept."""

    trials: int = Field(30, ge=1, description="Settings to try in all; more of them later go on.")
    seed: int = Field(0, ge=0, description="Of search and runs.")
    output: Path | None = Field(
        None, description="Folder of the search. [default: tuning/PREDICTOR-DATASET-SEED]"
    )
    rounds: int = Field(3, ge=1, description="Budgets a good trial is given.")
    reduction: int = Field(
        3, ge=2, description="Ratio of one budget to the next; about one trial in so many goes on."
    )


DEFAULT_SEARCH = SearchSettings()
