"""What every method must beat: the training responses themselves, all of them and undrawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from popeq.board.reference_lines import ReferenceLine
from popeq.board.scoring import Scorer
from popeq.dataset import Dataset
from popeq.metrics import Target
from popeq.metrics.scores import PromptScores, mean_distance

REFERENCE = "training responses"
_SCORED = ("reflective_kantorovich", "kantorovich", "energy_score")


def training_responses(scorer: Scorer) -> ReferenceLine:
    """The scores by prompt of the pooled training responses, the same for every sentence of a stage.

    They are the distribution that a method has before it reads the sentence: of each prompt's own stage, so
    that with folds no tested prompt is among them. Nothing is drawn, so they do not depend on a seed or on
    which runs are at hand. They have no ``sample_kantorovich``.
    """
    return reference_against(scorer.targets, scorer.prompt_ids, scorer.dataset)


def reference_against(
    targets: Sequence[Target], prompt_ids: Sequence[str], dataset: Dataset
) -> ReferenceLine:
    """The training responses of ``dataset`` scored against ``targets``, one for each of its test prompts."""
    at = {p: i for i, p in enumerate(prompt_ids)}
    found: dict[str, PromptScores] = {}
    for stage in dataset.stages:
        tested = [p for p in stage.test if p in at]
        if not tested:
            continue
        pool = dataset.pooled(stage.train)
        predicted, inner = targets[at[tested[0]]].densities_of(pool), mean_distance(pool)
        found |= {p: targets[at[p]].score_of(predicted, pool, inner) for p in tested}
    scored = [found[p] for p in prompt_ids]
    return ReferenceLine(
        REFERENCE,
        "all of them, whatever the sentence; not drawn",
        {name: np.array([s.values[name] for s in scored]) for name in _SCORED},
        {name: [s.influence[name] for s in scored] for name in _SCORED},
    )
