"""What is fuzzed: a target takes files from elsewhere and raises unless popeq reads or refuses them whole.

A target raises what popeq raised if that is no ``PopeqError``, and AssertionError where what was read or
written breaks a promise: a refusal says something, nothing half-written stays, what is read reads back.
The data set is made up and tiny: two test prompts, three samples each.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import BaseModel

from popeq.board.judge import judge
from popeq.board.publishing import publish
from popeq.board.report import report
from popeq.board.scoring import Scorer
from popeq.board.signing import sign
from popeq.board.trust import find_claims
from popeq.board.verify import examine
from popeq.dataset import Dataset
from popeq.dataset_folder import read_dataset, write_dataset
from popeq.errors import InvalidInputError, PopeqError
from popeq.lookup import entries_of
from popeq.protocol import Protocol
from popeq.runs.card import read_card
from popeq.runs.folder import Run, find_runs, kept_to
from popeq.runs.packed import PACKED
from popeq.runs.predictions import read_predictions
from popeq.runs.record import RunRecord
from popeq.runs.submission import predictions_csv, run_from_predictions
from popeq.verifying import verify
from tests.forger import Forger
from tests.fuzz import served

N = 3
#: Where scratch files lie: in memory, if the machine has a file system there.
MEMORY = next((folder for folder in [Path("/dev/shm")] if folder.is_dir()), None)
PROTOCOL = Protocol(n_samples=N, grid_cells=4)
DATASET = {
    "dataset.toml": b'name = "tiny"\nversion = "1"\ntitle = "for fuzzing"\nlicence = "MIT"\n'
    b'citation = "nobody"\nsimulated = true\n[space]\nx_db = [-6.0, 6.0]\ny_db = [-6.0, 6.0]\nunit = "dB"\n',
    "prompts.csv": b"prompt_id,text,category,basis,split,audio_id\n"
    b'p1,"make it\rwarm",colour,timbre,train,a1\np2,brighter,colour,,train,a1\n'
    b"p3,\"loud, 'late'\",mood,,test,a2\np4,caf\xc3\xa9,mood,,test,\n",
    "responses.csv": b"prompt_id,listener_id,x_db,y_db\n"
    + b"".join(
        b"p%d,l%d,%d.5,-%d.25\n" % (prompt, listener, prompt, listener)
        for prompt in (1, 2, 3, 4)
        for listener in (1, 2)
    ),
    "listeners.csv": b"listener_id,group\nl1,expert\nl2,novice\n",
    "features.csv": b'audio_id,loudness_lufs,"centroid\r_hz"\na1,-14.5,1800\na2,-9,2e3\n',
}
CARD = {
    "authors": ["Ana N\u00fa\u00f1ez"],
    "contact": "ana@example.org",
    "kind": "retrieval",
    "model": "a-model",
    "model_parameters": 12,
    "training_data": "the training prompts",
    "links": ["https://example.org/a"],
    "notes": "none",
    "trust": "scored",
    "claim": {"method": "mine", "dataset": "tiny", "scores": {"kantorovich_mean": 2.5}},
}
_END = b"\n=====\n"  # between the files of a data set that stand in one input


@dataclass(frozen=True)
class Target:
    """One way in: ``check`` takes an input's bytes; ``seeds`` are good inputs to begin from."""

    name: str
    check: Callable[[bytes], bool]
    seeds: Callable[[], list[bytes]]


class Ground:
    """A scratch folder with a tiny data set, and the ways in which files from elsewhere are read there.

    Each way says whether the input was taken (not refused), so that a test can see that both happen.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.given = folder / "given"
        self.out = folder / "out"
        self.given.mkdir()
        data = folder / "tiny"
        data.mkdir()
        for name, content in DATASET.items():
            (data / name).write_bytes(content)
        self.dataset = read_dataset(data)
        self.scorer = Scorer(self.dataset, PROTOCOL)
        self.samples = np.array([[[1.5, -1.25], [0.1, 1 / 3], [-6, 6]], [[0, 0], [5, -5], [1e-9, 2]]])

    @cached_property
    def run(self) -> Run:
        """A submitted run that verifies."""
        file = self.folder / "good.csv"
        file.write_text(predictions_csv(self.dataset.test_ids, self.samples))
        return self._score(file, self.folder / "good")[0]

    @cached_property
    def record(self) -> dict[str, object]:
        """The content of its run.json."""
        content: dict[str, object] = json.loads((self.run.folder / "run.json").read_bytes())
        return content

    def _score(self, file: Path, runs: Path) -> tuple[Run, bool]:
        known = {"runs_dir": runs, "protocol": PROTOCOL}
        return run_from_predictions(file, self.dataset, "mine", **known)

    def predictions(self, content: bytes, ending: str) -> bool:
        """``popeq score FILE``: a run folder that verifies and holds just what the file says, or nothing."""
        file = self.given / f"file.{ending}"
        file.write_bytes(content)
        with refusals() as refused:
            run, new = self._score(file, self.out)
        if not refused:
            assert new
            expected = read_predictions(file, self.dataset.test_ids, N, self.dataset.space)
            expected = kept_to(expected, 2, self.dataset.space)
            assert np.array_equal(run.samples(self.dataset.test_ids, self.dataset.space), expected)
            assert not examine(run, self.scorer).problems
        self._swept(whole=0 if refused else 1)
        return not refused

    def stored_predictions(self, content: bytes) -> bool:
        """The predictions of a submitted run whose run.json vouches for it."""
        record = self.record | {"predictions_sha256": hashlib.sha256(content).hexdigest()}
        return self.submitted(json.dumps(record).encode(), predictions=bz2.compress(content))

    def packed_predictions(self, content: bytes) -> bool:
        """The file of the predictions of a submitted run; run.json says what good ones are."""
        return self.submitted(json.dumps(self.record).encode(), predictions=content)

    def submitted(
        self, record: bytes, *, card: bytes | None = None, predictions: bytes | None = None
    ) -> bool:
        """``popeq verify`` and ``popeq submit`` of a run folder with this run.json (and card.json)."""
        folder = self.given / "runs" / "a-run"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "run.json").write_bytes(record)
        good = self.run.predictions_file.read_bytes()
        (folder / PACKED).write_bytes(good if predictions is None else predictions)
        (folder / "card.json").write_bytes(
            json.dumps(CARD | {"claim": None}).encode() if card is None else card
        )
        found, broken = find_runs(folder.parent)
        assert len(found) + len(broken) == 1
        _check_lines("\n".join(broken), lines=len(broken))
        with refusals():
            Run.open(folder)
        if not found:
            return False
        seen = examine(found[0], self.scorer)
        for problem in seen.problems:
            _check_lines(str(problem), lines=1)
        with refusals() as refused:
            _, target = publish(found[0], self.dataset, None, self.out)
        if not refused:
            published = Run.open(target)
            assert published.record.key == found[0].record.key
            assert not examine(published, self.dataset).problems
        assert not refused or seen.problems
        assert refused or not seen.problems or found[0].record.protocol != PROTOCOL
        self._swept(whole=0 if refused else 1)
        return not refused

    def card(self, content: bytes) -> bool:
        """card.json (meta.json): read, and what is read reads back; as a claim without a run as well."""
        folder = self.given / "claims" / "a-claim"
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "card.json"
        path.write_bytes(content)
        with refusals() as refused:
            card = read_card(path)
        assert refused or _reads_back(card)
        claims, notes = find_claims(folder.parent, "tiny")
        _check_lines("\n".join(notes), lines=None if notes else 0)
        assert len(claims) + len(notes) <= 1
        assert not (claims and refused)
        return not refused

    def data(self, files: Mapping[str, bytes]) -> bool:
        """A data set folder: read, scored, and written again as the same revision; or every problem named."""
        folder = self.given / "data"
        for name in DATASET:
            (folder / name).unlink(missing_ok=True)
        folder.mkdir(exist_ok=True)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        with refusals() as refused:
            read = read_dataset(folder)
        if not refused:
            self._use(read)
            written = write_dataset(read, self.out / "copy", "a copy\n")
            assert written.revision == read.revision
            assert written.card == read.card
        self._swept(whole=0 if refused else 1)
        return not refused

    def responses(self, content: bytes) -> bool:
        """The Parquet file of a data set's responses: read whole, and written again as the same revision."""
        folder = self.given / "hub"
        (folder / "responses").mkdir(parents=True, exist_ok=True)
        for name in ("dataset.toml", "prompts.csv"):
            (folder / name).write_bytes(DATASET[name])
        (folder / "responses" / "train.parquet").write_bytes(content)
        with refusals() as refused:
            read = read_dataset(folder)
        if not refused:
            self._use(read)
            assert write_dataset(read, self.out / "copy", "a copy\n").revision == read.revision
        self._swept(whole=0 if refused else 1)
        return not refused

    def sealed(self, content: bytes) -> bool:
        """The file of sealed answers of a data set whose card vouches for it: read whole, or every problem
        named."""
        folder, answers = self.given / "sealed", self.given / "answers.csv"
        folder.mkdir(exist_ok=True)
        answers.write_bytes(content)
        vouched = b'sealed_answers = "%s"\n' % hashlib.sha256(content).hexdigest().encode()
        header, *rows = DATASET["responses.csv"].splitlines(keepends=True)
        open_part = b"".join([header, *(row for row in rows if row[:2] in (b"p1", b"p2"))])
        files = {"dataset.toml": vouched + DATASET["dataset.toml"], "responses.csv": open_part}
        for name, text in (DATASET | files).items():
            (folder / name).write_bytes(text)
        with refusals() as refused:
            read = read_dataset(folder, answers)
        if not refused:
            self._use(read)
            assert not read.sealed
            assert read_dataset(folder).sealed
            assert read_dataset(folder).revision == read.revision
        return not refused

    def results(self, content: bytes) -> bool:
        """A whole folder of results: judged as an addition to a signed board, verified, made a board of."""
        before, after = self.folder / "before", self.given / "results"
        if not before.exists():
            Forger(self.dataset, PROTOCOL).run(before / "tiny", "base", card=None)
            sign(before / "tiny", self.dataset, PROTOCOL)
            shutil.rmtree(before / "tiny" / ".locks")
        shutil.rmtree(after, ignore_errors=True)
        shutil.copytree(before, after)
        write_entries(after / "tiny", content)
        judged = judge(before, after, dataset_of=lambda _: self.dataset)
        _check_lines(report(judged), lines=None)
        with refusals() as refused:
            ok = verify([after / "tiny"], self.dataset).ok
        with refusals() as no_board:
            entries_of([after / "tiny"], self.dataset, keep=False)
        find_claims(after / "tiny", "tiny")
        new = [run for board in judged.boards for run in board.runs]
        if judged.ok and new:
            assert ok
            assert not refused
            assert not no_board
        return judged.ok and bool(new)

    def _use(self, read: Dataset) -> None:
        assert read.test_ids
        for stage in read.stages:
            assert read.labelled([*stage.train, *stage.validation, *stage.test])
        prompts = read.test_ids[:2]
        low, size = read.space.low, read.space.size
        samples = np.stack([low + size * share for share in (0.0, 0.3, 1.0)])
        if len(read.test_ids) <= 4:
            scores = Scorer(read, PROTOCOL).score(np.stack([read.space.clip(samples)] * len(read.test_ids)))
            for name in ("kantorovich", "reflective_kantorovich", "sample_kantorovich", "energy_score"):
                assert np.isfinite(scores.scores(name)).all(), name
        assert [p.prompt_id for p in read.unlabelled(prompts)] == list(prompts)

    def _swept(self, whole: int) -> None:
        """Nothing half-written is left in ``out``; as many whole folders as expected; then it is emptied."""
        left = (
            [path for path in self.out.rglob("*") if ".locks" not in path.parts] if self.out.exists() else []
        )
        assert not [path for path in left if path.name.startswith(".") or path.name.endswith(".tmp")], left
        folders = [path for path in left if path.name in ("run.json", "dataset.toml")]
        assert len(folders) == whole, left
        shutil.rmtree(self.out, ignore_errors=True)

    def targets(self) -> list[Target]:
        """Every way in, for fuzzers that know bytes only."""
        return [
            Target("predictions.csv", lambda content: self.predictions(content, "csv"), self._csv_seeds),
            Target(
                "predictions.parquet", lambda content: self.predictions(content, "parquet"), self._parquet
            ),
            Target("predictions.csv.gz", lambda content: self.predictions(content, "csv.gz"), self._gz_seeds),
            Target("stored predictions.csv", self.stored_predictions, self._stored_seeds),
            Target("stored predictions.csv.bz2", self.packed_predictions, self._packed_seeds),
            Target("run.json", self.submitted, self._record_seeds),
            Target("card.json", self.card, lambda: [json.dumps(CARD).encode()]),
            Target(
                "data set folder", lambda content: self.data(files_of(content)), lambda: [one_input(DATASET)]
            ),
            Target("responses.parquet", self.responses, self._parquet_responses),
            Target("sealed answers.csv", self.sealed, lambda: [answers_of_the_tested()]),
            Target("answers of servers", served.check, served.seeds),
            Target("results folder", self.results, self._results_seeds),
        ]

    def _csv_seeds(self) -> list[bytes]:
        text = predictions_csv(self.dataset.test_ids, self.samples)
        return [text.encode(), b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()]

    def _gz_seeds(self) -> list[bytes]:
        return [gzip.compress(content, mtime=0) for content in self._csv_seeds()]

    def _stored_seeds(self) -> list[bytes]:
        return [self.run.content()]

    def _packed_seeds(self) -> list[bytes]:
        return [self.run.predictions_file.read_bytes()]

    def _results_seeds(self) -> list[bytes]:
        return [one_folder(self.sent_files())]

    def sent_files(self) -> list[Entry]:
        """What somebody adds to a folder of results: a run with its card."""
        folder = self.folder / "sent"
        if not folder.exists():
            Forger(self.dataset, PROTOCOL).run(folder, "mine", folder="new")
        return [("f", f"new/{path.name}", path.read_bytes()) for path in sorted((folder / "new").iterdir())]

    def _parquet(self) -> list[bytes]:
        return self._as_parquet(pd.read_csv(self.run.predictions_file))

    def _parquet_responses(self) -> list[bytes]:
        return self._as_parquet(self.dataset.responses)

    def _as_parquet(self, frame: pd.DataFrame) -> list[bytes]:
        seeds = []
        for options in ({}, {"compression": "none"}, {"compression": "none", "use_dictionary": False}):
            frame.to_parquet(self.folder / "seed.parquet", index=False, **options)
            seeds.append((self.folder / "seed.parquet").read_bytes())
        return seeds

    def _record_seeds(self) -> list[bytes]:
        drawn = RunRecord.model_validate(self.record | {"origin": "drawn"})
        old = json.loads(drawn.model_copy(update={"key": drawn.expected_key}).model_dump_json())
        del old["origin"], old["predictor"]["kind"]
        return [json.dumps(self.record).encode(), json.dumps(old | {"schema_version": 1}).encode()]


@contextlib.contextmanager
def ground(parent: Path | None = MEMORY) -> Iterator[Ground]:
    """A new ground, gone afterwards."""
    with tempfile.TemporaryDirectory(dir=parent) as folder:
        yield Ground(Path(folder))


@contextlib.contextmanager
def refusals() -> Iterator[list[PopeqError]]:
    """Keeps a PopeqError, which is an answer, and looks at what it says; anything else goes through."""
    refused: list[PopeqError] = []
    try:
        yield refused
    except InvalidInputError as error:
        refused.append(error)
        count = len(error.problems)
        _check_lines(str(error), lines=1 + min(count, error.shown) + (count > error.shown))
    except PopeqError as error:
        refused.append(error)
        _check_lines(str(error), lines=1)


def _check_lines(text: str, lines: int | None) -> None:
    """Something is said, in the lines that were promised, and it can be printed."""
    assert lines == 0 or text.strip()
    if lines is not None:
        assert len(text.splitlines()) == lines, text
    text.encode("utf-8")


def _reads_back(model: BaseModel) -> bool:
    return type(model).model_validate_json(model.model_dump_json()) == model


def answers_of_the_tested() -> bytes:
    """The responses of DATASET to its test prompts, a file of their own."""
    header, *rows = DATASET["responses.csv"].splitlines(keepends=True)
    return b"".join([header, *(row for row in rows if row[:2] in (b"p3", b"p4"))])


#: What lies in a folder of results: its kind (f file, l link, d folder, p pipe, s file of a size), its path
#: from there, and the content, what it leads to, or the size.
Entry = tuple[str, str, bytes]


def one_folder(entries: Sequence[Entry]) -> bytes:
    """Entries of a folder as one input."""
    return _END.join(
        f"{kind} {path}\n".encode("utf-8", "surrogatepass") + rest for kind, path, rest in entries
    )


def write_entries(folder: Path, content: bytes) -> None:
    """Make the entries of one input in a folder, never outside of it; what cannot be made is passed over."""
    for part in content.split(_END):
        head, _, rest = part.partition(b"\n")
        kind, _, name = head.decode("utf-8", "surrogateescape").partition(" ")
        if not name or "\0" in name or ".." in name.split("/") or name.startswith("/"):
            continue
        path = folder / name
        with contextlib.suppress(OSError, ValueError):
            path.parent.mkdir(parents=True, exist_ok=True)
            if any(parent.is_symlink() for parent in (path, *path.parents)):
                continue
            if kind == "l":
                path.symlink_to(os.fsdecode(rest))
            elif kind == "d":
                path.mkdir()
            elif kind == "p":
                os.mkfifo(path)
            elif path.exists() and not path.is_file():
                continue  # to open a pipe waits for somebody to read it
            elif kind == "s":
                with path.open("wb") as file:
                    file.truncate(min(int(rest), 1 << 40))
            else:
                path.write_bytes(rest)


def one_input(files: Mapping[str, bytes]) -> bytes:
    """The files of a data set as one input, in the order of DATASET."""
    return _END.join(files.get(name, b"") for name in DATASET)


def files_of(content: bytes) -> dict[str, bytes]:
    """The files in one input; an empty part is a file that is not there."""
    return {name: part for name, part in zip(DATASET, content.split(_END), strict=False) if part}
