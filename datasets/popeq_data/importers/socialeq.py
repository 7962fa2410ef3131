"""Import SocialEQ / SocialFX contributions: one z-scored curve for a word each, its own listener each.

M. Cartwright, B. Pardo, "Social-EQ: Crowdsourcing an equalization descriptor map", ISMIR 2013;
T. Zheng, P. Seetharaman, B. Pardo, "SocialFX", ACM Multimedia 2016.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np

from popeq.dataset_card import DatasetCard, SpaceCard
from popeq.eq import curves_named
from popeq.errors import UsageError
from popeq.importing import ImportResult
from popeq_data.importers.assemble import LICENCE, Question, ask_words, assemble, other_curves, result
from popeq_data.importers.options import SocialEqOptions
from popeq_data.importers.plane import place
from popeq_data.importers.socialeq_rows import Contribution, read_csv, read_parquet
from popeq_data.importers.source import Source
from popeq_data.importers.words import normalise

PUBLISHED_SHA256 = "80f967a4131f53fec882c1b0fc7ae7a0f8aa1c181f45fcf9cd555d35a49342f0"
CITATION = (
    "Cartwright, Pardo: Social-EQ: Crowdsourcing an equalization descriptor map. ISMIR 2013; "
    "Zheng, Seetharaman, Pardo: SocialFX. ACM Multimedia 2016"
)
FOLDS = 5


def import_socialeq(path: Path, parameters: SocialEqOptions) -> ImportResult:
    """Read the contributions, CSV or Parquet, and make the data set of common words of one language, or all.

    Raises InvalidInputError with every problem of the file; UsageError if the language is not there, too few
    words are left to fold, or pyarrow is needed and absent.
    """
    source = Source(path, "a SocialEQ contributions file", PUBLISHED_SHA256)
    curves_named(parameters.curves)
    parquet = source.content[:4] == b"PAR1" or path.suffix.casefold() in (".parquet", ".pq")
    rows = read_parquet(source) if parquet else read_csv(source)
    dropped: Counter[str] = Counter()
    questions, pairs = _ask(rows, parameters, dropped, source.file)
    space = SpaceCard(curves=parameters.curves)
    gains = np.stack([contribution.curve for _, contribution in pairs])
    placed = place(gains, parameters.db_per_unit, space.space)
    counter: Counter[str] = Counter()
    answers, groups = [], {}
    spelt: dict[str, str] = {}
    for prompt_id, row in pairs:
        counter[prompt_id] += 1
        # The file names nobody: a number within the word makes each contribution a listener of its own.
        answers.append((prompt_id, f"{prompt_id}.{counter[prompt_id]:03d}"))
        groups[answers[-1][1]] = spelt.setdefault(row.language.casefold(), row.language or "not stated")
    language = re.sub(r"[^a-z0-9]+", "-", parameters.language.casefold()).strip("-") or "other"
    card = DatasetCard(
        name="socialeq" if language == "english" else f"socialeq-{language}"[:64],
        version=f"1-{parameters.db_per_unit:g}-db-per-unit{other_curves(space, '-')}",
        title=f"SocialEQ contributions, {parameters.language}, {parameters.db_per_unit:g} dB per unit"
        + other_curves(space, ", curves "),
        licence=LICENCE,
        citation=CITATION,
        simulated=False,
        space=space,
    )
    chosen = {
        "language": parameters.language,
        "dB per unit": parameters.db_per_unit,
        "least contributions a word": parameters.min_responses,
        "least consistency": parameters.min_consistency,
        "rows read": len(rows),
    }
    weak = float(np.mean([contribution.consistency < 0.3 for _, contribution in pairs]))
    found: dict[str, object] = {
        "listener ids": "the file names nobody: every contribution counts as its own listener",
        "share of responses with consistency under 0.3": round(weak, 4),
    }
    several = _every_language(parameters)
    if several:
        found["listeners by language"] = dict(sorted(Counter(groups.values()).items()))
    dataset = assemble(card, questions, answers, placed.clipped.tolist(), groups if several else None)
    return result(source, dataset, placed, chosen, dropped, found)


def _every_language(parameters: SocialEqOptions) -> bool:
    return parameters.language.strip().casefold() == "all"


def _ask(
    rows: list[Contribution], parameters: SocialEqOptions, dropped: Counter[str], file: str
) -> tuple[list[Question], list[tuple[str, Contribution]]]:
    """Questions and the contributions that answer them; ``dropped`` counts what is left out."""
    language = parameters.language.strip().casefold()
    every = _every_language(parameters)
    spoken = [row for row in rows if every or row.language.casefold() == language]
    if not spoken:
        known = ", ".join(sorted({row.language for row in rows}))
        raise UsageError(
            f"{file}: no row is in {parameters.language!r}; --language is all or one of: {known}"
        )
    dropped[f"not in {parameters.language}"] = len(rows) - len(spoken)
    steady = [row for row in spoken if row.consistency >= parameters.min_consistency]
    dropped[f"consistency under {parameters.min_consistency:g}"] = len(spoken) - len(steady)
    named = [(word, row) for row in steady if (word := normalise(row.word))]
    dropped["empty word"] = len(steady) - len(named)
    least = parameters.min_responses
    questions, pairs = ask_words(named, least, FOLDS)
    dropped[f"word of fewer than {least} contributions"] = len(named) - len(pairs)
    if len(questions) < 2:
        raise UsageError(
            f"{file}: {len(questions)} word(s) have {least} contributions, too few to fold; lower "
            f"--min-responses (now {least}) or --min-consistency (now {parameters.min_consistency:g})"
        )
    return questions, pairs
