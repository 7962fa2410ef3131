"""A law: no forged addition changes what belongs to others without a word."""

from __future__ import annotations

import itertools
import shutil
from collections import Counter
from collections.abc import Collection
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import popeq
from popeq.board.judge import judge
from popeq.board.report import report
from popeq.board.signing import sign
from popeq.dataset import Dataset
from popeq.metrics import HEADLINE
from popeq.runs.folder import Run
from tests.attacks.world import ALICE, PROTOCOL
from tests.forger import CARD, Forger

HONEST = st.lists(
    st.tuples(st.sampled_from(["a", "b", "c"]), st.integers(0, 1), st.floats(-4, 4)),
    min_size=1,
    max_size=4,
    unique_by=lambda run: run[:2],
)
OWNERS = (None, ALICE, CARD | {"authors": ["Bob"], "contact": "bob@example.org"})
FORGED = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b", "c", "A", "d", "prior"]),
        "seed": st.integers(0, 2),
        "parameters": st.sampled_from([{}, {}, {"k": 1}]),
        "origin": st.sampled_from(["drawn", "drawn", "submitted"]),
        "card": st.sampled_from([CARD, CARD, *OWNERS]),
        "centre": st.floats(-5, 5),
        "key": st.sampled_from(["own", "own", "taken", "0" * 64]),
        "folder": st.sampled_from(["0-first", "z-last"]),
        "n": st.sampled_from([12, 12, 12, 5]),
    }
)


def rows_of(
    board: Path, dataset: Dataset, among: Collection[str] | None = None
) -> dict[str, dict[str, object]]:
    """Each row of a board, by the folder of its first run: its cells but the rank, its runs, its scores by
    prompt, and how many rows ``among`` some (default: all) are significantly better and worse."""
    found = popeq.leaderboard([board], dataset)
    cells = found.table.drop(columns=["rank", "rank_worst"]).to_dict(orient="records")
    names = [entry.runs[0].folder.name for entry in found.entries]
    others = [j for j, name in enumerate(names) if among is None or name in among]
    means = np.array([entry.mean for entry in found.entries])
    differ = found.pairs.p < 0.05
    return {
        name: cells[i]
        | {"runs": [r.folder.name for r in entry.runs], "all": entry.table.scores(HEADLINE).tolist()}
        | {"better": int(sum(differ[i, j] and means[j] < means[i] for j in others))}
        | {"worse": int(sum(differ[i, j] and means[j] > means[i] for j in others))}
        for i, (name, entry) in enumerate(zip(names, found.entries, strict=True))
    }


def test_no_forged_addition_changes_what_belongs_to_others_without_a_word(base, tmp_path):
    """Random boards with owners, and a random run added: refused or said, or every row is as it was.

    A rank is that among the rows that were there: as many of these are significantly better and worse.
    """
    outcomes: Counter[bool] = Counter()
    made = itertools.count()

    @settings(max_examples=40, suppress_health_check=list(HealthCheck))
    @given(HONEST, FORGED)
    def check(honest, forged):
        root = tmp_path / str(next(made))
        before, after = root / "before" / "small", root / "after" / "small"
        for name, seed, centre in honest:
            own = {"seed": seed, "card": OWNERS["abc".index(name)]}
            points = base.forger.samples(seed, centre)
            base.forger.run(before, name, folder=f"r-{name}-{seed}", points=points, **own)
        sign(before, base.dataset, PROTOCOL)
        shutil.copytree(before, after)
        forged = dict(forged)
        key, n, centre = forged.pop("key"), forged.pop("n"), forged.pop("centre")
        if key != "own":
            name, seed, _ = honest[0]
            forged["key"] = Run.open(before / f"r-{name}-{seed}").record.key if key == "taken" else key
        forger = Forger(base.dataset, PROTOCOL.model_copy(update={"n_samples": n}))
        forger.run(after, points=forger.samples(5, centre), **forged)
        found = judge(before.parent, after.parent, dataset_of={"small": base.dataset}.__getitem__)
        outcomes[found.ok] += 1
        if not found.ok:
            assert "\n! " in report(found)
            return
        old = rows_of(before, base.dataset)
        new = rows_of(after, base.dataset, among=old)
        assert list(old) == [name for name in new if name in old]
        assert len(new) == len(old) + 1
        for name, row in old.items():
            assert repr(row) == repr(new[name])

    check()
    assert outcomes[True] >= 3
    assert outcomes[False] >= 3
