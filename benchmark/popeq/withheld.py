"""Which data sets popeq does not give to the process of a predictor: those with the answers it is tested on.

Their revisions are in an environment variable from before the process starts, so that the predictor's own
children have it too. It stops mistakes and the lazy way to cheat; code that means harm can read the files
themselves (docs/containment.md).
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from popeq.dataset import Dataset
from popeq.errors import UsageError

#: Revisions, separated by commas.
WITHHELD = "POPEQ_WITHHELD"


def withholding(revisions: Iterable[str], env: Mapping[str, str]) -> dict[str, str]:
    """``env`` for a process that may not load data sets of these revisions, besides those that it names."""
    return {**env, WITHHELD: ",".join(sorted({*revisions, *_withheld(env)}))}


def refuse_withheld(dataset: Dataset) -> None:
    """UsageError if this process may not load the data set."""
    withheld = _withheld(os.environ)
    if withheld and dataset.revision in withheld:
        raise UsageError(
            f"{dataset.folder or dataset.name}: holds answers that this predictor is tested on, so popeq "
            "does not load it in the predictor's process; fit() is given the training answers"
        )


def _withheld(env: Mapping[str, str]) -> set[str]:
    return {revision for revision in env.get(WITHHELD, "").split(",") if revision}
