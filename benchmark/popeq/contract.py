"""What a plugin sees: prompts, labelled prompts, the Predictor protocol and the specs that plugins return.

Nothing here imports more than NumPy and pydantic, so a plugin that only declares itself loads fast.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from popeq.space import Space

#: What sort of method a predictor is; boards can be filtered by it.
Kind = Literal["baseline", "preset", "in-context", "retrieval", "fine-tuned", "other"]


@dataclass(frozen=True)
class Audio:
    """What is known of the track that a prompt was asked about: descriptors by name, and its file if the data
    set carries it."""

    features: Mapping[str, float]
    file: Path | None = None


@dataclass(frozen=True)
class Prompt:
    """A sentence to predict for. It never carries answers.

    ``audio`` is there only for predictors whose spec says ``wants_audio``, and for data sets that carry it.
    ``group`` is the group of listeners whose answers are to be predicted, for predictors whose spec says
    ``wants_groups``; None if all listeners are asked about.
    """

    prompt_id: str
    text: str
    category: str
    split: str = "test"
    audio_id: str | None = None
    audio: Audio | None = field(default=None, compare=False)
    group: str | None = None


@dataclass(frozen=True, eq=False)
class LabelledPrompt:
    """A prompt with its listeners' points: ``responses`` (m, 2) in dB, row i by ``listeners[i]``.

    ``groups[i]`` is the group that the data set puts ``listeners[i]`` in. It is there only for predictors
    whose spec says ``wants_groups``, and for data sets that have groups.
    """

    prompt: Prompt
    responses: NDArray[np.float64]
    listeners: tuple[str, ...]
    groups: tuple[str, ...] | None = None


class Parameters(BaseModel):
    """Base of a predictor's or importer's parameters: typed, frozen, unknown names refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def identity(self) -> Mapping[str, str]:
        """What predictions depend on beside the code and the parameters' values: nothing, unless a predictor
        says otherwise.

        Called when a run is planned, in popeq's own process, so it must be fast and import nothing heavy. A
        key that is a parameter's name with a value ``sha256:HEX`` (``popeq.content_identity`` makes one) says
        that the parameter is a file or folder with this content: the run is then identified by that, and its
        record shows the last name of the path alone.
        """
        return {}

    def check_space(self, space: Space) -> None:
        """Raise UsageError in one line if the predictor cannot be used with a data set of this space.

        Called when a run is planned, before anything is drawn, so it must be fast and import nothing heavy.
        Nothing is checked unless a predictor says otherwise: it should take any box, step and pair of curves.
        """


@runtime_checkable
class Predictor(Protocol):
    """What a predictor does. It is built as ``Class(parameters, space)``; no base class is needed.

    What else it may offer are the protocols below: ``Describes``, ``Explains``, ``Saves``, ``Resumable``,
    ``ReportsProgress``.
    """

    def fit(
        self,
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        rng: np.random.Generator,
    ) -> None:
        """Learn from labelled prompts; ``validation`` may be empty."""
        ...

    def sample(
        self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> NDArray[np.float64]:
        """Draw ``n`` settings for each prompt, shape (len(prompts), n, 2), dB, inside the space.

        Use ``rngs[i]`` alone for ``prompts[i]``: then samples do not depend on batches, order or resumption.
        ``popeq.errors.PromptsError`` names prompts that cannot be answered; the others are asked for again.
        """
        ...


@runtime_checkable
class Describes(Protocol):
    """A predictor that says what it is, in plain JSON values that popeq keeps in the run."""

    def describe(self) -> Mapping[str, Any]:
        """Called after ``fit`` and again at the end. ``model`` names the model behind a row,
        ``parameters`` (int) says how many it has, and ``quantisation`` how its weights are held."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A predictor that says how it came to a prompt's samples, in plain JSON values that popeq keeps."""

    def explain(self, prompt_id: str) -> Mapping[str, Any]:
        """Called for each prompt after ``sample``: what was asked for it, which examples were found
        (``retrieved``: prompt_id, similarity)."""
        ...


@runtime_checkable
class Saves(Protocol):
    """A predictor whose fit ``popeq ask`` can keep; one that is not kept is fitted again."""

    def save(self, folder: Path) -> None:
        """Write the fit into a folder, as JSON and safetensors, never pickle."""
        ...

    def load(self, folder: Path) -> None:
        """Read what ``save`` wrote, in place of ``fit``."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """A predictor that goes on with its training after a stop."""

    def use_folder(self, folder: Path) -> None:
        """Called before ``fit`` with a folder in the run that is the stage's own and survives a stop: what is
        kept there (checkpoints, trained weights) is there again when the run goes on."""
        ...


@runtime_checkable
class ReportsProgress(Protocol):
    """A predictor that says how far its training is."""

    def report_to(self, report: Callable[[str], None]) -> None:
        """Called before ``fit`` with a function that takes one line, to be called as often as the predictor
        likes; the last line is shown beside the progress bar."""
        ...


def load_object(reference: str) -> Any:
    """Import ``"module:name"``."""
    module, _, name = reference.partition(":")
    return getattr(importlib.import_module(module), name)


@dataclass(frozen=True)
class PredictorSpec:
    """How a plugin announces a predictor; ``factory`` is imported only when the predictor runs.

    ``kind``: ``baseline`` reads no sentence, ``preset`` picks fixed settings, ``in-context`` asks a language
    model, ``retrieval`` looks up similar prompts (with or without a model), ``fine-tuned`` trains weights.
    ``wants_audio``: prompts come with what the data set knows of their tracks.
    ``wants_groups``: training answers come with the groups of their listeners, and prompts with the group
    that is asked about, where there is one.
    ``needs_env``: environment variables, such as an API key's, that are handed to its process.
    """

    name: str
    summary: str
    factory: str
    parameters: type[Parameters] = Parameters
    extra: str | None = None
    wants_gpu: bool = False
    kind: Kind = "other"
    wants_audio: bool = False
    needs_env: tuple[str, ...] = ()
    wants_groups: bool = False


@dataclass(frozen=True)
class DatasetSpec:
    """How a plugin announces a data set: a folder in popeq's format.

    ``known``, for a simulated data set, names the function ``f(prompt_ids, n, seed)``, ``"module:function"``.
    It draws, (len(prompt_ids), n, 2) dB inside the space, from the population that the generator has for the
    words of each prompt, which is not that of its sentence. Boards show the scores of these draws as a
    reference line.
    """

    name: str
    summary: str
    path: Path
    known: str | None = None
