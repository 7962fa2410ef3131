"""How predictors do on test prompts whose word some training prompt has, and on those whose word none has.

``python -m tests.bench.seen_words [RUNS]``: runs on simulated-120, by default the committed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

import popeq
from popeq.board.entries import make_entries
from popeq.board.scoring import Scorer
from popeq.board.selection import comparable, gather
from popeq.errors import PopeqError, UsageError
from popeq.metrics import HEADLINE
from popeq.protocol import DEFAULT_PROTOCOL
from popeq_data.simulated_120.tables import read_sentences

DATASET, REFERENCE = "simulated-120", "prior"
BOARD = Path("leaderboard") / "results" / DATASET


def seen(prompt_ids: tuple[str, ...]) -> NDArray[np.bool_]:
    """Whether each prompt turns on a word that a training prompt turns on as well."""
    words = {s.prompt_id: s.word for s in read_sentences()}
    trained = {s.word for s in read_sentences() if s.split == "train"}
    return np.array([words[p] in trained for p in prompt_ids])


def table(runs: Path) -> list[dict[str, str]]:
    """A row for each predictor: mean score by group, dB, and mean difference to ``prior`` with its standard
    error over prompts; scores are averaged over seeds first. Raises UsageError without runs of ``prior``."""
    scorer = Scorer(popeq.load_dataset(DATASET), DEFAULT_PROTOCOL)
    found, _ = comparable(gather([runs], runs)[0], scorer)
    scores = {e.label: e.table.scores(HEADLINE) for e in make_entries(found, scorer)}
    if REFERENCE not in scores:
        raise UsageError(f"{runs}: holds no complete run of {REFERENCE} on {DATASET}; popeq run {REFERENCE}")
    is_seen = seen(scorer.prompt_ids)
    rows = []
    for label, own in sorted(scores.items(), key=lambda item: float(item[1].mean())):
        row = {"predictor": label}
        for name, group in (("seen", is_seen), ("unseen", ~is_seen)):
            more = (own - scores[REFERENCE])[group]
            error = more.std(ddof=1) / np.sqrt(len(more))
            row[f"{name} ({len(more)})"] = f"{own[group].mean():.2f}"
            row[f"{name} - {REFERENCE}"] = f"{more.mean():+.2f} ± {error:.2f}" if more.any() else ""
        rows.append(row)
    return rows


def main(arguments: list[str]) -> int:
    """Print the table; 2 and one line for what cannot be read."""
    try:
        rows = table(Path(arguments[0]) if arguments else BOARD)
    except PopeqError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(tabulate(rows, headers="keys", tablefmt="github", disable_numparse=True))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
