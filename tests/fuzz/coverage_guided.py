"""One target fuzzed by atheris, which keeps the inputs that reach new code and changes them further.

``python -m tests.fuzz.coverage_guided TARGET RUNS FOLDER`` ends with status 0 after so many inputs, or with
another at the first that breaks the target, which is then kept in FOLDER/found. It prints how many ran.
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from collections import Counter
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["popeq", "popeq_llm", "tomllib"]):
    from tests.fuzz.targets import CARD, DATASET, ground

#: libFuzzer's limits: bytes an input has, MiB the process takes, seconds one input takes.
LIMITS = {"max_len": 4096, "rss_limit_mb": 4096, "timeout": 20}


def main(name: str, runs: int, folder: Path) -> None:
    """Fuzz the target of this name; never returns, because libFuzzer ends the process."""
    corpus, found, words = folder / "corpus", folder / "found", folder / "words"
    for each in (corpus, found):
        each.mkdir(parents=True, exist_ok=True)
    text = json.dumps(CARD) + b"".join(DATASET.values()).decode()
    words.write_text("".join(f'"{word}"\n' for word in sorted(set(re.findall(r"[A-Za-z0-9_.-]+", text)))))
    options = LIMITS | {"atheris_runs": runs, "artifact_prefix": f"{found}/", "dict": words, "verbosity": 0}
    warnings.simplefilter("error")
    with ground(folder) as place:
        (target,) = [t for t in place.targets() if t.name == name]
        for i, seed in enumerate(target.seeds()):
            (corpus / f"seed-{i}").write_bytes(seed)
        seen: Counter[bool] = Counter()

        def check(content: bytes) -> None:
            seen[target.check(content)] += 1
            if seen.total() == runs:
                print(f"taken: {seen[True]}, refused: {seen[False]}", flush=True)

        atheris.Setup([__file__, *(f"-{key}={value}" for key, value in options.items()), str(corpus)], check)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
