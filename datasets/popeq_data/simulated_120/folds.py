"""simulated-120 with five folds in place of its split, so that each of the 120 prompts is tested once.

``python -m popeq_data.simulated_120.folds FOLDER`` writes the data set to a new folder. Folds are
assigned in turn in the order of the prompts.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from popeq.atomic import new_folder
from popeq.errors import PopeqError

NAME, FOLDS = "simulated-120-folds", 5
_BUNDLED = Path(__file__).parent / "data"


def write_folds(folder: Path) -> Path:
    """Write the data set; raises UsageError if the folder exists."""
    card = (_BUNDLED / "dataset.toml").read_text(encoding="utf-8")
    card = card.replace('"simulated-120"', f'"{NAME}"', 1)
    lines = [line for line in card.splitlines(keepends=True) if not line.startswith("second_panel")]
    prompts = pd.read_csv(_BUNDLED / "prompts.csv", dtype=str).drop(columns="split")
    with new_folder(folder) as made:
        (made / "dataset.toml").write_text("".join(lines), encoding="utf-8")
        (made / "responses.csv").write_bytes((_BUNDLED / "responses.csv").read_bytes())
        prompts.assign(fold=np.arange(len(prompts)) % FOLDS).to_csv(made / "prompts.csv", index=False)
    return folder


def main(arguments: list[str]) -> int:
    """Write the data set to the folder that is the one argument; returns the exit code."""
    if len(arguments) != 1:
        print("usage: python -m popeq_data.simulated_120.folds FOLDER", file=sys.stderr)
        return 2
    try:
        print(f"written: {write_folds(Path(arguments[0]))}")
    except PopeqError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
