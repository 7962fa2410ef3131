"""A data set with a few answers of another population among its training answers, tested on others of these.

``SOURCE@adapt-K-D-others-TARGET`` is SOURCE's training answers and K answers to each prompt of TARGET by its
adapting listeners; D numbers the divisions of these from the tested listeners. With ``others`` they answer
other sentences than the tested ones, with ``all`` the tested ones too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import pandas as pd

from popeq.dataset import Dataset, Stage
from popeq.dataset_card import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS
from popeq.dividing import PANELS, divide_again
from popeq.errors import UsageError
from popeq.plain_text import same_sentence
from popeq.seeding import generator
from popeq.views import LEAST_OF_GROUP

#: The groups of the listeners of such a data set.
SOURCE, TARGET = "source", "target"
#: Before the ids of what is trained on; tested prompts and listeners keep theirs.
_FROM, _ADAPT = "from.", "adapt."
_MARK = "@adapt-"
_FORM = re.compile(r"(\d{1,4})-(\d{1,3})-(others|all)-(.+)", re.DOTALL)


@dataclass(frozen=True)
class Adaptation:
    """How many ``answers`` a prompt come from adapting listeners, in which ``division``, and to which
    sentences: ``others`` than the tested ones, or ``all``."""

    answers: int
    division: int = 0
    on: Literal["others", "all"] = "others"

    def view(self, target: str) -> str:
        """What follows the ``@`` in the name of the data set."""
        return f"adapt-{self.answers}-{self.division}-{self.on}-{target}"


class Named(NamedTuple):
    """What the name of an adapted data set is made of."""

    source: str
    how: Adaptation
    target: str


def split_adapted(name: str) -> Named | None:
    """The parts of the name of an adapted data set; None if it is no such name."""
    source, mark, rest = name.partition(_MARK)
    found = _FORM.fullmatch(rest) if mark and source else None
    if found is None:
        return None
    on: Literal["others", "all"] = "all" if found[3] == "all" else "others"
    return Named(source, Adaptation(int(found[1]), int(found[2]), on), found[4])


@dataclass(frozen=True, eq=False)
class Sides:
    """The answers of a target's listeners, divided: who may adapt and who is tested. They are ``divided``
    unless nobody who is tested answers a training prompt; then everybody may do what he or she did."""

    adapting: pd.DataFrame
    tested: pd.DataFrame
    divided: bool

    @property
    def most(self) -> int:
        """The most answers of adapting listeners that a prompt has."""
        return int(self.adapting.groupby("prompt_id").size().max()) if len(self.adapting) else 0

    def chosen(self, answers: int, division: int) -> pd.DataFrame:
        """So many answers a prompt, or all if there are fewer: those of the listeners who come first in an
        order drawn for the division, so that fewer answers are among more."""
        people = sorted(set(self.adapting["listener_id"]))
        order = generator("adapt", division).permutation(len(people))
        place = dict(zip(people, order.tolist(), strict=True))
        frame = self.adapting.assign(place=self.adapting["listener_id"].map(place))
        frame = frame.sort_values(["prompt_id", "place"])
        return frame.groupby("prompt_id").head(answers).drop(columns="place")


def sides(target: Dataset, how: Adaptation) -> Sides:
    """Who of a target's listeners may adapt and who is tested: no answer is used for both, and where people
    answer prompts of both kinds nobody does both."""
    train = {p for s in target.stages for p in (*s.train, *s.validation)}
    test = set(target.test_ids)
    of_train = target.responses["prompt_id"].isin(train if how.on == "others" else train | test)
    of_test = target.responses["prompt_id"].isin(test)
    divided = how.on == "all" or _answer_both(target)
    if divided:
        panel = target.responses["listener_id"].map(divide_again(target, how.division))
        of_train, of_test = of_train & (panel == PANELS[0]), of_test & (panel == PANELS[1])
    return Sides(target.responses[of_train], target.responses[of_test], divided)


def _answer_both(dataset: Dataset) -> bool:
    """Whether somebody answers a training or validation prompt and a tested one of the same stage."""
    people = dataset.responses.groupby("prompt_id")["listener_id"].apply(set).to_dict()
    for stage in dataset.stages:
        trained = {who for p in (*stage.train, *stage.validation) for who in people.get(p, ())}
        if any(who in trained for p in stage.test for who in people.get(p, ())):
            return True
    return False


def adapted(source: Dataset, target: Dataset, how: Adaptation, given: str) -> Dataset:
    """The data set of one adaptation; ``given`` is the name or folder by which the target is found again.

    Each stage of the target is tested by a fit on the source's training answers and the adapting ones,
    without any source answer to a sentence (and track) that it tests, whatever its case and white space. The
    source's validation prompts stay what is looked at to choose; listeners are in the groups ``SOURCE`` and
    ``TARGET``, and ``TARGET`` is what is asked about.

    Raises
    ------
    UsageError
        If the planes differ, test answers are sealed, the source holds answers of the target, one of the two
        is a view that is tested on a group or is adapted already, or there are too few listeners.
    """
    name = f"{source.name}@{how.view(target.name)}"
    _check(source, target, name)
    own = sides(target, how)
    if how.answers > own.most:
        raise UsageError(
            f"{name}: no prompt has more than {own.most} answers of adapting listeners; give 0 to {own.most}"
        )
    chosen = own.chosen(how.answers, how.division)
    counts = own.tested.groupby("prompt_id").size()
    tested = set(counts.index[counts >= LEAST_OF_GROUP])
    training = {p for s in source.stages for p in s.train}
    validation = {p for s in source.stages for p in s.validation}
    stages = tuple(_stages(source, target, how, set(chosen["prompt_id"]), tested))
    if not stages:
        raise UsageError(
            f"{name}: no tested prompt has {LEAST_OF_GROUP} answers of tested listeners; give fewer "
            "--divisions, or a data set with more answers a prompt"
        )
    if how.answers and not any(p.startswith(_ADAPT) for s in stages for p in s.train):
        raise UsageError(
            f"{name}: every answer of adapting listeners is to a sentence that is tested; give --on all"
        )
    columns = [*PROMPT_COLUMNS, *target.card.groupings]
    prompts = [
        _prompts(source, training, "train", _FROM, columns),
        _prompts(source, validation - training, "validation", _FROM, columns),
        _prompts(target, chosen["prompt_id"], "train", _ADAPT, columns),
        _prompts(target, tested, "test", "", columns),
    ]
    given_answers = source.responses[source.responses["prompt_id"].isin(training | validation)]
    responses = [
        given_answers.assign(
            prompt_id=_FROM + given_answers["prompt_id"], listener_id=_FROM + given_answers["listener_id"]
        ),
        chosen.assign(prompt_id=_ADAPT + chosen["prompt_id"]),
        own.tested[own.tested["prompt_id"].isin(tested)],
    ]
    answers = pd.concat(responses, ignore_index=True)
    people = sorted(set(answers["listener_id"]))
    theirs = set(responses[1]["listener_id"]) | set(responses[2]["listener_id"])
    groups = [(who, TARGET if who in theirs else SOURCE) for who in people]
    card = target.card.model_copy(
        update={
            "name": name,
            "version": f"{source.card.version}, {target.card.version}",
            "simulated": source.card.simulated or target.card.simulated,
            "second_panel": None,
            "sealed_answers": None,
        }
    )
    return Dataset(
        card,
        pd.concat(prompts, ignore_index=True).astype(object).where(lambda f: f.notna(), None),
        answers,
        pd.DataFrame(groups, columns=list(LISTENER_COLUMNS), dtype=object),
        source.folder,
        {**source.audio, **target.audio},
        view="@".join(v for v in (source.view, how.view(given)) if v),
        group=TARGET,
        own_stages=stages,
    )


def _check(source: Dataset, target: Dataset, name: str) -> None:
    if source.space != target.space:
        raise UsageError(
            f"{name}: {target.name} has another plane than {source.name}; name two "
            "data sets with the same [space]"
        )
    for dataset in (source, target):
        if dataset.group:
            raise UsageError(
                f"{name}: {dataset.name} is trained on other listeners than it is tested on; a population is "
                "a whole data set, or NAME@only-G for one group"
            )
    if target.sealed:
        raise UsageError(
            f"{name}: the test answers of {target.name} are sealed; name a data set whose answers are open"
        )
    if len(source.responses.merge(target.responses, on=list(RESPONSE_COLUMNS))):
        raise UsageError(
            f"{name}: {source.name} holds answers of {target.name}, so that tested people would be "
            "trained on; name DATA@only-F and DATA@only-G for two groups of a data set, or another data set"
        )
    for track in source.audio.keys() & target.audio.keys():
        if source.audio[track] != target.audio[track]:
            raise UsageError(f"{name}: the two data sets have different tracks of the name {track!r}")


def _stages(
    source: Dataset, target: Dataset, how: Adaptation, chosen: set[str], tested: set[str]
) -> Iterable[Stage]:
    asks, theirs = _asked(source), _asked(target)
    training = sorted({p for s in source.stages for p in s.train})
    validation = sorted({p for s in source.stages for p in s.validation} - set(training))
    for stage in target.stages:
        test = tuple(p for p in stage.test if p in tested)
        if not test:
            continue
        asked = {theirs[p] for p in test}
        mine = {*stage.train, *stage.validation} if how.on == "others" else set(theirs)
        yield Stage(
            stage.name,
            (
                *(_ADAPT + p for p in sorted(mine & chosen) if how.on == "all" or theirs[p] not in asked),
                *(_FROM + p for p in training if asks[p] not in asked),
            ),
            tuple(_FROM + p for p in validation if asks[p] not in asked),
            test,
        )


def _asked(dataset: Dataset) -> Mapping[str, tuple[str, str]]:
    """What each prompt asks: its sentence, and the track that it is about, if there is one."""
    columns = (dataset.prompts[name] for name in ("prompt_id", "text", "audio_id"))
    return {p: (same_sentence(text), track or "") for p, text, track in zip(*columns, strict=True)}


def _prompts(
    dataset: Dataset, prompt_ids: Iterable[str], split: str, before: str, columns: list[str]
) -> pd.DataFrame:
    """Rows of prompts for one part, whatever split, fold and panel they had."""
    own = dataset.prompts[dataset.prompts["prompt_id"].isin(set(prompt_ids))]
    own = own.assign(prompt_id=before + own["prompt_id"], split=split, fold=None, panel=None)
    own = own.sort_values("prompt_id").reindex(columns=columns)
    return own.astype(object)


def with_answers(dataset: Dataset) -> float:
    """How many answers of the target's listeners an adapted data set is fitted on, as a mean over stages."""
    counts = [
        sum(len(p.responses) for p in dataset.labelled([i for i in s.train if i.startswith(_ADAPT)]))
        for s in dataset.stages
    ]
    return sum(counts) / len(counts)
