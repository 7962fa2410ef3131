"""A run on disk: run.json, its predictions and, while it is drawn, one file a prompt."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from popeq.atomic import write_bytes, write_text
from popeq.errors import InvalidInputError, Problem, RunError, UsageError
from popeq.others_files import MOST_TABLE_BYTES, UnreadableFileError, parse_json, read_plain, read_text
from popeq.runs.packed import name_for, pack, unpack
from popeq.runs.plain_folder import odd_files
from popeq.runs.predictions import (
    PREDICTION_COLUMNS,
    as_written,
    most_bytes,
    points_of,
    prediction_table,
)
from popeq.runs.record import RunRecord, read_record
from popeq.space import PLANE, Space

RECORD, PARTIAL = "run.json", "partial"
EXPLANATIONS = "explanations.jsonl"
#: Bytes that are read at most, whatever a run.json says that there should be.
_MOST_BYTES = 256 << 20


def kept_to(samples: NDArray[np.float64], decimals: int, space: Space) -> NDArray[np.float64]:
    """Samples (..., 2), dB, rounded to some decimals; what rounding would put outside the box is rounded
    towards the inside, and stays as it is where the box holds no such number."""
    unit = 10.0**decimals
    rounded = np.round(samples, decimals)
    low = np.ceil(space.low * unit - 1e-6) / unit
    high = np.floor(space.high * unit + 1e-6) / unit
    inside = np.where(low <= high, np.clip(rounded, low, np.maximum(low, high)), samples)
    return np.asarray(np.clip(inside, space.low, space.high) + 0.0)


@dataclass(frozen=True)
class Run:
    """A run folder and its record, as read or last written."""

    folder: Path
    record: RunRecord

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """Read a run folder; raises RunError if it is none, or its files are links, devices or too large."""
        folder = Path(folder)
        if folder.name in ("", ".."):
            folder = folder.resolve()  # its name and what lies beside it count
        if not folder.is_dir():
            raise RunError(f"{folder}: is not a run folder")
        for problem in odd_files(folder):
            raise RunError(f"{folder / problem.file}: {problem.message}")
        return cls(folder, read_record(folder / RECORD))

    @property
    def predictions_file(self) -> Path:
        """The file of the predictions, whether or not it is there."""
        return self.folder / name_for(self.record.protocol)

    @property
    def partial(self) -> Path:
        """Folder of the prompts drawn so far, while the run is not complete."""
        return self.folder / PARTIAL

    def done(self, prompt_ids: Iterable[str]) -> list[str]:
        """Those prompts whose samples are on disk."""
        present = {p.stem for p in self.partial.glob("*.csv")} if self.partial.is_dir() else set()
        return [p for p in prompt_ids if p in present]

    def update(self, **changes: object) -> Run:
        """Write run.json with some fields changed and return the run as it now is."""
        record = RunRecord.model_validate({**dict(self.record), **changes})
        write_text(self.folder / RECORD, record.model_dump_json(indent=2) + "\n")
        return Run(self.folder, record)

    def assemble(self, prompt_ids: Sequence[str]) -> str:
        """Write the predictions (and explanations.jsonl, if there are any) from the prompts' files, in the
        given order; returns the SHA-256 of the predictions."""
        parts = [",".join(PREDICTION_COLUMNS) + "\n"]
        most = most_bytes(self.record.protocol.n_samples, 1)
        parts += [read_text(self.partial / f"{p}.csv", most) for p in prompt_ids]
        text = "".join(parts)
        paths = [path for p in prompt_ids if (path := self.partial / f"{p}.json").exists()]
        if paths:
            lines = "".join(map(read_text, paths))
            write_text(self.folder / EXPLANATIONS, lines)
        write_bytes(self.predictions_file, pack(text, self.predictions_file.name))
        return hashlib.sha256(text.encode()).hexdigest()

    def explained(self) -> list[dict[str, Any]]:
        """What the predictor said of the prompts drawn so far, while the run is not complete."""
        found = sorted(self.partial.glob("*.json")) if self.partial.is_dir() else []
        done = [path for path in found if path.with_suffix(".csv").exists()]
        return [parse_json(read_text(path)) for path in done]

    def explanations(self) -> dict[str, dict[str, Any]]:
        """What the predictor said of each prompt, by prompt id; empty if it says nothing.

        Raises RunError if the file is not one that a run wrote.
        """
        path = self.folder / EXPLANATIONS
        if not path.exists():
            return {}
        try:
            lines = read_text(path, MOST_TABLE_BYTES).split("\n")  # other separators may stand in a text
            explanations = [parse_json(line) for line in lines if line]
            return {each["prompt_id"]: each for each in explanations}
        except UnreadableFileError as error:
            raise RunError(str(error)) from None
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read: {error!r}") from None

    def predictions_sha256(self) -> str:
        """Hash of the predictions as they are now; raises RunError as ``samples`` does.

        A file that has not changed since this process hashed it is not read again.
        """
        self._check_complete()
        path = self.predictions_file
        try:
            status = path.stat()
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from None
        state = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        return self._checked(_text_sha256(path, self._most_bytes, state))

    @property
    def _most_bytes(self) -> int:
        return min(most_bytes(self.record.protocol.n_samples, self.record.prompts), _MOST_BYTES)

    def content(self) -> bytes:
        """The text of the predictions as it is in the folder, unpacked, not held against the record.

        Raises RunError if it cannot be read, or is larger than such predictions can be.
        """
        return _text(self.predictions_file, self._most_bytes)

    def samples(self, prompt_ids: Sequence[str], space: Space = PLANE) -> NDArray[np.float64]:
        """The samples (len(prompt_ids), n, 2), dB, checked against the record and the box.

        Raises
        ------
        RunError
            If the run is not complete or its predictions are not those that the run wrote.
        InvalidInputError
            If prompts or samples are missing, too many, not numbers, outside the box or finer than the
            protocol keeps them.
        """
        content, n, file = self._predictions(), self.record.protocol.n_samples, self.predictions_file.name
        written = as_written(content, tuple(prompt_ids), n)
        if written is None or not space.contains(written).all():
            table = prediction_table(content, file, n * len(prompt_ids))
            written = points_of(table, prompt_ids, n, space, "wrong predictions")
        decimals = self.record.protocol.decimals
        if decimals is not None and (written != kept_to(written, decimals, space)).any():
            finer = Problem(file, f"has settings that are finer than {10.0**-decimals:g} dB")
            raise InvalidInputError("wrong predictions", [finer])
        return written

    def _predictions(self) -> bytes:
        """The text of the predictions, if it is what the run wrote."""
        self._check_complete()
        content = self.content()
        self._checked(hashlib.sha256(content).hexdigest())
        return content

    def _check_complete(self) -> None:
        if self.record.status != "complete":
            raise RunError(
                f"{self.folder}: the run is {self.record.status} "
                f"({self.record.prompts_done} of {self.record.prompts} prompts); finish it with: "
                f"{self.record.command} --runs {self.folder.parent}"
            )

    def _checked(self, sha256: str) -> str:
        if sha256 != self.record.predictions_sha256:
            raise RunError(
                f"{self.predictions_file}: is not what the run wrote (SHA-256 differs from run.json)"
            )
        return sha256


def _text(path: Path, most: int) -> bytes:
    """The text of a file of predictions, unpacked, of at most so many bytes; RunError otherwise."""
    try:
        return unpack(read_plain(path, most), path, most)
    except UsageError as error:
        raise RunError(str(error)) from None


@lru_cache(maxsize=1024)
def _text_sha256(path: Path, most: int, _: tuple[int, ...]) -> str:
    return hashlib.sha256(_text(path, most)).hexdigest()


def lock_file(runs_dir: Path, name: str) -> Path:
    """A file among the locks of a folder of runs, made if it is missing.

    Raises UsageError if it cannot be written.
    """
    path = runs_dir / ".locks" / name
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise UsageError(f"{runs_dir}: cannot be written: {error.strerror}") from None
    return path


def find_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Every run in a folder of runs, oldest first, and why each that cannot be read cannot."""
    runs, broken = [], []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(".") or not os.path.lexists(folder / RECORD):  # .name.tmp is not whole yet
            continue
        try:
            runs.append(Run.open(folder))
        except RunError as error:
            broken.append(str(error))
    return runs, broken
