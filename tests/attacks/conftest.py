"""A signed board with three rows of the maintainers and one of somebody else, and clones of it."""

from __future__ import annotations

import shutil

import pytest

from popeq.board.signing import sign
from popeq.dataset_folder import read_dataset
from tests.attacks.world import ALICE, PROTOCOL, World, git
from tests.conftest import write_small_dataset
from tests.forger import Forger


@pytest.fixture(scope="session")
def base(tmp_path_factory) -> World:
    """Three rows of the maintainers, of which one has two seeds, and one of Alice's, on main."""
    root = tmp_path_factory.mktemp("base")
    dataset = read_dataset(write_small_dataset(root / "data", prompts=16))
    world = World(root / "repository", dataset, Forger(dataset, PROTOCOL))
    forger = world.forger
    for name, seed, centre in (("knn", 0, 0.3), ("knn", 1, 0.3), ("prior", 0, 0.0), ("flat", 0, 5.0)):
        own = {"seed": seed, "points": forger.samples(seed + 10, centre), "card": None}
        forger.run(world.board, name, folder=f"20250101T000000Z-{name}-{seed}", **own)
    points = forger.samples(20, -1.0)
    forger.run(world.board, "hers", points=points, card=ALICE, folder="20250101T000000Z-hers-0")
    sign(world.board, dataset, PROTOCOL)
    shutil.rmtree(world.board / ".locks")
    git("init", "--quiet", cwd=world.clone)
    git("add", ".", cwd=world.clone)
    git("commit", "--quiet", "-m", "begin", cwd=world.clone)
    return world


@pytest.fixture
def world(base, tmp_path) -> World:
    git("clone", "--quiet", str(base.clone), str(tmp_path / "clone"), cwd=tmp_path)
    git("switch", "--quiet", "-c", "mine", cwd=tmp_path / "clone")
    return base._replace(clone=tmp_path / "clone")
