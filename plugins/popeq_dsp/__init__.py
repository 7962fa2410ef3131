"""``icl-dsp``: a language model that is shown the equaliser as code, and the track as numbers.

A package of its own and no module of ``popeq_llm``, because the key of a run holds a hash of the whole
package that its predictor is in: so the runs of other predictors keep their keys.
"""

from __future__ import annotations

from popeq.contract import PredictorSpec
from popeq.hookspecs import hookimpl
from popeq_dsp.parameters import DspParameters


@hookimpl
def popeq_predictors() -> list[PredictorSpec]:
    return [
        PredictorSpec(
            "icl-dsp",
            "asks a language model that is shown the equaliser as code, the track's descriptors and examples",
            "popeq_dsp.predictor:Dsp",
            DspParameters,
            extra="llm",
            kind="in-context",
            wants_audio=True,
            needs_env=("OPENAI_API_KEY",),
        )
    ]
