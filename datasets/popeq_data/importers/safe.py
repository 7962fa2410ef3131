"""Import SAFE-DB equaliser settings: rows to listeners, curves to the plane, words to prompts.

R. Stables, S. Enderby, B. De Man, G. Fazekas, J. D. Reiss, "SAFE: A system for the extraction and retrieval
of semantic audio descriptors", ISMIR 2014.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from popeq.dataset_card import DatasetCard, SpaceCard
from popeq.eq import curves_named
from popeq.errors import UsageError
from popeq.importing import ImportResult
from popeq_data.importers.assemble import (
    LICENCE,
    Pseudonyms,
    Question,
    ask_words,
    assemble,
    other_curves,
    result,
)
from popeq_data.importers.options import SafeOptions
from popeq_data.importers.people import Divided, unseen_people
from popeq_data.importers.plane import place
from popeq_data.importers.safe_listeners import TRACKS, Setting, clean, last_of_each, recover
from popeq_data.importers.safe_rows import curves, read_rows
from popeq_data.importers.source import Source

PUBLISHED_SHA256 = "cc43858680115070ffdfa41a1158fca1344db2e0096ba73fe68990e90a284af1"
CITATION = (
    "Stables, Enderby, De Man, Fazekas, Reiss: SAFE: A system for the extraction and retrieval of semantic "
    "audio descriptors. ISMIR 2014"
)
HOME_FOLDS = 5

#: Questions, and each setting with the prompt that it answers.
Asked = tuple[list[Question], list[tuple[str, Setting]]]


def import_safe(csv_path: Path, parameters: SafeOptions) -> ImportResult:
    """Read the published CSV and make the data set of one part of it.

    Raises InvalidInputError with every problem of the file, UsageError for too few prompts to fold.
    """
    source = Source(csv_path, "a SAFE-DB equaliser file", PUBLISHED_SHA256)
    curves_named(parameters.curves)
    settings = recover(read_rows(source))
    cleaned, dropped = clean(settings)
    questions, pairs = _ask(cleaned, parameters, dropped)
    if len({question.fold for question in questions}) < 2:
        raise UsageError(
            f"{source.file}: part {parameters.part!r} has {len(questions)} prompt(s) left of {len(settings)} "
            f"rows, too few to fold; {_advice(parameters)}"
        )
    space = SpaceCard(curves=parameters.curves)
    placed = place(curves([setting.row for _, setting in pairs]), parameters.scale, space.space)
    names = Pseudonyms(parameters.salt)
    card = DatasetCard(
        name=f"safe-{parameters.part}{'-unseen' if parameters.unseen_people else ''}",
        version=f"1-scale-{parameters.scale:g}{other_curves(space, '-')}",
        title=f"SAFE-DB equaliser settings, part {parameters.part}, at scale {parameters.scale:g}"
        + other_curves(space, ", curves ")
        + (", of people who are not in training" if parameters.unseen_people else ""),
        licence=LICENCE,
        citation=CITATION,
        simulated=False,
        space=space,
    )
    answers = [(prompt_id, names[setting.listener]) for prompt_id, setting in pairs]
    groups = {names[s.listener]: _group(s, parameters) for _, s in pairs}
    divided = Divided(assemble(card, questions, answers, placed.clipped.tolist(), groups), "not asked for")
    if parameters.unseen_people:
        least = 1 if parameters.part == "lab" else parameters.min_responses
        divided = unseen_people(divided.dataset, least)
        dropped[f"fewer than {least} listeners of its panel for the prompt"] = divided.dropped
    chosen = {
        "part": parameters.part,
        "scale": parameters.scale,
        **({} if parameters.part == "lab" else {"least listeners a word": parameters.min_responses}),
        "salt of the listeners' hashes": names.kind,
        "unseen people": divided.how,
        "rows read": len(settings),
        "rows read by part": dict(sorted(Counter(s.part for s in settings).items())),
    }
    found = {"listeners by part": dict(sorted(Counter(divided.dataset.listeners["group"]).items()))}
    return result(source, divided.dataset, placed, chosen, dropped, found)


def _group(setting: Setting, parameters: SafeOptions) -> str:
    if parameters.part != "words":
        return setting.part
    return "home" if setting.part == "home" else "lab"


def _advice(parameters: SafeOptions) -> str:
    if parameters.part == "lab":
        return "the laboratory rows have ids 431-830, 845-1118 and 1124-1203: give the whole published file"
    return f"lower --min-responses (now {parameters.min_responses}) or give the whole published file"


def _ask(cleaned: Sequence[Setting], parameters: SafeOptions, dropped: Counter[str]) -> Asked:
    """Questions of the part and the settings that answer them; ``dropped`` counts what is left out."""
    lab = [s for s in cleaned if s.part in ("A", "B")]
    part_c = [s for s in cleaned if s.part == "C"]
    home = [s for s in cleaned if s.part == "home"]
    if parameters.part == "lab":
        dropped["part C: track not recorded, so in no laboratory prompt"] = len(part_c)
        dropped["made at home: not in the part 'lab'"] = len(home)
        return _ask_tracks(lab)
    questions, pairs = _ask_tracks(lab if parameters.part == "all" else [])
    folds, settings = HOME_FOLDS, home
    if parameters.part == "words":
        one_each = last_of_each([*lab, *part_c], lambda s: (s.listener, s.row.word))
        more = len(lab) + len(part_c) - len(one_each)
        dropped["laboratory: another track for the same word, the last is kept"] = more
        settings = [*home, *one_each]
    elif parameters.part == "home":
        dropped["made in the laboratory: not in the part 'home'"] = len(lab) + len(part_c)
    else:
        one_each = last_of_each(part_c, lambda s: (s.listener, s.row.word))
        dropped["part C: another track for the same word, the last is kept"] = len(part_c) - len(one_each)
        folds, settings = len(TRACKS) if questions else HOME_FOLDS, [*home, *one_each]
    least = parameters.min_responses
    words, answers = ask_words(((s.row.word, s) for s in settings), least, folds)
    dropped[f"word of fewer than {least} listeners"] = len(settings) - len(answers)
    return questions + words, pairs + answers


def _ask_tracks(settings: Sequence[Setting]) -> Asked:
    """A question for each word and track, folded by track: no track is in training and test at once."""
    questions: dict[str, Question] = {}
    pairs = []
    for setting in settings:
        word, track = setting.row.word, setting.track or ""
        prompt_id = f"lab-{word}-{track}"
        text = f"make this {track.rstrip('12345')} track sound {word}"
        questions[prompt_id] = Question(prompt_id, text, "word and track", TRACKS.index(track), track)
        pairs.append((prompt_id, setting))
    return list(questions.values()), pairs
