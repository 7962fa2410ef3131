"""What the fine-tuned predictors share: members trained one by one, kept in a folder, taken up again."""

from __future__ import annotations

import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import torch

from popeq.atomic import new_folder
from popeq.contract import LabelledPrompt, Prompt
from popeq.space import Space
from popeq.typing import Floats
from popeq_llm.loading import torch_threads
from popeq_peft.augment import Example, augmented, hold_out
from popeq_peft.backbone import Backbone, load_adapter, open_backbone, wrap
from popeq_peft.launch import train_in_processes
from popeq_peft.parameters import TrainingParameters
from popeq_peft.paraphrase import Paraphrases, paraphrased
from popeq_peft.records import MemberRecord, Origin, check_base, read_record, write_card
from popeq_peft.team import Team, most_on_card_mb
from popeq_peft.training import Schedule, Task, out_of_memory, train

P = TypeVar("P", bound=TrainingParameters)
M = TypeVar("M")


class FineTuned(Generic[P, M]):
    """Trains ``ensemble`` members and samples from all of them.

    A subclass says how a member is built (``_build``), what is trained (``_task``), and how it is written and
    read (``_write``, ``_read``); ``M`` is its kind of member.
    """

    name: ClassVar[str]
    #: Whether next tokens are needed of the base model.
    language: ClassVar[bool] = False

    def __init__(self, parameters: P, space: Space) -> None:
        self.parameters, self.space = parameters, space
        self.members: list[M] = []
        self.records: list[MemberRecord] = []
        self.notes: list[str] = []
        self.processes: list[dict[str, Any]] = []
        self._folder: Path | None = None
        self._report: Callable[[str], None] = _ignore
        self._origin = Origin(self.name, parameters, space)
        self._paraphrases: Paraphrases | None = None

    def use_folder(self, folder: Path) -> None:
        """Where checkpoints are kept while training, and the adapters afterwards."""
        self._folder = folder

    def report_to(self, report: Callable[[str], None]) -> None:
        """Where a line goes after each epoch."""
        self._report = report

    def fit(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], rng: np.random.Generator
    ) -> None:
        """Train, or read what ``adapter`` names, or what a stopped run left in its folder.

        Raises
        ------
        UsageError
            For a model, an adapter or parameters that cannot be used.
        RunError
            If training diverges from the start, memory runs out, or a paraphraser writes nothing of use.
        """
        with torch_threads(self.parameters.threads):
            if self.parameters.adapter:
                self._read_all(Path(self.parameters.adapter))
                return
            train = sorted(train, key=lambda p: p.prompt.prompt_id)
            validation = sorted(validation, key=lambda p: p.prompt.prompt_id)
            if not validation:
                count = len(train)
                train, validation = hold_out(train, self.parameters.held_out, rng)
                some = f"{len(validation)} of the {count} training prompts stop training"
                self._note(
                    f"no validation prompts: {some if validation else 'training lasts all its epochs'}"
                )
            if len(train) == 1:
                self._note("one training prompt: what is learnt hardly depends on the sentence")
            seeds = [int(rng.integers(2**62)) for _ in range(1 + self.parameters.ensemble)]
            with self._some_folder():
                self._paraphrase(train, validation, seeds[0])
                if self.parameters.launcher:
                    assert self._folder is not None
                    self.processes = train_in_processes(
                        type(self), self.parameters, self.space, seeds, train, validation, self._folder
                    )
                self.train_members(seeds, train, validation, Team())

    def train_members(
        self,
        seeds: Sequence[int],
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        team: Team,
    ) -> None:
        """Train each member that is not in the folder yet, alone or with the processes of a team.

        ``seeds``: one for augmentation, then one for each member.
        """
        examples = augmented(train, self.parameters.augment, seeds[0])
        texts = self._paraphrase(train, validation, seeds[0])
        examples += [Example(text, p.responses) for p in train for text in texts.get(p.prompt.text, [])]
        for number, seed in enumerate(seeds[1:]):
            self._member(number, seed, examples, train, validation, team)

    def _paraphrase(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], seed: int
    ) -> dict[str, list[str]]:
        """A language model's paraphrases by training sentence; asked for once, before processes start."""
        if self.parameters.paraphraser and self._paraphrases is None:
            sentences, others = ([p.prompt.text for p in own] for own in (train, validation))
            found = paraphrased(self.parameters, sentences, others, seed, self._folder)
            self._paraphrases = found
            if found.taken < found.asked:
                self._note(found.counts())
        return self._paraphrases.texts if self._paraphrases else {}

    @contextmanager
    def _some_folder(self) -> Iterator[None]:
        """Several processes hand members over in a folder, if only for a while."""
        if self._folder is not None or not self.parameters.launcher:
            yield
            return
        with tempfile.TemporaryDirectory() as name:
            self._folder = Path(name)
            try:
                yield
            finally:
                self._folder = None

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """``n`` settings for each prompt, an equal share (as far as it goes) from each member, shuffled."""
        with torch_threads(self.parameters.threads), torch.inference_mode():
            samples = []
            shares = [len(range(k, n, len(self.members))) for k in range(len(self.members))]
            drawn = [self._draw(m, prompts, s, rngs) for m, s in zip(self.members, shares, strict=True) if s]
            for i, rng in enumerate(rngs):
                samples.append(rng.permutation(np.concatenate([d[i] for d in drawn])))
        return self.space.clip(np.stack(samples))

    def describe(self) -> dict[str, Any]:
        """The base model, what was trained, how training went."""
        first = self.records[0]
        return {
            "model": first.base_model,
            "stand_in": first.stand_in,
            "revision": first.base_revision,
            "trained_parameters": first.trained_parameters,
            "training": [r.summary() for r in self.records],
            "notes": self.notes,
            **({"paraphrases": self._paraphrases.summary()} if self._paraphrases else {}),
            **({"processes": self.processes} if self.processes else {}),
            **({"gpu_memory_mb": card} if (card := most_on_card_mb()) is not None else {}),
        }

    # What a subclass brings.

    def _build(self, backbone: Backbone, train: Sequence[LabelledPrompt], seed: int) -> M:
        """An untrained member around a base model that has its adapter."""
        raise NotImplementedError

    def _task(self, member: M, examples: Sequence[Example], validation: Sequence[LabelledPrompt]) -> Task:
        """What is trained of it."""
        raise NotImplementedError

    def _draw(
        self, member: M, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> Sequence[Floats]:
        """``n`` settings for each prompt from one member."""
        raise NotImplementedError

    def _write(self, member: M, folder: Path) -> None:
        """Write the member's weights into a folder."""
        raise NotImplementedError

    def _read(self, backbone: Backbone, folder: Path) -> M:
        """A member from the weights in a folder; ``backbone`` has its adapter."""
        raise NotImplementedError

    def _adapts(self) -> bool:
        """Whether the base model gets an adapter at all."""
        return True

    # Members.

    def _member(
        self,
        number: int,
        seed: int,
        examples: Sequence[Example],
        train_on: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        team: Team,
    ) -> None:
        """Train one member, or read it if a stopped run finished it."""
        try:
            backbone = open_backbone(self.parameters, language=self.language)
        except (torch.OutOfMemoryError, MemoryError) as error:
            raise out_of_memory(error) from None
        mark = self._origin.fingerprint(seed, examples, validation, backbone.revision)
        done = self._folder / f"member-{number}" if self._folder else None
        if done and (record := read_record(done)) and record.fingerprint == mark:
            self._take(self._read(self._adapted(backbone, done), done), record)
            return
        if self._adapts():
            backbone = wrap(backbone, self.parameters, seed)
        member = self._build(backbone, train_on, seed)
        task = self._task(member, examples, validation)
        file = self._folder / f"member-{number}.training" if self._folder else None
        began = time.perf_counter()
        on_progress = self._progress_of(number) if team.rank == 0 else _ignore
        p = self.parameters
        schedule = Schedule(p.epochs, p.batch_size, p.weight_decay, p.patience, seed)
        progress = train(team.agreed(task), schedule, mark, file, team, on_progress)
        record = self._origin.record(
            progress,
            backbone,
            stand_in=self._stand_in(backbone),
            trained=sum(p.numel() for g in task.groups() for _, p in g["params"]),
            train_s=time.perf_counter() - began,
        )
        if progress.stopped.startswith("diverged"):
            self.notes.append(
                f"training {progress.stopped}: the state of epoch {progress.best_epoch} is kept"
            )
        if done and team.rank == 0:
            shutil.rmtree(done, ignore_errors=True)
            with new_folder(done) as folder:
                self._write(member, folder)
                write_card(folder, record)
            if file:
                file.unlink(missing_ok=True)
        self._take(member, record)

    def _take(self, member: M, record: MemberRecord) -> None:
        self.members.append(member)
        self.records.append(record)

    def _adapted(self, backbone: Backbone, folder: Path) -> Backbone:
        return load_adapter(backbone, folder) if self._adapts() else backbone

    def _read_all(self, folder: Path) -> None:
        """The members in a folder: one adapter, or a run's folder with ``member-0``, ``member-1`` ..."""
        folders = sorted(folder.glob("member-*/"), key=lambda f: int(f.name.split("-")[1])) or [folder]
        for own in folders:
            record = self._origin.given(own)
            backbone = open_backbone(self.parameters, language=self.language)
            check_base(own, record, backbone)
            self._take(self._read(self._adapted(backbone, own), own), record)
        self.notes.append("nothing was trained: the adapter was given")

    def _stand_in(self, backbone: Backbone) -> bool:
        return backbone.stand_in

    def _note(self, text: str) -> None:
        self.notes.append(text)
        warnings.warn(f"{self.name}: {text}", stacklevel=3)

    def _progress_of(self, number: int) -> Callable[[str], None]:
        """Reports how the training of a member goes."""
        count = self.parameters.ensemble
        member = f"member {number + 1}/{count}, " if count > 1 else ""
        return lambda text: self._report(member + text)


def _ignore(_: str) -> None:
    """Nobody asked for the progress."""
