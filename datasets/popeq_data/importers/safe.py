"""Import SAFE-DB equaliser settings: rows to listeners, curves to the plane, words to prompts.

R. Stables, S. Enderby, B. De Man, G. Fazekas, J. D. Reiss, "SAFE: A system for the extraction and retrieval
of semantic audio descriptors", ISMIR 2014.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

from popeq.contract import Prompt
from popeq.dataset import DatasetCard
from popeq.errors import UsageError
from popeq.importing import ImportResult
from popeq_data.importers.assemble import Answer, Pseudonyms, assemble, round_robin
from popeq_data.importers.options import SafeOptions
from popeq_data.importers.people import Dealt, unseen_people
from popeq_data.importers.plane import place
from popeq_data.importers.safe_cleaning import clean, last_of_each_word
from popeq_data.importers.safe_listeners import TRACKS, Setting, recover
from popeq_data.importers.safe_rows import curves, read_rows
from popeq_data.importers.source import read_source
from popeq_data.importers.words import prompt_ids, sentence

PUBLISHED_SHA256 = "cc43858680115070ffdfa41a1158fca1344db2e0096ba73fe68990e90a284af1"
LICENCE = "no licence that allows redistribution was found; keep this data set to yourself"
CITATION = (
    "Stables, Enderby, De Man, Fazekas, Reiss: SAFE: A system for the extraction and retrieval of semantic "
    "audio descriptors. ISMIR 2014"
)
HOME_FOLDS = 5

Asked = tuple[list[Prompt], dict[str, int], list[tuple[str, Setting]]]


def import_safe(csv_path: Path, parameters: SafeOptions) -> ImportResult:
    """Read the published CSV and make the data set of one part of it.

    Raises
    ------
    InvalidInputError
        With every problem of the file.
    UsageError
        If the part has too few prompts to fold.
    """
    source = read_source(csv_path, "a SAFE-DB equaliser file", PUBLISHED_SHA256)
    rows = read_rows(source)
    settings = recover(rows)
    cleaned, dropped = clean(settings)
    prompts, folds, pairs = _ask(cleaned, parameters, dropped)
    if len(set(folds.values())) < 2:
        raise UsageError(
            f"{source.name}: part {parameters.part!r} has {len(prompts)} prompt(s) left of {len(rows)} rows, "
            f"too few to fold; {_advice(parameters)}"
        )
    placed = place(curves([setting.row for _, setting in pairs]), parameters.scale)
    names = Pseudonyms(parameters.salt)
    answers = [
        Answer(prompt_id, names[setting.listener], point)
        for (prompt_id, setting), point in zip(pairs, placed.clipped, strict=True)
    ]
    groups = {names[setting.listener]: setting.part for _, setting in pairs}
    unseen = "-unseen" if parameters.unseen_people else ""
    card = DatasetCard(
        name=f"safe-{parameters.part}{unseen}",
        version=f"1-scale-{parameters.scale:g}",
        title=f"SAFE-DB equaliser settings, part {parameters.part}, at scale {parameters.scale:g}"
        + (", of people who are not in training" if unseen else ""),
        licence=LICENCE,
        citation=CITATION,
        simulated=False,
        second_panel=None,
    )
    dealt = Dealt(assemble(card, prompts, folds, answers, groups), "not asked for")
    if parameters.unseen_people:
        least = 1 if parameters.part == "lab" else parameters.min_responses
        dealt = unseen_people(dealt.dataset, least)
        dropped[f"fewer than {least} listeners of its panel for the prompt"] = dealt.dropped
    made = dealt.dataset
    report = {
        **source.report(),
        "licence": LICENCE,
        "part": parameters.part,
        "scale": parameters.scale,
        **({} if parameters.part == "lab" else {"least listeners a word": parameters.min_responses}),
        "salt of the listeners' hashes": names.kind,
        "unseen people": dealt.how,
        "rows read": len(rows),
        "rows read by part": dict(sorted(Counter(s.part for s in settings).items())),
        "rows dropped": {reason: count for reason, count in dropped.items() if count},
        "responses kept": len(made.responses),
        "prompts": len(made.prompts),
        "listeners": len(made.listeners),
        "listeners by part": dict(sorted(Counter(made.listeners["group"]).items())),
        "share of responses clipped": round(placed.share_clipped, 4),
        "share of variance explained by the plane": round(placed.variance_explained, 4),
    }
    return ImportResult(made, report)


def _advice(parameters: SafeOptions) -> str:
    if parameters.part == "lab":
        return "the laboratory rows have ids 431-830, 845-1118 and 1124-1203: give the whole published file"
    return f"lower --min-responses (now {parameters.min_responses}) or give the whole published file"


def _ask(cleaned: Sequence[Setting], parameters: SafeOptions, dropped: Counter[str]) -> Asked:
    """Prompts of the part, their folds, and who answers which; what is left out is counted in ``dropped``."""
    lab = [s for s in cleaned if s.part in ("A", "B")]
    part_c = [s for s in cleaned if s.part == "C"]
    home = [s for s in cleaned if s.part == "home"]
    if parameters.part == "lab":
        dropped["part C: track not recorded, so in no laboratory prompt"] = len(part_c)
        dropped["made at home: not in the part 'lab'"] = len(home)
        return _lab(lab)
    if parameters.part == "home":
        dropped["made in the laboratory: not in the part 'home'"] = len(lab) + len(part_c)
        return _words(home, parameters.min_responses, HOME_FOLDS, dropped)
    one_each = last_of_each_word(part_c)
    dropped["part C: another track for the same word, the last is kept"] = len(part_c) - len(one_each)
    lab_prompts, lab_folds, lab_pairs = _lab(lab)
    words, word_folds, word_pairs = _words(
        [*home, *one_each], parameters.min_responses, len(TRACKS) if lab_prompts else HOME_FOLDS, dropped
    )
    return lab_prompts + words, lab_folds | word_folds, lab_pairs + word_pairs


def _lab(settings: Sequence[Setting]) -> Asked:
    """A prompt for each word and track, folded by track: no track is in training and test at once."""
    prompts: dict[str, Prompt] = {}
    folds: dict[str, int] = {}
    pairs = []
    for setting in settings:
        word, track = setting.row.word, setting.track or ""
        prompt_id = f"lab-{word}-{track}"
        text = f"make this {track.rstrip('12345')} track sound {word}"
        prompts[prompt_id] = Prompt(prompt_id, text, "word and track", "fold", track)
        folds[prompt_id] = TRACKS.index(track)
        pairs.append((prompt_id, setting))
    return list(prompts.values()), folds, pairs


def _words(settings: Sequence[Setting], least: int, folds: int, dropped: Counter[str]) -> Asked:
    """A prompt for each word that enough listeners used, dealt out over the folds."""
    by_word: dict[str, list[Setting]] = defaultdict(list)
    for setting in settings:
        by_word[setting.row.word].append(setting)
    common = {word: group for word, group in by_word.items() if len(group) >= least}
    dropped[f"word of fewer than {least} listeners"] = len(settings) - sum(map(len, common.values()))
    ids = prompt_ids(common, "word-")
    prompts = [Prompt(ids[word], sentence(word), "word", "fold") for word in common]
    pairs = [(ids[word], setting) for word, group in common.items() for setting in group]
    return prompts, round_robin(list(ids.values()), folds), pairs
