"""Paraphrases of training sentences by a language model: asked for, read strictly, kept in a file.

A line of an answer is taken as it is or refused, never corrected.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Container, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from popeq.atomic import write_text
from popeq.caches import ContentCache, canonical
from popeq.errors import PromptsError, RunError
from popeq.others_files import UnreadableFileError, read_model
from popeq.seeding import generator
from popeq_llm.answers import FreeText
from popeq_llm.models import LanguageModel
from popeq_llm.opening import open_model
from popeq_llm.parameters import ModelParameters
from popeq_llm.templates import Template, load_template
from popeq_peft.parameters import TrainingParameters

#: Characters of the longest line that is taken.
LONGEST = 200
_WORD = re.compile(r"[^\W\d_]+")
_MARK = re.compile(r"[-*+\u2022\u2013\u2014#>|`\"\u201c\u201d\u00ab]|\(?\d+[.):]")
_BRACKETS = re.compile(r"[\[\]{}<>]")
_LETTERS = 0.75

#: The words of a sentence: two sentences of the same words are the same.
Words = tuple[str, ...]


def words(text: str) -> Words:
    """A sentence's words without capitals and punctuation."""
    return tuple(_WORD.findall(text.casefold()))


def refusal(line: str, sentence: str, taken: Container[Words]) -> str:
    """Why a line is no paraphrase of a sentence; empty if it is one.

    Parameters
    ----------
    line
        Without white space around it.
    taken
        The words of the data set's sentences, and of the paraphrases that were taken before.
    """
    own = words(line)
    if not own:
        return "no words"
    if len(line) > LONGEST:
        return f"over {LONGEST} characters"
    if not line.isprintable() or "\ufffd" in line:
        return "unprintable"
    if _BRACKETS.search(line):  # a setting, or a piece of a chat template
        return "brackets"
    if sum(c.isalpha() or c.isspace() for c in line) < _LETTERS * len(line):
        return "few letters"
    if _MARK.match(line) or line.endswith(":"):
        return "a list's mark, a quotation mark or a heading"
    if own == words(sentence):
        return "the sentence itself"
    return "there already" if own in taken else ""


FILE = "paraphrases.json"
#: A sentence whose answers lack paraphrases is asked about so many times in all.
_ASKED = 3
_TOKENS_EACH, _TOKENS_MORE = 60, 40


class Paraphrases(BaseModel):
    """What a language model wrote, and what of it was taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str
    revision: str = Field(description="of a local model; empty for a served one")
    answered_by: str = Field(description="who a server said that it is; empty for a local model")
    where: str = Field(description="device, or the server's address")
    template: str = Field(description="its name")
    template_sha256: str
    asked: int = Field(description="paraphrases asked for, over all sentences")
    refused: dict[str, int] = Field(description="lines that are no paraphrases, by reason")
    example: str = Field(description="the last line that was refused")
    texts: dict[str, list[str]] = Field(description="the paraphrases, by sentence")
    fingerprint: str = Field(description="SHA-256 over all that they depend on")

    @property
    def taken(self) -> int:
        """How many there are."""
        return sum(map(len, self.texts.values()))

    def summary(self) -> dict[str, Any]:
        """All but the texts, which are in ``FILE``."""
        held = self.model_dump(mode="json", exclude={"texts", "fingerprint", "example"})
        return {**held, "taken": self.taken, "texts": FILE}

    def counts(self) -> str:
        """Counts, in a line."""
        reasons = ", ".join(f"{count} {reason}" for reason, count in self.refused.items())
        return f"{self.taken} of {self.asked} paraphrases by {self.model}, lines refused: {reasons or 'none'}"


def paraphrased(
    parameters: TrainingParameters,
    train: Sequence[str],
    validation: Sequence[str],
    seed: int,
    folder: Path | None,
) -> Paraphrases:
    """Paraphrases of training sentences, from a run's folder if it has them; written there otherwise.

    The model reads the training sentences alone: neither answers, nor validation sentences (a paraphrase that
    happens to equal one is refused), nor test sentences, which a fit never sees.

    Raises
    ------
    UsageError
        For a model that cannot be used.
    RunError
        If the model cannot be asked, or none of its lines is a paraphrase.
    """
    assert parameters.paraphraser
    assert parameters.paraphrases
    sentences = sorted(set(train))
    mark = _fingerprint(parameters, sentences, validation, seed)
    if folder and (found := _read(folder / FILE)) and found.fingerprint == mark:
        return found
    name = parameters.paraphraser
    model = open_model(
        ModelParameters(
            model=name,
            base_url=parameters.paraphraser_url,
            device=parameters.device,
            dtype=parameters.dtype,
            decode="generate",
        )
    )
    template = load_template("paraphrase", parameters.paraphraser_template)
    taking = _Taking(sentences, validation, parameters.paraphrases)
    try:
        _ask(model, template, taking, seed)
    except PromptsError as error:
        raise RunError(f"paraphraser {name}: {error}") from None
    made = Paraphrases(
        model=name,
        revision=model.info.revision,
        answered_by=model.info.answered_by,
        where=model.info.device,
        template=template.name,
        template_sha256=template.sha256,
        asked=taking.count * len(sentences),
        refused=dict(taking.refused.most_common()),
        example=taking.example,
        texts=taking.texts,
        fingerprint=mark,
    )
    if not made.taken:
        last = f", the last {made.example[:60]!r}" if made.example else ""
        raise RunError(
            f"paraphraser {name}: wrote no sentence that can be used ({made.counts()}{last}); use a model "
            "that follows instructions, or another -o paraphraser_template="
        )
    if folder:
        write_text(folder / FILE, made.model_dump_json(indent=2) + "\n")
    return made


class _Taking:
    """The paraphrases by sentence, ``count`` of each at most, and what was refused."""

    def __init__(self, sentences: Sequence[str], validation: Sequence[str], count: int) -> None:
        self.count = count
        self.texts: dict[str, list[str]] = {sentence: [] for sentence in sentences}
        self.refused: Counter[str] = Counter()
        self.example = ""
        self._taken = {words(text) for text in (*sentences, *validation)}

    def lacking(self) -> list[str]:
        """Sentences that have too few."""
        return [sentence for sentence, own in self.texts.items() if len(own) < self.count]

    def take(self, sentence: str, answer: str) -> bool:
        """Take the paraphrases of an answer, as many as are lacking; whether there was any."""
        own = self.texts[sentence]
        before = len(own)
        lines = [line for line in map(str.strip, answer.splitlines()) if line]
        for line in lines or [""]:
            if len(own) == self.count:
                break
            reason = refusal(line, sentence, self._taken)
            if reason:
                self.refused[reason] += 1
                self.example = line
            else:
                own.append(line)
                self._taken.add(words(line))
        return len(own) > before


def _ask(model: LanguageModel, template: Template, taking: _Taking, seed: int) -> None:
    """Ask about the sentences that lack paraphrases, ``_ASKED`` times at most; answers of use are cached.

    A served model keeps its answers itself, with who gave them.
    """
    form = FreeText(_TOKENS_MORE + _TOKENS_EACH * taking.count)
    info = model.info
    cache = ContentCache("paraphrases") if info.revision else None
    for time in range(_ASKED):
        lacking = taking.lacking()
        chats = [template.chat(sentence, count=taking.count) for sentence in lacking]
        texts = [model.render(chat) for chat in chats]
        # All that an answer depends on.
        more = {"model": [info.name, info.revision, info.device, info.dtype], "tokens": form.tokens}
        questions = [{**more, "text": text, "seed": seed, "time": time} for text in texts]
        kept = [cache.get(question) if cache else None for question in questions]
        answers = [answer if isinstance(answer, str) else "" for answer in kept]
        new = [i for i, answer in enumerate(kept) if not isinstance(answer, str)]
        if new:
            rngs = [generator("paraphrase", canonical([texts[i], seed, time])) for i in new]
            given = model.generate([chats[i] for i in new], 1, form, rngs)
            for i, (answer,) in zip(new, given.answers, strict=True):
                answers[i] = answer
        for sentence, question, text in zip(lacking, questions, answers, strict=True):
            if taking.take(sentence, text) and cache:
                cache.put(question, text, required=True)


def _fingerprint(
    parameters: TrainingParameters, train: Sequence[str], validation: Sequence[str], seed: int
) -> str:
    asked = {n: v for n, v in parameters.model_dump(mode="json").items() if n.startswith("paraphrase")}
    where = [parameters.device, parameters.dtype]
    parts = [asked, where, list(train), sorted(validation), seed]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _read(file: Path) -> Paraphrases | None:
    try:
        return read_model(file, Paraphrases)
    except UnreadableFileError:
        return None
