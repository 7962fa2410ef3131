"""A data set in memory: prompts, listeners' responses, and what is fitted on what."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popeq.content_hash import file_sha256
from popeq.contract import Audio, LabelledPrompt, Prompt
from popeq.dataset_card import LISTENER_COLUMNS, PROMPT_COLUMNS, RESPONSE_COLUMNS, SPLITS, DatasetCard
from popeq.errors import SealedError
from popeq.space import CURVES, STEP_DB, Space


@dataclass(frozen=True)
class Stage:
    """One fit and what is predicted with it: the whole split, or one fold."""

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]


def no_listeners() -> pd.DataFrame:
    """The table of listeners of a data set that does not list them: ``LISTENER_COLUMNS`` and no rows."""
    return pd.DataFrame(columns=list(LISTENER_COLUMNS), dtype=object)


@dataclass(frozen=True, eq=False)
class Dataset:
    """Prompts and responses that have been checked; ``popeq.load_dataset`` reads one.

    ``prompts`` has one row a prompt and the columns ``PROMPT_COLUMNS`` (absent optional ones are None) and
    ``card.groupings``, ``responses`` the columns ``RESPONSE_COLUMNS``, ``listeners`` the columns
    ``LISTENER_COLUMNS`` or no rows.
    ``audio`` has descriptors and files of the tracks, by ``audio_id``; most data sets have none. ``part_of``
    are revisions of larger data sets that contain this one. ``view`` says which view of the data set in
    ``folder`` this is (``popeq.views``); most are none. If ``group`` is set, only the answers of that group
    of listeners are tested, and all are trained on. ``own_stages`` are the stages of a view that the columns
    of its prompts do not say.

    If ``card.sealed_answers`` is set, the responses to the test prompts may be absent; whatever needs them
    raises SealedError then. Everything else, ``revision`` included, is the same with and without them.
    """

    card: DatasetCard
    prompts: pd.DataFrame
    responses: pd.DataFrame
    listeners: pd.DataFrame = field(default_factory=no_listeners)
    folder: Path | None = None
    audio: Mapping[str, Audio] = field(default_factory=dict)
    part_of: frozenset[str] = frozenset()
    view: str = ""
    group: str = ""
    own_stages: tuple[Stage, ...] = ()

    @property
    def name(self) -> str:
        return self.card.name

    @cached_property
    def space(self) -> Space:
        """The box of settings."""
        return self.card.space.space

    @property
    def by_folds(self) -> bool:
        """Whether prompts carry folds (each tested once) rather than a split."""
        return bool(self.prompts["fold"].notna().any())

    @property
    def by_panels(self) -> bool:
        """Whether the prompts of a fold are divided into panels that have no listener in common."""
        return "panel" in self.prompts and bool(self.prompts["panel"].notna().any())

    @cached_property
    def groupings(self) -> tuple[str, ...]:
        """What tables can be split by: of ``category``, ``basis`` and ``card.groupings`` the columns in which
        every tested prompt has a group."""
        tested = self.prompts[self.prompts["prompt_id"].isin(self.test_ids)]
        return tuple(n for n in ("category", "basis", *self.card.groupings) if tested[n].notna().all())

    @cached_property
    def listener_groups(self) -> tuple[str, ...]:
        """The groups that ``listeners`` names, sorted; none if the data set does not list its listeners."""
        return tuple(sorted(set(self.listeners["group"])))

    @cached_property
    def group_of(self) -> Mapping[str, str]:
        """The group of each listener that is listed."""
        return dict(zip(self.listeners["listener_id"], self.listeners["group"], strict=True))

    @cached_property
    def answered(self) -> frozenset[str]:
        """The prompts whose responses are here: all, or all but the test prompts."""
        return frozenset(self.responses["prompt_id"])

    @property
    def sealed(self) -> bool:
        """Whether the responses to the test prompts are kept elsewhere and have not been given."""
        return self.card.sealed_answers is not None and not self.answered.issuperset(self.test_ids)

    @property
    def sealed_note(self) -> str | None:
        """One sentence if the data set is ``sealed``."""
        if not self.sealed:
            return None
        return (
            f"The test answers of {self.card.label} are sealed: predictions are kept, scores need --answers."
        )

    @cached_property
    def revision(self) -> str:
        """SHA-256 (hex) over the content that scores depend on, whatever the order of rows or columns.

        Sealed answers enter by the SHA-256 of their file, also when they are here.
        """

        def rows(frame: pd.DataFrame, columns: Sequence[str]) -> list[list[Any]]:
            cells = frame[list(columns)].astype(object).where(frame[list(columns)].notna(), None)
            return sorted((list(r) for r in cells.itertuples(index=False)), key=lambda r: [str(c) for c in r])

        responses = self.responses
        if self.card.sealed_answers is not None:
            responses = responses[~responses["prompt_id"].isin(self.test_ids)]
        space = self.card.space
        control = {"step_db": space.step_db, "curves": space.curves}
        usual = {"step_db": STEP_DB, "curves": CURVES}
        content: dict[str, Any] = {
            "space": [
                list(space.x_db),
                list(space.y_db),
                space.unit,
                *([control] if control != usual else []),
            ],
            "prompts": rows(self.prompts, PROMPT_COLUMNS if self.by_panels else PROMPT_COLUMNS[:-1]),
            "responses": [
                [p, u, float(x).hex(), float(y).hex()] for p, u, x, y in rows(responses, RESPONSE_COLUMNS)
            ],
            "listeners": rows(self.listeners, LISTENER_COLUMNS),
        }
        if self.card.groupings:
            named = sorted(self.card.groupings)
            content["groupings"] = {name: rows(self.prompts, ("prompt_id", name)) for name in named}
        if self.card.sealed_answers is not None:
            content["sealed_answers"] = self.card.sealed_answers
        if self.group:
            content["group"] = self.group
        if self.own_stages:
            content["stages"] = [[s.name, s.train, s.validation, s.test] for s in self.own_stages]
        if self.audio:
            content["audio"] = {
                audio_id: [
                    [[name, float(value).hex()] for name, value in sorted(track.features.items())],
                    None if track.file is None else file_sha256(track.file),
                ]
                for audio_id, track in sorted(self.audio.items())
            }
        canonical = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """What is fitted on what, prompts in the order of their ids: results depend on the revision alone.

        With folds, each fold is tested by a fit on all the others. With panels, each panel of a fold is
        tested by a fit on the other panels of the other folds: neither its prompts nor its people were seen.
        """
        if self.own_stages:
            return self.own_stages
        if self.by_folds:
            frame = self.prompts.set_index("prompt_id").sort_index()
            fold = frame["fold"].astype(int)
            panel = frame["panel"] if self.by_panels else fold.map(lambda _: "")
            stages = []
            for f, p in sorted(set(zip(fold, panel, strict=True))):
                train = (fold != f) & (panel != p) if self.by_panels else fold != f
                name = f"fold-{f}-{p}" if self.by_panels else f"fold-{f}"
                tested = frame.index[(fold == f) & (panel == p)]
                stages.append(Stage(name, tuple(frame.index[train]), (), tuple(tested)))
            return tuple(stages)
        split, ids = self.prompts["split"], self.prompts["prompt_id"]
        return (Stage("split", *(tuple(sorted(ids[split == name])) for name in SPLITS)),)

    @cached_property
    def test_ids(self) -> tuple[str, ...]:
        """Every prompt that a run predicts, in the order of their ids."""
        return tuple(sorted(p for stage in self.stages for p in stage.test))

    @cached_property
    def _labelled(self) -> dict[str, LabelledPrompt]:
        ordered = self.responses.sort_values(["prompt_id", "listener_id"])
        groups = {str(key): group for key, group in ordered.groupby("prompt_id", sort=False)}
        labelled = {}
        for row in self.prompts.to_dict(orient="records"):
            prompt = Prompt(
                prompt_id=row["prompt_id"],
                text=row["text"],
                category=row["category"],
                split=row["split"] or "fold",
                audio_id=row["audio_id"] or None,
                audio=self.audio.get(row["audio_id"] or ""),
            )
            group = groups.get(prompt.prompt_id, ordered.iloc[:0])
            points = group[["x_db", "y_db"]].to_numpy(dtype=np.float64)
            points.setflags(write=False)
            who = tuple(group["listener_id"])
            own = tuple(self.group_of.get(name, "") for name in who) if self.listener_groups else None
            labelled[prompt.prompt_id] = LabelledPrompt(prompt, points, who, own)
        return labelled

    def labelled(self, prompt_ids: Sequence[str]) -> list[LabelledPrompt]:
        """Prompts with their listeners' points; SealedError if those of one are not here."""
        return [self._with_answers(p) for p in prompt_ids]

    def tested(self, prompt_ids: Sequence[str]) -> list[LabelledPrompt]:
        """Prompts with the points that predictions are scored against: those of ``group`` if it is set, else
        all; SealedError if those of one are not here."""
        found = self.labelled(prompt_ids)
        return [_of_group(p, self.group) for p in found] if self.group else found

    def unlabelled(self, prompt_ids: Sequence[str]) -> list[Prompt]:
        """Prompts without responses, as a predictor gets them."""
        found = [self._labelled[p].prompt for p in prompt_ids]
        return [replace(p, group=self.group) for p in found] if self.group else found

    def points(self, prompt_id: str) -> NDArray[np.float64]:
        """One prompt's responses (m, 2), dB; read-only. SealedError if they are not here."""
        return self._with_answers(prompt_id).responses

    def pooled(self, prompt_ids: Sequence[str]) -> NDArray[np.float64]:
        """All responses of several prompts, (sum of m, 2), dB."""
        return np.concatenate([self.points(p) for p in prompt_ids])

    def _with_answers(self, prompt_id: str) -> LabelledPrompt:
        labelled = self._labelled[prompt_id]
        if not len(labelled.responses):
            where = self.folder or "FOLDER"
            raise SealedError(
                f"{self.name}: the answers to its test prompts are sealed, so they cannot be scored or shown "
                f"here; with the file of answers, give --dataset {where} --answers FILE "
                "(popeq.load_dataset(folder, answers=FILE) in Python)"
            )
        return labelled


def _of_group(labelled: LabelledPrompt, group: str) -> LabelledPrompt:
    """A labelled prompt with the answers of one group of listeners."""
    keep = [i for i, own in enumerate(labelled.groups or ()) if own == group]
    points = labelled.responses[keep]
    points.setflags(write=False)
    who = tuple(labelled.listeners[i] for i in keep)
    return LabelledPrompt(labelled.prompt, points, who, (group,) * len(keep))
