"""A clone of a repository with a signed board, and what is said of a pull request from it."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NamedTuple

from popeq.board.judge import FILES, Judgement, judge
from popeq.board.report import report
from popeq.changed_tree import changed_folders
from popeq.dataset import Dataset
from popeq.protocol import PROTOCOL_1
from tests.forger import CARD, Forger

PROTOCOL = PROTOCOL_1.model_copy(update={"n_samples": 12, "grid_cells": 8})
ALICE = CARD | {"authors": ["Alice"], "contact": "alice@example.org"}
RESULTS = "leaderboard/results"


def git(*arguments: str, cwd: Path, content: bytes = b"") -> str:
    """What git prints, with nothing of this machine's configuration."""
    env = {**os.environ, "GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    words = ["git", *who, *arguments]
    return subprocess.run(
        words, cwd=cwd, env=env, input=content, capture_output=True, check=True
    ).stdout.decode()


class World(NamedTuple):
    """A contributor's clone of a repository with a signed board, and what a submission needs."""

    clone: Path
    dataset: Dataset
    forger: Forger

    @property
    def board(self) -> Path:
        return self.clone / RESULTS / "small"

    def published(self, name: str) -> Path:
        """The folder of a published run, by its predictor and seed."""
        return self.board / f"20250101T000000Z-{name}"

    def commit(self) -> None:
        """Commit everything that the clone has."""
        git("add", "-A", "-f", cwd=self.clone)
        git("commit", "--quiet", "--allow-empty", "-m", "propose", cwd=self.clone)

    def judge(
        self, base: str = "origin/main", head: str = "", results: str = RESULTS
    ) -> tuple[Judgement, str]:
        """What is said of a pull request of a commit (default: of everything that the clone has), and the
        report."""
        if not head:
            self.commit()
        with changed_folders(self.clone, base, head or "HEAD", results, FILES) as (before, after):
            found = judge(before, after, dataset_of={"small": self.dataset}.__getitem__)
        return found, report(found)

    def refused(self, says: str) -> str:
        """The report of a submission that must not pass and says why; nothing is said of others' scores."""
        found, text = self.judge()
        assert not found.ok
        assert re.search(says, text), text
        return text
