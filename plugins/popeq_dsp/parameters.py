"""Parameters of ``icl-dsp``; light to import."""

from __future__ import annotations

from pydantic import Field

from popeq.errors import UsageError
from popeq.ranges import tuned
from popeq.space import Space
from popeq_llm.known import WordingName
from popeq_llm.parameters import StaticParameters


class DspParameters(StaticParameters):
    """Of ``icl-dsp``, whose prompt has the equaliser's definition in place of a wording's meaning."""

    wording: WordingName = Field(
        "engineer", description="who is asked; what a setting means is said by the equaliser's definition"
    )
    examples: int = Field(
        5, ge=0, description="training prompts shown (K); 0: none", json_schema_extra=tuned(0, 12)
    )

    def check_space(self, space: Space) -> None:
        """Raise UsageError also for settings as gains: the definition is one of x and y."""
        super().check_space(space)
        if self.wording == "gains":
            raise UsageError(f"-o wording={self.wording}: icl-dsp defines x and y; use another wording")
