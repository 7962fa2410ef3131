"""Derive tables/words.csv, the mean setting of each common SocialEQ word, from the published contributions.

``python -m popeq_data.simulated_120.make_words EQ_CONTRIBUTIONS_CSV [-o FILE]``
"""

from __future__ import annotations

import argparse
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from popeq.atomic import write_text
from popeq.errors import PopeqError
from popeq_data.importers.plane import place
from popeq_data.importers.socialeq_rows import read_csv
from popeq_data.importers.source import Source
from popeq_data.importers.words import normalise
from popeq_data.simulated_120.tables import WORDS

DB_PER_UNIT = 3.0
LEAST_CONTRIBUTIONS = 4
#: Reliability of one rating is about 0.31, so n of them are worth n / (n + 0.69 / 0.31).
SHRINKAGE = 2.2
LANGUAGE = "english"
SOURCE = "SocialEQ (Cartwright & Pardo 2013)"


def words_table(path: Path) -> str:
    """The CSV text of the table: word, n, x_db, y_db, source; the commonest word first.

    A word's mean is shrunk by n / (n + 2.2) towards the mean over all words, each counted once: the
    expected mean of a word without ratings. Raises InvalidInputError for another kind of file.
    """
    rows = read_csv(Source(path, "a SocialEQ contributions file"))
    rows = [row for row in rows if row.language.casefold() == LANGUAGE and normalise(row.word)]
    points_of_rows = place(np.stack([row.curve for row in rows]), DB_PER_UNIT).points
    by_word = defaultdict(list)
    for row, point in zip(rows, points_of_rows, strict=True):
        by_word[normalise(row.word)].append(point)
    means = {word: np.mean(points, axis=0) for word, points in by_word.items()}
    all_words = np.mean(list(means.values()), axis=0)
    table = []
    for word in sorted(by_word, key=lambda word: (-len(by_word[word]), word)):
        n = len(by_word[word])
        if n >= LEAST_CONTRIBUTIONS:
            x, y = np.round(all_words + n / (n + SHRINKAGE) * (means[word] - all_words), 2) + 0.0
            table.append((word, n, x, y, SOURCE))
    frame = pd.DataFrame(table, columns=["word", "n", "x_db", "y_db", "source"])
    return frame.to_csv(index=False, float_format="%.2f", lineterminator="\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the table; 0 if it was written, 2 if the input is not what it should be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contributions", type=Path, help="SocialEQ's eq_contributions.csv")
    parser.add_argument(
        "-o", "--output", type=Path, default=WORDS, help="where to write (default: the table)"
    )
    options = parser.parse_args(arguments)
    try:
        write_text(options.output, words_table(options.contributions))
    except PopeqError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
