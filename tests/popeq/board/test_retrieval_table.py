"""Retrieval diagnostics of a run: near 1 where what reads alike is set alike, -1 in the reverse."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import popeq
from popeq.board.retrieval import retrieval_table
from popeq.metrics import point_wasserstein
from popeq.runs.folder import Run


def test_the_rank_correlation_of_each_prompt(finished, tmp_path):
    data = popeq.load_dataset(finished.data)
    folder = shutil.copytree(finished.runs["prior"].folder, tmp_path / "run")
    train = data.stages[0].train
    own = data.test_ids[:3]

    def found(prompt_id, sign):
        apart = {t: point_wasserstein(data.points(prompt_id), data.points(t)) for t in train}
        ordered = sorted(train, key=lambda t: sign * apart[t])
        return [{"prompt_id": t, "similarity": sign * -apart[t]} for t in ordered]

    retrieved = [
        {"prompt_id": own[0], "retrieved": found(own[0], 1)},
        {"prompt_id": own[1], "retrieved": found(own[1], -1)},
        {"prompt_id": own[2], "retrieved": found(own[2], 1)[:1]},
        {"prompt_id": data.test_ids[3], "retrieved": []},
    ]
    (folder / "explanations.jsonl").write_text("".join(json.dumps(t) + "\n" for t in retrieved))
    table = retrieval_table(Run.open(folder), data)
    assert list(table["prompt_id"]) == list(own)
    assert table["rank_correlation"][0] == pytest.approx(1.0)
    assert table["rank_correlation"][1] == pytest.approx(-1.0)
    assert np.isnan(table["rank_correlation"][2])
    assert list(table["retrieved"]) == [6, 6, 1]


def test_a_run_that_retrieved_nothing_has_no_rows(finished):
    data = popeq.load_dataset(finished.data)
    assert len(retrieval_table(finished.runs["prior"], data)) == 0
