"""Import SocialEQ / SocialFX contributions: one z-scored curve for a word each, its own listener each.

M. Cartwright, B. Pardo, "Social-EQ: Crowdsourcing an equalization descriptor map", ISMIR 2013;
T. Zheng, P. Seetharaman, B. Pardo, "SocialFX", ACM Multimedia 2016.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from popeq.contract import Prompt
from popeq.dataset import DatasetCard
from popeq.errors import UsageError
from popeq.importing import ImportResult
from popeq.space import log_frequency
from popeq.typing import Floats
from popeq_data.importers.assemble import Answer, assemble, round_robin
from popeq_data.importers.options import SocialEqOptions
from popeq_data.importers.plane import GRID_HZ, place
from popeq_data.importers.socialeq_rows import Contribution, read_csv, read_parquet
from popeq_data.importers.source import read_source
from popeq_data.importers.words import normalise, prompt_ids, sentence

PUBLISHED_SHA256 = "80f967a4131f53fec882c1b0fc7ae7a0f8aa1c181f45fcf9cd555d35a49342f0"
LICENCE = "no licence that allows redistribution was found; keep this data set to yourself"
CITATION = (
    "Cartwright, Pardo: Social-EQ: Crowdsourcing an equalization descriptor map. ISMIR 2013; "
    "Zheng, Seetharaman, Pardo: SocialFX. ACM Multimedia 2016"
)
FOLDS = 5


def import_socialeq(path: Path, parameters: SocialEqOptions) -> ImportResult:
    """Read the contributions, CSV or Parquet, and make the data set of one language's common words.

    Raises
    ------
    InvalidInputError
        With every problem of the file.
    UsageError
        If the language is not there, too few words are left to fold, or pyarrow is needed and absent.
    """
    source = read_source(path, "a SocialEQ contributions file", PUBLISHED_SHA256)
    parquet = source.data[:4] == b"PAR1" or path.suffix.casefold() in (".parquet", ".pq")
    rows = read_parquet(source) if parquet else read_csv(source)
    dropped: Counter[str] = Counter()
    common = _common_words(rows, parameters, dropped, source.name)
    ids = prompt_ids(common, "word-")
    pairs = [(word, c) for word in sorted(common) for c in common[word]]
    placed = place(np.stack([_curve(c) for _, c in pairs]), parameters.db_per_unit)
    counter: Counter[str] = Counter()
    answers = []
    for (word, _), point in zip(pairs, placed.clipped, strict=True):
        counter[word] += 1
        # Nobody is named in the file: a number within the word makes each contribution its own listener.
        answers.append(Answer(ids[word], f"{ids[word]}.{counter[word]:03d}", point))
    prompts = [Prompt(ids[word], sentence(word), "word", "fold") for word in common]
    language = re.sub(r"[^a-z0-9]+", "-", parameters.language.casefold()).strip("-") or "other"
    card = DatasetCard(
        name="socialeq" if language == "english" else f"socialeq-{language}"[:64],
        version=f"1-{parameters.db_per_unit:g}-db-per-unit",
        title=f"SocialEQ contributions, {parameters.language}, {parameters.db_per_unit:g} dB per unit",
        licence=LICENCE,
        citation=CITATION,
        simulated=False,
        second_panel=None,
    )
    report = {
        **source.report(),
        "licence": LICENCE,
        "language": parameters.language,
        "dB per unit": parameters.db_per_unit,
        "least contributions a word": parameters.min_responses,
        "least consistency": parameters.min_consistency,
        "rows read": len(rows),
        "rows dropped": {reason: count for reason, count in dropped.items() if count},
        "responses kept": len(answers),
        "prompts": len(prompts),
        "listeners": len(answers),
        "listener ids": "the file names nobody: every contribution counts as its own listener",
        "share of responses with consistency under 0.3": round(
            float(np.mean([c.consistency < 0.3 for _, c in pairs])), 4
        ),
        "share of responses clipped": round(placed.share_clipped, 4),
        "share of variance explained by the plane": round(placed.variance_explained, 4),
    }
    return ImportResult(assemble(card, prompts, round_robin(list(ids.values()), FOLDS), answers), report)


def _common_words(
    rows: list[Contribution], parameters: SocialEqOptions, dropped: Counter[str], file: str
) -> dict[str, list[Contribution]]:
    language = parameters.language.strip().casefold()
    spoken = [row for row in rows if row.language.casefold() == language]
    if not spoken:
        known = ", ".join(sorted({row.language for row in rows}))
        raise UsageError(f"{file}: no row is in {parameters.language!r}; --language is one of: {known}")
    dropped[f"not in {parameters.language}"] = len(rows) - len(spoken)
    steady = [row for row in spoken if row.consistency >= parameters.min_consistency]
    dropped[f"consistency under {parameters.min_consistency:g}"] = len(spoken) - len(steady)
    by_word: dict[str, list[Contribution]] = defaultdict(list)
    for row in steady:
        if word := normalise(row.word):
            by_word[word].append(row)
        else:
            dropped["empty word"] += 1
    least = parameters.min_responses
    common = {word: group for word, group in by_word.items() if len(group) >= least}
    rare = sum(len(group) for group in by_word.values()) - sum(len(group) for group in common.values())
    dropped[f"word of fewer than {least} contributions"] = rare
    if len(common) < 2:
        raise UsageError(
            f"{file}: {len(common)} word(s) have {least} contributions, too few to fold; lower "
            f"--min-responses (now {least}) or --min-consistency (now {parameters.min_consistency:g})"
        )
    return common


def _curve(contribution: Contribution) -> Floats:
    """The curve at ``GRID_HZ``: linear in log-frequency between bands, flat beyond the outer ones."""
    curve: Floats = np.interp(log_frequency(GRID_HZ), log_frequency(contribution.band_hz), contribution.gains)
    return curve
