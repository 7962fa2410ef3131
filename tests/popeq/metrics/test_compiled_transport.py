"""The compiled solver against POT: the same exact values, and approximate ones within what they prove."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from popeq.metrics import DensitySettings, Target, transport
from popeq.metrics import compiled as compiled_module
from popeq.metrics.kde import densities, grid_of
from popeq.metrics.transport import grid_transport, grid_wasserstein, point_wasserstein
from popeq.space import PLANE, Space


def narrow(rng, cells):
    """A peak far narrower than a block of the coarser grids, over a background at the level of rounding."""
    at = np.arange(cells)
    x, y = (np.exp(-(((at - rng.uniform(0, cells)) / 0.8) ** 2)) for _ in range(2))
    return np.outer(x, y).ravel() + 1e-18 * rng.random(cells**2)


GRID = grid_of(PLANE, 24)
KINDS = {
    "dense": lambda rng, n: rng.random(n),
    "peaked": lambda rng, n: rng.random(n) ** 8,
    "sparse": lambda rng, n: (rng.random(n) < 0.1) + np.eye(n)[0],
    "one point": lambda rng, n: np.eye(n)[rng.integers(n)],
    "flat": lambda _, n: np.ones(n),
    "narrow": lambda rng, n: narrow(rng, round(n**0.5)),
    "with ties": lambda rng, n: np.round(3 * rng.random(n)) + np.eye(n)[0],
}


def by_pot(a, b, grid):
    """The exact distance from POT, though numba is installed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "compiled", lambda: None)
        return grid_wasserstein(a, b, grid)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    kinds=st.tuples(*[st.sampled_from(sorted(KINDS))] * 2),
    cells=st.sampled_from([2, 3, 5, 6, 8, 12, 14, 24]),
    space=st.sampled_from([PLANE, Space(-3, 9, 0, 4)]),
)
def test_it_solves_what_pot_solves(seed, kinds, cells, space):
    rng = np.random.default_rng(seed)
    a, b = (KINDS[kind](rng, cells**2) for kind in kinds)
    a, b, grid = a / a.sum(), b / b.sum(), grid_of(space, cells)
    exact = by_pot(a, b, grid)
    assert transport.compiled() is not None
    found, near = grid_transport(a, b, grid), grid_transport(a, b, grid, 0.005)
    assert grid_wasserstein(a, b, grid) == found.cost == pytest.approx(exact, abs=1e-9)
    assert found.potential @ (a - b) == pytest.approx(exact, abs=1e-9)
    assert abs(near.cost - exact) <= near.error + 1e-12
    assert near.error <= 0.005 * near.cost + 1e-15
    steepness = np.abs(near.potential[:, None] - near.potential) - grid.distances
    assert steepness.max() <= 1e-9


def test_a_greedy_plan_is_a_good_start():
    """Feasible without a repair, and near the optimum: the simplex then has little left to do."""
    from popeq.metrics.greedy_plan import greedy
    from popeq.metrics.multilevel import _between, _scattered
    from popeq.metrics.spanning_tree import spanning_tree
    from popeq.metrics.vectors import padded_distances

    rng = np.random.default_rng(4)
    excess = []
    for _ in range(20):
        a, b = (
            densities(PLANE.clip(rng.normal(rng.normal(0, 2, 2), 2, (n, 2))), GRID, 0.3)[1] for n in (110, 11)
        )
        difference = a - b
        sources, sinks = _scattered(difference, 24, 1.0), _scattered(difference, 24, -1.0)
        p, q = difference[sources], -difference[sinks]
        q *= p.sum() / q.sum()
        half = grid_of(PLANE, 12)
        blocks = (m.reshape(12, 2, 12, 2).sum((1, 3)).ravel() for m in (a, b))
        guess = grid_transport(*blocks, half).potential
        near = padded_distances(GRID.centres[sources].T.copy(), GRID.centres[sinks].T.copy())
        at_sinks = np.zeros(near.shape[1], np.float32)
        at_sinks[: len(sinks)] = _between(guess, sinks, 12, -1.0)
        n = len(p) + len(q)
        starts, ends = np.empty(n, np.int32), np.empty(n, np.int32)
        arcs = greedy(near, _between(guess, sources, 12, 1.0), at_sinks, p, q, 1.0, starts, ends)
        assert arcs == n - 1, "a tree: no cycle, nothing left over"
        parent, flow, order = np.empty(n, np.int32), np.empty(n), np.empty(n, np.int32)
        assert spanning_tree(starts, ends, arcs, p, q, parent, flow, order) >= -1e-12
        moved = [(x, y) if x < len(p) else (y, x) for x, y in enumerate(parent) if y >= 0]
        cost = sum(
            f * GRID.distances[sources[s], sinks[t - len(p)]]
            for (s, t), f in zip(moved, flow[parent >= 0], strict=True)
        )
        excess.append(cost / by_pot(a, b, GRID) - 1.0)
    assert np.mean(excess) <= 0.004, "0.0031; 0.0043 if sources are taken in any order"


def test_a_guess_between_blocks_is_linear():
    """A slope of the blocks is that of the cells, but for the outermost, which have one neighbour."""
    from popeq.metrics.multilevel import _between

    x, y = np.indices((6, 6))
    cells = np.arange(144, dtype=np.int32)
    found = _between((2.0 * x - 3.0 * y).ravel(), cells, 6, -1.0).reshape(12, 12)
    i, j = np.clip((np.indices((12, 12)) - 0.5) / 2.0, 0.0, 5.0)
    assert found == pytest.approx(-(2.0 * i - 3.0 * j), abs=1e-6)


def test_a_grid_whose_surplus_is_rounding_has_an_empty_plan():
    """Blocks of a coarser grid can cancel but for rounding, with no deficit at all: nothing moves there."""
    from popeq.metrics.multilevel import solve

    for sign in (1.0, -1.0):
        difference = sign * np.array([1e-17, 0.0, 3e-18, 0.0])
        upper, lower, potential, done = solve(difference, 2, 1.0, 1.0, 0.0, 1e-12)
        assert (upper, lower, done) == (0.0, 0.0, True)
        assert (potential == 0.0).all()


def test_without_numba_pot_solves_and_is_exact(monkeypatch):
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(36), 2)
    grid = grid_of(PLANE, 6)
    compiled = grid_transport(a, b, grid)
    transport.compiled.cache_clear()
    monkeypatch.setattr(compiled_module, "find_spec", lambda _: None)
    try:
        assert transport.compiled() is None
        uncompiled = grid_transport(a, b, grid, 0.005)
    finally:
        transport.compiled.cache_clear()
    assert uncompiled.error == 0.0
    assert uncompiled.cost == pytest.approx(compiled.cost, abs=1e-12)


def test_compiling_beforehand_compiles_what_scores_use():
    from popeq.metrics import kernel_sums, multilevel, pair_distances, point_simplex

    transport.compile_solver()
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 2, (2, 7)).T  # neither the order nor the flags of the arrays matter
    samples.setflags(write=False)
    Target(rng.normal(0, 2, (5, 2)), PLANE, DensitySettings()).score(samples)
    assert len(multilevel.solve.signatures) == 1
    assert len(point_simplex.solve.signatures) == 1
    assert len(kernel_sums.summed.signatures) == 1
    assert len(pair_distances.summed.signatures) == 1


@settings(max_examples=200, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.tuples(*[st.integers(1, 60)] * 2) | st.just((110, 11)) | st.just((40, 40)),
    step=st.sampled_from([0.0, 0.1, 1.0, 6.0]),
    width=st.sampled_from([1e-6, 1.0, 1e6, 1e18]),
)
def test_points_are_solved_as_pot_solves_them(seed, sizes, step, width):
    """Ties of all kinds: points on a lattice, equal points, amounts that divide one another."""
    rng = np.random.default_rng(seed)
    x, y = (PLANE.clip(rng.normal(rng.normal(0, 2, 2), rng.uniform(0, 3), (n, 2))) for n in sizes)
    if step:
        x, y = np.round(x / step) * step, np.round(y / step) * step
    found = point_wasserstein(width * x, width * y)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(transport, "compiled", lambda: None)
        assert found / width == pytest.approx(point_wasserstein(x, y), abs=1e-9)
    assert transport.compiled().points(x, y, 1e-12)[1], "not given up"


def test_boxes_too_wide_for_single_precision_are_left_to_pot():
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(36), 2)
    wide = grid_of(Space(-1e18, 1e18, -1e18, 1e18), 6)
    assert grid_wasserstein(a, b, wide) / 1e18 == pytest.approx(
        grid_wasserstein(a, b, grid_of(Space(-1, 1, -1, 1), 6)), rel=1e-9
    )


def test_many_points_take_little_memory():
    """Memory goes with the smaller set times the larger; sets of 50,000 points below each would be 300 MB."""
    program = """
import resource, numpy as np
from popeq.metrics.transport import point_wasserstein
rng = np.random.default_rng(0)
point_wasserstein(*rng.normal(size=(2, 3, 2)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
x, y = rng.normal(size=(50_000, 2)), np.zeros((1, 2))
assert abs(point_wasserstein(x, y) - np.hypot(*x.T).mean()) < 1e-9
assert abs(point_wasserstein(y, x) - np.hypot(*x.T).mean()) < 1e-9
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 100_000


def test_no_points_are_an_error():
    with pytest.raises(ValueError, match="there must be points on both sides, not 0 and 3"):
        point_wasserstein(np.zeros((0, 2)), np.zeros((3, 2)))


@pytest.mark.parametrize("sinks", [5, 64, 65, 200])
def test_the_sets_of_a_tree_stay_those_of_that_tree(sinks):
    """After each of many pivots sets hold what stands below, and potentials fit the arcs."""
    from popeq.metrics.basis_tree import pivot, tree_of
    from popeq.metrics.spanning_tree import northwest, spanning_tree

    rng = np.random.default_rng(sinks)
    ns, nt = 14, sinks
    n = ns + nt
    cost, p, q = rng.random((ns, nt)), rng.dirichlet(np.ones(ns)), rng.dirichlet(np.ones(nt))
    starts, ends = np.empty(n, np.int32), np.empty(n, np.int32)
    parent, flow, order = np.empty(n, np.int32), np.empty(n), np.empty(n, np.int32)
    spanning_tree(starts, ends, northwest(p, q, starts, ends), p, q, parent, flow, order)
    assert order[0] >= ns, "the root is a sink"
    lengths = np.array(
        [0.0 if y < 0 else -cost[x, y - ns] if x < ns else cost[y, x - ns] for x, y in enumerate(parent)]
    )
    tree, root = tree_of(ns, parent, flow, order, lengths), order[0]
    for _ in range(100):
        potential = tree.potential[:nt]
        own = np.array([cost[s, tree.parent[s] - ns] - potential[tree.parent[s] - ns] for s in range(ns)])
        reduced = cost - potential - own[:, None]
        source, sink = np.unravel_index(rng.choice(np.flatnonzero(np.abs(reduced) > 1e-9)), cost.shape)
        pivot(tree, np.uintp(source), np.uintp(ns + sink), reduced[source, sink])
        potential, balance, expected = tree.potential[:nt], np.zeros(n), np.zeros((n, nt), bool)
        for x in range(n):
            if x >= ns:
                expected[ancestors(tree.parent, x, root), x - ns] = True
            if x != root:
                s, t = (x, tree.parent[x]) if x < ns else (tree.parent[x], x)
                on_arc = cost[s, t - ns] - potential[t - ns]
                assert on_arc == pytest.approx(cost[s, tree.parent[s] - ns] - potential[tree.parent[s] - ns])
                balance[s] += tree.flow[x]
                balance[t] += tree.flow[x]
        bits = np.unpackbits(tree.below.view(np.uint8), axis=1, bitorder="little")
        assert (bits[:, :nt] == expected).all()
        assert not bits[:, nt:].any()
        assert balance == pytest.approx(np.concatenate((p, q)), abs=1e-12)
        assert tree.flow.min() >= -1e-12
        assert tree.rough == pytest.approx(tree.potential, abs=1e-5)


def ancestors(parent, x, root):
    """A node and all those above it."""
    found = [x]
    while found[-1] != root:
        found.append(int(parent[found[-1]]))
    return found


def test_a_wrong_start_is_noticed():
    """A tree whose plan would need negative flows is reported, not used."""
    from popeq.metrics.spanning_tree import northwest, spanning_tree

    p, q = np.array([0.5, 0.5]), np.array([0.5, 0.5])
    sources, sinks = np.array([0, 0, 1], np.int32), np.array([2, 3, 3], np.int32)
    parent, flow, order = np.empty(4, np.int32), np.empty(4), np.empty(4, np.int32)
    assert spanning_tree(sources, sinks, 3, p, q, parent, flow, order) == 0.0
    skewed = np.array([0.9, 0.1]), np.array([0.1, 0.9])
    assert spanning_tree(sources, sinks, 3, *skewed, parent, flow, order) >= 0.0
    crossed = np.array([0.1, 0.9]), np.array([0.9, 0.1])
    assert spanning_tree(sources, sinks, 3, *crossed, parent, flow, order) == pytest.approx(-0.8)
    arcs = northwest(*crossed, sources, sinks)
    assert arcs == 3
    assert spanning_tree(sources, sinks, 3, *crossed, parent, flow, order) >= 0.0


def test_an_approximate_score_says_how_far_off_it_can_be():
    rng = np.random.default_rng(5)
    samples, responses = rng.uniform(-6, 6, (110, 2)), PLANE.clip(rng.normal(2, 2, (11, 2)))
    exact = Target(responses).score(samples)
    near = Target(responses, settings=DensitySettings(tolerance=0.005)).score(samples)
    assert exact.error == {"reflective_kantorovich": 0.0, "kantorovich": 0.0}
    for name, error in near.error.items():
        assert 0 < error <= 0.005 * near.values[name]
        assert abs(near.values[name] - exact.values[name]) <= error
    with pytest.raises(ValueError, match="tolerance must be"):
        DensitySettings(tolerance=0.01)
