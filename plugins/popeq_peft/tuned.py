"""What the fine-tuned predictors share: members trained one by one, kept in a folder, taken up again."""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
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
from popeq_peft.launch import RankJob, on_cpu, train_in_processes
from popeq_peft.parameters import TrainingParameters, processes_of
from popeq_peft.paraphrase import Paraphrases, paraphrased
from popeq_peft.records import (
    MemberRecord,
    check_base,
    fingerprint,
    given_record,
    read_record,
    space_db,
    write_record,
)
from popeq_peft.team import ALONE, Team, most_on_card_mb
from popeq_peft.training import Schedule, Task, out_of_memory, train

P = TypeVar("P", bound=TrainingParameters)


class Member:
    """A base model with its adapter, if it has one, and what is trained beside it."""

    def __init__(self, backbone: Backbone) -> None:
        self.backbone = backbone

    def train(self, mode: bool) -> None:
        """Turn what is random in training on or off."""
        self.backbone.train(mode)

    def write(self, folder: Path) -> None:
        """Write the weights, as safetensors; the adapter in peft's format."""
        self.backbone.save(folder)


M = TypeVar("M", bound=Member)


class FineTuned(Generic[P, M]):
    """Trains ``ensemble`` members and samples from all of them.

    A subclass says how a member is built (``build``) and read (``read``), what is trained (``task``), and how
    settings are drawn (``draw``); ``M`` is its kind of member.
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
        self._report: Callable[[str], None] = lambda _: None
        self._paraphrases: Paraphrases | None = None

    # What a subclass brings.

    def build(self, backbone: Backbone, train: Sequence[LabelledPrompt], seed: int) -> M:
        """An untrained member around a base model that has its adapter."""
        raise NotImplementedError

    def read(self, backbone: Backbone, folder: Path) -> M:
        """A member from the weights in a folder; ``backbone`` has its adapter. Raises UsageError if they do
        not fit."""
        raise NotImplementedError

    def task(self, member: M, examples: Sequence[Example], validation: Sequence[LabelledPrompt]) -> Task:
        """What is trained of it."""
        raise NotImplementedError

    def draw(
        self, member: M, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]
    ) -> Sequence[Floats]:
        """``n`` settings (n, 2), dB, for each prompt from one member."""
        raise NotImplementedError

    @property
    def adapts(self) -> bool:
        """Whether the base model gets an adapter at all."""
        return True

    # The contract.

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
                self._read_given(Path(self.parameters.adapter))
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
            with ExitStack() as stack:
                if self.parameters.launcher:
                    if self._folder is None:  # processes leave members in a folder, here a temporary one
                        self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
                        stack.callback(setattr, self, "_folder", None)
                    self._paraphrase(train, validation, seeds[0])  # asked for once, before processes start
                    count = processes_of(self.parameters.launcher)
                    job = RankJob(
                        predictor=self.name,
                        parameters=self.parameters.model_dump(mode="json"),
                        space=self.space,
                        seeds=seeds,
                        train=train,
                        validation=validation,
                        state=self._folder.absolute(),
                        cpu=on_cpu(self.parameters.device, count),
                    )
                    self.processes = train_in_processes(job, count)
                self.train_members(seeds, train, validation)

    def train_members(
        self,
        seeds: Sequence[int],
        train: Sequence[LabelledPrompt],
        validation: Sequence[LabelledPrompt],
        team: Team = ALONE,
    ) -> None:
        """Train each member that is not in the folder yet, alone or with the processes of a team.

        ``seeds``: one for augmentation, then one for each member.
        """
        texts = self._paraphrase(train, validation, seeds[0])
        examples = augmented(train, self.parameters.augment, seeds[0])
        examples += [Example(text, p.responses) for p in train for text in texts.get(p.prompt.text, [])]
        for number, seed in enumerate(seeds[1:]):
            try:
                backbone = open_backbone(self.parameters, language=self.language)
            except (torch.OutOfMemoryError, MemoryError):
                raise out_of_memory() from None
            mark = fingerprint(
                self.name, self.parameters, self.space, seed, examples, validation, backbone.revision
            )
            done = self._folder / f"member-{number}" if self._folder else None
            if done and (record := read_record(done)) and record.fingerprint == mark:
                self._load(backbone, done, record)
                continue
            if self.adapts:
                backbone = wrap(backbone, self.parameters, seed)
            member = self.build(backbone, train, seed)
            self._train(member, number, self.task(member, examples, validation), mark, seed, team)

    def sample(self, prompts: Sequence[Prompt], n: int, rngs: Sequence[np.random.Generator]) -> Floats:
        """``n`` settings for each prompt, an equal share (as far as it goes) from each member, shuffled:
        (len(prompts), n, 2), dB."""
        with torch_threads(self.parameters.threads), torch.inference_mode():
            shares = [len(range(k, n, len(self.members))) for k in range(len(self.members))]
            drawn = [self.draw(m, prompts, s, rngs) for m, s in zip(self.members, shares, strict=True) if s]
            own = [np.concatenate(parts) for parts in zip(*drawn, strict=True)]
            return self.space.clip(np.stack([rng.permutation(o) for rng, o in zip(rngs, own, strict=True)]))

    def describe(self) -> dict[str, Any]:
        """The base model, what was trained, how training went."""
        first = self.records[0]
        return {
            "model": first.base_model,
            "revision": first.base_revision,
            "quantisation": first.base_quantisation,
            "parameters": first.base_parameters,
            "trained_parameters": first.trained_parameters,
            "training": [r.summary() for r in self.records],
            "notes": self.notes,
            **({"paraphrases": self._paraphrases.summary()} if self._paraphrases else {}),
            **({"processes": self.processes} if self.processes else {}),
            **({"gpu_memory_mb": card} if (card := most_on_card_mb()) is not None else {}),
        }

    def _paraphrase(
        self, train: Sequence[LabelledPrompt], validation: Sequence[LabelledPrompt], seed: int
    ) -> dict[str, list[str]]:
        """A language model's paraphrases by training sentence."""
        if self.parameters.paraphraser and self._paraphrases is None:
            sentences, others = ([p.prompt.text for p in own] for own in (train, validation))
            found = paraphrased(self.parameters, sentences, others, seed, self._folder)
            self._paraphrases = found
            if found.taken < found.asked:
                self._note(found.counts())
        return self._paraphrases.texts if self._paraphrases else {}

    def _train(self, member: M, number: int, task: Task, mark: str, seed: int, team: Team) -> None:
        """Train a member, keep it and its record; the first process of a team writes them into the folder."""
        p, backbone = self.parameters, member.backbone
        which = f"member {number + 1}/{p.ensemble}, " if p.ensemble > 1 else ""
        file = self._folder / f"member-{number}.training" if self._folder else None

        def report(text: str) -> None:
            if team.rank == 0:
                self._report(which + text)

        began = time.perf_counter()
        schedule = Schedule(p.epochs, p.batch_size, p.weight_decay, p.patience, seed)
        progress = train(task, schedule, mark, file, team, report)
        member.train(False)
        record = MemberRecord(
            predictor=self.name,
            parameters=p.model_dump(mode="json"),
            base_model=backbone.name,
            base_revision=backbone.revision,
            base_quantisation=backbone.quantisation,
            base_parameters=sum(w.numel() for n, w in backbone.model.named_parameters() if "lora_" not in n),
            space_db=space_db(self.space),
            step_db=self.space.step_db,
            curves=self.space.curves,
            trained_parameters=sum(w.numel() for g in task.groups() for _, w in g["params"]),
            history=progress.history,
            best_epoch=progress.best_epoch,
            stopped=progress.stopped,
            train_s=time.perf_counter() - began,
            fingerprint=mark,
        )
        if progress.stopped.startswith("diverged"):
            self.notes.append(
                f"training {progress.stopped}: the state of epoch {progress.best_epoch} is kept"
            )
        if file and team.rank == 0:
            with new_folder(file.with_suffix(""), replace=True) as folder:
                member.write(folder)
                write_record(folder, record)
            file.unlink(missing_ok=True)
        self._keep(member, record)

    def _load(self, backbone: Backbone, folder: Path, record: MemberRecord) -> None:
        """Read a trained member and keep it."""
        member = self.read(load_adapter(backbone, folder) if self.adapts else backbone, folder)
        member.train(False)
        self._keep(member, record)

    def _keep(self, member: M, record: MemberRecord) -> None:
        self.members.append(member)
        self.records.append(record)

    def _read_given(self, folder: Path) -> None:
        """The members in a folder: one adapter, or a run's folder with ``member-0``, ``member-1`` ..."""
        for own in sorted(folder.glob("member-*/"), key=lambda f: int(f.name.split("-")[1])) or [folder]:
            record = given_record(own, self.name, self.space)
            backbone = open_backbone(self.parameters, language=self.language)
            check_base(own, record, backbone)
            self._load(backbone, own, record)
        self.notes.append("nothing was trained: the adapter was given")

    def _note(self, text: str) -> None:
        self.notes.append(text)
        warnings.warn(f"{self.name}: {text}", stacklevel=3)
