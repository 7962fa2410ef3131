"""A run on disk: run.json, its predictions and, while it is drawn, one file a prompt."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from popeq.atomic import write_bytes, write_text
from popeq.errors import InvalidInputError, Problem, RunError, UsageError
from popeq.runs.packed import name_for, pack, unpack
from popeq.runs.record import RunRecord, read_record
from popeq.space import PLANE, Space

RECORD, PARTIAL = "run.json", "partial"
EXPLANATIONS = "explanations.jsonl"
PREDICTION_COLUMNS = ("prompt_id", "sample", "x_db", "y_db")
#: Bytes that a row may take, in the file and unpacked, and bytes that do not depend on the rows.
_ROW_BYTES, _OTHER_BYTES = 512, 1 << 20
#: Bytes that are read at most, whatever a run.json says that there should be.
_MOST_BYTES = 1 << 30


def most_bytes(n: int, prompts: int) -> int:
    """Bytes that predictions of ``n`` samples of so many prompts take at most."""
    return _OTHER_BYTES + _ROW_BYTES * n * prompts


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
        """Read a run folder; raises RunError if it is none."""
        folder = Path(folder)
        if not folder.is_dir():
            raise RunError(f"{folder}: is not a run folder")
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
        record = RunRecord.model_validate({**self.record.model_dump(), **changes})
        write_text(self.folder / RECORD, record.model_dump_json(indent=2) + "\n")
        return Run(self.folder, record)

    def assemble(self, prompt_ids: Sequence[str]) -> str:
        """Write the predictions (and explanations.jsonl, if there are any) from the prompts' files, in the
        given order; returns the SHA-256 of the predictions."""
        parts = [",".join(PREDICTION_COLUMNS) + "\n"]
        parts += [(self.partial / f"{p}.csv").read_text(encoding="utf-8") for p in prompt_ids]
        text = "".join(parts)
        paths = [path for p in prompt_ids if (path := self.partial / f"{p}.json").exists()]
        if paths:
            lines = "".join(path.read_text(encoding="utf-8") for path in paths)
            write_text(self.folder / EXPLANATIONS, lines)
        write_bytes(self.predictions_file, pack(text, self.predictions_file.name))
        return hashlib.sha256(text.encode()).hexdigest()

    def explanations(self) -> dict[str, dict[str, Any]]:
        """What the predictor said of each prompt, by prompt id; empty if it says nothing.

        Raises RunError if the file is not one that a run wrote.
        """
        path = self.folder / EXPLANATIONS
        if not path.exists():
            return {}
        try:
            lines = path.read_text(encoding="utf-8").split("\n")  # other separators may stand in a text
            explanations = [json.loads(line) for line in lines if line]
            return {each["prompt_id"]: each for each in explanations}
        except (OSError, ValueError, RecursionError, KeyError, TypeError) as error:
            raise RunError(f"{path}: cannot be read: {error!r}") from None

    def drop_partial(self) -> None:
        """Remove the per-prompt files once the predictions are whole."""
        shutil.rmtree(self.partial, ignore_errors=True)

    def predictions_sha256(self) -> str:
        """Hash of the predictions as they are now; raises RunError as ``samples`` does."""
        return hashlib.sha256(self._predictions()).hexdigest()

    def content(self) -> bytes:
        """The text of the predictions as it is in the folder, unpacked, not held against the record.

        Raises RunError if it cannot be read, or is larger than such predictions can be.
        """
        path = self.predictions_file
        most = min(most_bytes(self.record.protocol.n_samples, self.record.prompts), _MOST_BYTES)
        try:
            if path.stat().st_size > most:
                raise RunError(
                    f"{path}: has more bytes than predictions of {self.record.prompts} prompts take"
                )
            return unpack(path.read_bytes(), path, most)
        except OSError as error:
            raise RunError(f"{path}: cannot be read: {error.strerror}") from None
        except UsageError as error:
            raise RunError(str(error)) from None

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
        written = _as_written(content, tuple(prompt_ids), n)
        if written is None or not space.contains(written).all():
            written = samples_of(_table(content, file), prompt_ids, n, space, file)
        decimals = self.record.protocol.decimals
        if decimals is not None and (written != kept_to(written, decimals, space)).any():
            finer = Problem(file, f"has settings that are finer than {10.0**-decimals:g} dB")
            raise InvalidInputError("wrong predictions", [finer])
        return written

    def _predictions(self) -> bytes:
        """The text of the predictions, if it is what the run wrote."""
        if self.record.status != "complete":
            raise RunError(
                f"{self.folder}: the run is {self.record.status} "
                f"({self.record.prompts_done} of {self.record.prompts} prompts); finish it with: "
                f"{self.record.command} --runs {self.folder.parent}"
            )
        content = self.content()
        if hashlib.sha256(content).hexdigest() != self.record.predictions_sha256:
            raise RunError(
                f"{self.predictions_file}: is not what the run wrote (SHA-256 differs from run.json)"
            )
        return content


def _as_written(content: bytes, prompt_ids: tuple[str, ...], n: int) -> NDArray[np.float64] | None:
    """The samples if the rows are those that ``assemble`` writes, else None; looks for no faults."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    header, *rows = text.split("\n")
    starts = _starts(prompt_ids, n)
    if header != ",".join(PREDICTION_COLUMNS) or len(rows) != len(starts) + 1 or rows.pop():
        return None
    if "\r" in text or not all(map(str.startswith, rows, starts)):  # pandas ends rows at a lone \r too
        return None
    points = list(map(str.removeprefix, rows, starts))
    if set(map(str.count, points, repeat(","))) != {1}:
        return None
    try:
        numbers = list(map(float, ",".join(points).split(",")))
    except ValueError:
        return None
    return np.array(numbers).reshape(len(prompt_ids), n, 2)


@lru_cache(maxsize=4)
def _starts(prompt_ids: tuple[str, ...], n: int) -> list[str]:
    """What comes before the points in each row that ``assemble`` writes."""
    return [f"{p},{i}," for p in prompt_ids for i in range(n)]


def _table(content: bytes, file: str) -> pd.DataFrame:
    """The cells of predictions as text."""
    try:
        frame = pd.read_csv(io.BytesIO(content), dtype=str, keep_default_na=False)
    except ValueError as error:  # of pandas' parser, and of UTF-8
        message = " ".join(str(error).split())
        raise InvalidInputError("wrong predictions", [Problem(file, f"is not CSV: {message}")]) from None
    if not isinstance(frame.index, pd.RangeIndex):  # pandas takes what is too much for row labels
        raise InvalidInputError("wrong predictions", [Problem(file, "has more fields than the header names")])
    return frame


def samples_of(
    frame: pd.DataFrame, prompt_ids: Sequence[str], n: int, space: Space, file: str
) -> NDArray[np.float64]:
    """Predictions as an array (len(prompt_ids), n, 2) in dB, from a table of text cells.

    Raises
    ------
    InvalidInputError
        With everything that is wrong: columns, numbers (with their rows), points outside the box, missing
        or unknown prompts, missing or repeated samples.
    """
    missing = [c for c in PREDICTION_COLUMNS if c not in frame.columns]
    if missing:
        raise InvalidInputError(
            "wrong predictions", [Problem(file, "the column is missing", 1, c) for c in missing]
        )
    problems: list[Problem] = []
    points = np.stack([_numbers(frame[c], file, problems) for c in ("x_db", "y_db")], axis=1)
    finite = np.isfinite(points).all(axis=1)
    for i in np.flatnonzero(finite & ~space.contains(points)):
        where = f"({points[i, 0]:g}, {points[i, 1]:g}) dB is outside the box"
        problems.append(Problem(file, where, int(i) + 2))
    asked, wanted = set(prompt_ids), {str(i): i for i in range(n)}
    rows = {
        str(p): index for p, index in frame.groupby("prompt_id", sort=False, dropna=False).indices.items()
    }
    problems += [Problem(file, f"no samples for prompt {p!r}") for p in prompt_ids if p not in rows]
    order = {}
    for p, index in rows.items():
        if p not in asked:
            problems.append(
                Problem(file, f"prompt {p!r} is not to be predicted in this data set", int(index[0]) + 2)
            )
        samples = [wanted.get(text, -1) for text in frame["sample"].iloc[index]]
        if sorted(samples) != list(range(n)):
            problems.append(Problem(file, f"prompt {p!r} needs the samples 0 to {n - 1}, each once"))
        order[p] = index[np.argsort(samples, kind="stable")]
    if problems:
        raise InvalidInputError("wrong predictions", problems)
    return np.stack([points[order[p]] for p in prompt_ids])


def _numbers(column: pd.Series, file: str, problems: list[Problem]) -> NDArray[np.float64]:
    """The column as floats, exactly as written; what is no finite number is NaN and a problem."""
    values = np.full(len(column), np.nan)
    for i, text in enumerate(column):
        try:
            values[i] = float(text)
        except ValueError:
            problems.append(Problem(file, f"{text!r} is not a number", i + 2, str(column.name)))
            continue
        if not np.isfinite(values[i]):
            problems.append(Problem(file, f"{text} is not a finite number", i + 2, str(column.name)))
    return values


def find_runs(root: Path) -> tuple[list[Run], list[str]]:
    """Every run in a folder of runs, oldest first, and why each that cannot be read cannot."""
    runs, broken = [], []
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name.startswith(".") or not (folder / RECORD).is_file():  # .name.tmp is not whole yet
            continue
        try:
            runs.append(Run.open(folder))
        except RunError as error:
            broken.append(str(error))
    return runs, broken
