"""One listener: what is known, what methods make of it, and gains and intervals where the truth is known."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist
from tests.bench.personal import CHEAP, World, studied
from tests.conftest import environment, write_small_dataset

import popeq
from popeq.errors import UsageError
from popeq.installing import pip_install
from popeq.metrics import energy_score
from popeq.space import PLANE
from popeq.statistics import Panels, family, mean_inference
from popeq.studies.one_listener import (
    OTHERS,
    OtherListeners,
    answers_of,
    drawn_answers,
    kinds_of,
)
from popeq.studies.personal_scores import UNCHANGED, Targets, groups_of, personal_cells
from popeq.studies.personalisers import METHODS, Known, MixedModel, Others, mixed, moved, spread_of


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """9 prompts by folds, each answered by the same 5 listeners."""
    return write_small_dataset(tmp_path_factory.mktemp("personal") / "data", folds=True, prompts=12)


@pytest.fixture(scope="module")
def answers(data):
    loaded = popeq.load_dataset(data)
    return answers_of(loaded, loaded.test_ids)


def test_known_answers_are_the_persons_own_to_other_prompts(data, answers):
    kinds = kinds_of(popeq.load_dataset(data), answers.prompts, "prompt")
    assert len(set(kinds)) == 12
    three = drawn_answers(answers, kinds, 3, 0, "small")
    assert len(three.targets) == 60
    assert three.left_out == 0
    assert (answers.person[three.known] == answers.person[three.targets, None]).all()
    assert (answers.prompt[three.known] != answers.prompt[three.targets, None]).all()
    assert all(len(set(row)) == 3 for row in three.known.tolist())
    one = drawn_answers(answers, kinds, 1, 0, "small")
    assert (one.known == three.known[:, :1]).all()
    again, other = (drawn_answers(answers, kinds, 3, seed, "small") for seed in (0, 1))
    assert (again.known == three.known).all()
    assert (other.known != three.known).any()
    # Prompts of one kind are no other prompts to each other.
    apart = drawn_answers(answers, np.arange(12) % 3, 8, 0, "small")
    kind = answers.prompt % 3
    assert (kind[apart.known] != kind[apart.targets, None]).all()
    assert (kinds_of(popeq.load_dataset(data), answers.prompts, "category") == 0).all()


def test_one_sentence_and_track_is_one_prompt(tmp_path):
    folder = write_small_dataset(tmp_path / "data", folds=True)
    rows = (folder / "prompts.csv").read_text().splitlines()
    cells = [row.split(",") for row in rows[1:]]
    cells[1][1] = cells[0][1].upper()
    cells[2][1] = cells[0][1] + "  "
    tracks = ["t1", "t1", "t2", *[""] * 9]
    lines = [f"{rows[0]},audio_id", *(",".join([*c, t]) for c, t in zip(cells, tracks, strict=True))]
    (folder / "prompts.csv").write_text("\n".join(lines) + "\n")
    loaded = popeq.load_dataset(folder)
    by_prompt, by_text = (kinds_of(loaded, loaded.test_ids, other) for other in ("prompt", "text"))
    assert by_prompt[0] == by_prompt[1] != by_prompt[2]
    assert len(set(by_prompt)) == 11
    assert by_text[0] == by_text[1] == by_text[2]
    assert len(set(by_text)) == 10
    with pytest.raises(UsageError, match=r"can differ by prompt, text, category, not by 'mood'"):
        kinds_of(loaded, loaded.test_ids, "mood")


def test_no_answer_is_part_of_its_own_population(answers):
    others = OtherListeners(answers)
    hidden = answers.person == 0
    for who, centres in ((~np.zeros_like(hidden), others.centres()), (~hidden, others.centres(hidden))):
        for place in range(0, 60, 7):
            same = (answers.prompt == answers.prompt[place]) & who
            same[place] = False
            assert centres[place] == pytest.approx(answers.points[same].mean(axis=0))
    assert others.cloud(7).mean(axis=0) == pytest.approx(others.centres()[7])
    assert len(others.cloud(7)) == 4


def test_the_spread_is_the_mean_product_of_pairs():
    rng = np.random.default_rng(0)
    person = np.array([0, 0, 0, 1, 1, 2, 3, 3, 3, 3])
    offsets = rng.normal(size=(10, 2)) / 4 + np.array([[2, -2], [-2, 2], [3, 1], [-2, -2]])[person]
    pairs = [(i, j) for i in range(10) for j in range(10) if i != j and person[i] == person[j]]
    expected = np.mean([offsets[i] * offsets[j] for i, j in pairs], axis=0)
    spread = spread_of(offsets, person)
    assert spread.total == pytest.approx((offsets**2).mean(axis=0))
    assert spread.common == pytest.approx(np.minimum(expected, spread.total))
    assert (spread.common > 3).all()
    # A tenth of the variance in common: nine tenths are each answer's own, so the half-way point is k = 9.
    assert spread._replace(total=np.ones(2), common=np.full(2, 0.1)).weight(9) == pytest.approx([0.5, 0.5])
    assert spread_of(offsets[[0, 3]], person[[0, 3]]).weight(5) == pytest.approx([0, 0])


def test_people_who_do_not_show_that_they_differ_are_taken_as_equal():
    rng = np.random.default_rng(10)
    person = np.repeat(np.arange(20), 8)
    found = []
    for _ in range(400):
        offsets = rng.normal(size=(160, 2)) + np.array([0.0, 0.7]) * rng.normal(size=(20, 2))[person]
        found.append(spread_of(offsets, person).common)
    shown = np.mean(np.array(found) > 0, axis=0)
    assert 0.01 < shown[0] < 0.08  # of people who do not differ
    assert shown[1] > 0.9
    assert np.mean(found, axis=0)[1] == pytest.approx(0.49, rel=0.1)


def test_the_mixed_model_conditions_as_the_normal_distribution_does():
    """Against the joint distribution of known and wanted answers, conditioned directly."""
    rng = np.random.default_rng(1)
    root = rng.normal(size=(3, 3)) * 0.5
    model = MixedModel(np.array([1.5, 0.8]), np.array([0.3, -0.2]), root @ root.T, 0.7)
    k = 4
    known = Known(rng.normal(size=(6, 2)), rng.normal(size=(6, k, 2)), rng.normal(size=(6, k, 2)))
    change = model(known)
    for t in range(6):
        rows = np.zeros((k + 1, 2, 3))
        centres = np.vstack([known.centres[t], known.centre[t]])
        rows[:, 0, 0] = rows[:, 1, 1] = 1.0
        rows[:, :, 2] = (centres - model.origin) / model.scale
        flat = rows.reshape(-1, 3)
        joint = flat @ model.effects @ flat.T + 0.7 * np.eye(2 * k + 2)
        gain = joint[-2:, :-2] @ np.linalg.inv(joint[:-2, :-2])
        mean = gain @ (known.offsets[t] / model.scale).ravel()
        left = joint[-2:, -2:] - gain @ joint[:-2, -2:]
        assert change.shift[t] == pytest.approx(mean * model.scale)
        assert change.factor[t] ** 2 == pytest.approx(np.diag(left) / np.diag(joint[-2:, -2:]))


def test_reml_finds_the_variances():
    """People's effects with known variances, 120 people; the standard errors are about a tenth of them."""
    answers, run = World(0.8, strength=0.5, people=120, each=12).answers(np.random.default_rng(2))
    centres = run.centres()
    model = mixed(Others(centres, answers.points - centres, answers.person), strength=True)
    found = np.diag(model.effects) * np.array([*(model.scale**2), 1.0])
    assert found == pytest.approx([0.64, 0.64, 0.25], rel=0.35)
    assert model.residual * model.scale**2 == pytest.approx([2.25, 2.25], rel=0.1)


@pytest.mark.parametrize("name", METHODS)
def test_nothing_known_changes_nothing_and_equal_people_stay(name):
    answers, run = World(0.0, people=12, each=10).answers(np.random.default_rng(3))
    centres = run.centres()
    offsets = answers.points - centres
    method = METHODS[name](Others(centres, offsets, answers.person))
    nothing = method(Known(centres[:5], np.zeros((5, 0, 2)), np.zeros((5, 0, 2))))
    assert nothing.shift == pytest.approx(np.zeros((5, 2)))
    assert nothing.factor == pytest.approx(np.ones((5, 2)))
    same = METHODS[name](Others(centres, np.zeros_like(offsets), answers.person))
    known = Known(centres[:5], centres[:20].reshape(5, 4, 2), np.zeros((5, 4, 2)))
    assert same(known).shift == pytest.approx(np.zeros((5, 2)))


def test_where_reml_has_no_solution_the_moments_are_used(monkeypatch):
    from statsmodels.regression.mixed_linear_model import MixedLM

    def singular(*_, **__):
        raise np.linalg.LinAlgError("Singular matrix")

    answers, run = World(1.0, people=12, each=10).answers(np.random.default_rng(4))
    centres = run.centres()
    others = Others(centres, answers.points - centres, answers.person)
    monkeypatch.setattr(MixedLM, "fit", singular)
    known = Known(centres[:8], centres[:40].reshape(8, 5, 2), others.offsets[:40].reshape(8, 5, 2))
    found, expected = mixed(others, strength=True)(known), moved(others)(known)
    assert found.shift == pytest.approx(expected.shift, rel=0.2, abs=0.1)


@pytest.mark.parametrize("population", ["the other listeners", "a run that is wrong"])
def test_a_score_is_the_energy_score_of_the_changed_population(population):
    """A person's offset is from the other listeners, also where a run that is wrong is changed."""
    world = World(1.5, people=8, prompts=12, each=12, samples=20, bias=1.0, shift=1.0)
    answers, run = world.answers(np.random.default_rng(3))
    answers = replace(answers, points=PLANE.clip(answers.points))
    others = OtherListeners(answers)
    changed = others if population == "the other listeners" else replace(run, answers=answers)
    drawn = drawn_answers(answers, np.arange(12), 4, 0, "small")
    groups = groups_of(answers, 0, "small")
    (cells,) = personal_cells([changed], drawn, (0, 4), groups, PLANE, methods=("moved",))
    assert set(cells) == {(UNCHANGED, 0), ("moved", 4)}
    place = drawn.targets[11]
    mine, theirs = answers.points[place], changed.cloud(place)
    before = cdist(theirs, mine[None]).mean() - pdist(theirs).mean() / 2
    assert cells[UNCHANGED, 0].scores[11] == pytest.approx(before)
    # People of the person's own group are no part of what the shift's weight comes from.
    hidden = groups[answers.person] == groups[answers.person[place]]
    centres = others.centres(hidden)
    weight = spread_of((answers.points - centres)[~hidden], answers.person[~hidden]).weight(4)
    assert (weight > 0.3).all()
    own = drawn.known[11]
    offset = (answers.points[own] - others.centres()[own]).mean(axis=0)
    after = PLANE.clip(theirs + weight * offset)
    assert cells["moved", 4].scores[11] == pytest.approx(energy_score(after, mine[None]))
    outside = ~PLANE.contains(theirs + weight * offset)
    assert cells["moved", 4].edge[11] == outside.mean()


def test_the_gain_is_what_the_model_says():
    """Within 10 % of the closed form, and nothing where people do not differ."""
    world = World(1.5, people=120, prompts=60, each=12, samples=30, exact=True)
    found = {}
    for seed in range(2):
        _, run = world.answers(np.random.default_rng([seed, 5]))
        _, targets, cells = studied(run, (2, 10), CHEAP)
        for key, cell in cells.items():
            found.setdefault(key, []).append(targets.mean(cell.scores - cells[UNCHANGED, 0].scores).value)
    for method in CHEAP:
        for k in (2, 10):
            expected = world.gain(k, narrowed=method != "moved")
            assert np.mean(found[method, k]) == pytest.approx(expected, rel=0.1), (method, k)
    _, run = World(0.0, people=60, each=12, samples=30).answers(np.random.default_rng(6))
    _, targets, cells = studied(run, (2, 10), tuple(METHODS))
    for (name, k), cell in cells.items():
        shift = targets.mean(cell.scores - cells[UNCHANGED, 0].scores)
        low, high = shift.interval()
        assert abs(shift.value) < 0.01, (name, k)
        assert low - 0.005 <= 0.0 <= high + 0.005, (name, k)


@pytest.mark.parametrize("wrong", [{"bias": 1.0}, {"shift": 1.0}])
def test_a_runs_error_for_everybody_is_no_worth_of_a_person(wrong):
    """Nobody differs: a run that is off in each prompt, or everywhere, gains nothing; people who differ gain
    what the closed form says."""
    _, run = World(0.0, people=60, prompts=60, each=12, samples=30, **wrong).answers(np.random.default_rng(6))
    _, targets, cells = studied(run, (2, 10), tuple(METHODS))
    for (name, k), cell in cells.items():
        shift = targets.mean(cell.scores - cells[UNCHANGED, 0].scores)
        assert abs(shift.value) < 0.01, (name, k)
    world = World(0.7, people=60, prompts=60, each=12, samples=30, exact=True, **wrong)
    found = []
    for seed in range(3):
        _, run = world.answers(np.random.default_rng([seed, 13]))
        _, targets, cells = studied(run, (10,), ("moved",))
        found.append(targets.mean(cells["moved", 10].scores - cells[UNCHANGED, 0].scores).value)
    if world.bias:
        assert np.mean(found) == pytest.approx(world.gain(10, narrowed=False), rel=0.25)
    assert np.mean(found) < -0.03


def test_strength_is_learnt_where_people_differ_in_it():
    _, run = World(0.3, strength=0.6, people=40, each=12, samples=30).answers(np.random.default_rng(7))
    _, targets, cells = studied(run, (10,), ("moved, narrowed", "mixed, strength"))
    before = cells[UNCHANGED, 0].scores
    plain = targets.mean(cells["moved, narrowed", 10].scores - before).value
    strength = targets.mean(cells["mixed, strength", 10].scores - before).value
    assert strength < plain - 0.05
    assert abs(plain) < 0.02


def test_means_are_over_prompts_and_people():
    prompt = np.array([3, 0, 3, 0, 5, 5, 5, 7, 7, 8, 8, 9, 9])
    people = [f"l{i % 4}" for i in range(13)]
    values = np.random.default_rng(8).normal(size=13)
    found = Targets(prompt, people).mean(values)
    panels, means, influence = [], [], []
    for p in np.unique(prompt):
        at = np.flatnonzero(prompt == p)
        panels.append([people[i] for i in at])
        means.append(values[at].mean())
        influence.append(values[at] - values[at].mean())
    assert found == mean_inference(means, influence, Panels(panels))


def test_variants_of_one_method_are_adjusted_by_less_than_unrelated_ones():
    rng = np.random.default_rng(9)
    prompts, people = 40, 15
    panels = Panels([[f"l{j}" for j in range(people)]] * prompts)

    def level(same):
        common = rng.normal(size=(prompts, people)) + rng.normal(size=people)
        rows = [common] * 5
        if not same:
            rows = [rng.normal(size=(prompts, people)) + rng.normal(size=people) for _ in range(5)]
        means = [row.mean(axis=1) for row in rows]
        influence = [list(row - row.mean(axis=1, keepdims=True)) for row in rows]
        found = family(means, influence, panels, np.random.default_rng(0))
        own = [mean_inference(m, i, panels).p_value for m, i in zip(means, influence, strict=True)]
        assert (found.p_family >= own).all()
        return found.level

    assert level(True) == pytest.approx(0.05, abs=0.01)
    assert level(False) == pytest.approx(1 - 0.95**0.2, abs=0.003)  # Sidak's, 0.0102
    with pytest.raises(ValueError, match="scores must be"):
        family(np.zeros((2, 3)), [], panels, rng)


@pytest.fixture(scope="module")
def study(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    popeq.run("prior", data, seeds=(0, 1), runs_dir=folder)
    return popeq.personal([folder], own=(0, 1, 3))


def test_the_table_has_every_population_method_and_number(study, data, answers, tmp_path):
    table = study.table.set_index(["population", "method", "own"])
    rows = [(UNCHANGED, 0), *((m, k) for m in METHODS for k in (1, 3))]
    assert set(table.index) == {(p, *row) for p in (OTHERS, "prior") for row in rows}
    scores = [
        energy_score(OtherListeners(answers).cloud(i), answers.points[i][None])
        for i in range(len(answers.person))
    ]
    assert table.loc[(OTHERS, UNCHANGED, 0), "mean"] == pytest.approx(np.mean(scores))
    for label in (OTHERS, "prior"):
        before = table.loc[(label, UNCHANGED, 0), "mean"]
        own = table.loc[label].drop(index=(UNCHANGED, 0))
        assert own["shift"].tolist() == pytest.approx((own["mean"] - before).tolist())
        assert (own["shift_low"] <= own["shift"]).all()
        assert (own["p_family"] >= own["p_value"]).all()
    assert np.isnan(table.loc[("prior", UNCHANGED, 0), "shift"])
    worth = [note for note in study.notes if note.startswith("What personalising is worth")]
    best = table.loc["prior"].xs(3, level="own")["shift"].min()
    assert len(worth) == 2
    assert best == 0.0  # five people do not show that they differ
    assert "(moved) does not lower the energy score of" in worth[1]
    assert "the shift is 0.000 dB" in worth[1]
    assert any("60 answers of 5 people, each with 3 own answers" in note for note in study.notes)
    assert any(
        note.startswith("People: all test answers are by listeners who are also") for note in study.notes
    )
    assert any("SIMULATED" in note for note in study.notes)
    for name in ("one.svg", "two.svg"):
        study.picture(tmp_path / name)
    assert (tmp_path / "one.svg").read_bytes() == (tmp_path / "two.svg").read_bytes()
    again = popeq.personal(dataset=data, own=(3, 1))
    mine = study.table[study.table["population"] == OTHERS].reset_index(drop=True)
    assert again.table.equals(mine)


def test_groups_of_prompts(data):
    table = popeq.personal(dataset=data, own=(1,), by="category").table
    assert set(table["category"]) == {"colour"}
    with pytest.raises(UsageError, match="split by"):
        popeq.personal(dataset=data, by="mood")


def test_groups_of_listeners_are_data_sets_of_their_own(data, tmp_path):
    folder = shutil.copytree(data, tmp_path / "data")
    groups = "".join(f"l{i},{'ab'[i > 4]}\n" for i in range(10))
    (folder / "listeners.csv").write_text(f"listener_id,group\n{groups}")
    rows = (folder / "responses.csv").read_text().splitlines()
    more = [f"{p},l{int(w[1:]) + 5},{x},{y}" for p, w, x, y in (row.split(",") for row in rows[1:])]
    (folder / "responses.csv").write_text("\n".join([*rows, *more]) + "\n")
    with pytest.raises(UsageError, match=r"^small: popeq personal splits its table by groups of prompts"):
        popeq.personal(dataset=folder, own=(1,), by="group")
    view = popeq.load_dataset(f"{folder}@group-a")
    assert answers_of(view, view.test_ids).people == tuple(f"l{i}" for i in range(5))


def _without_repeats(folder):
    file = folder / "responses.csv"
    header, *rows = file.read_text().splitlines()
    cells = [row.split(",") for row in rows]
    file.write_text("\n".join([header, *(f"{p},{p}-{w},{x},{y}" for p, w, x, y in cells)]) + "\n")
    return folder


def test_errors_are_one_line_that_says_what_to_do(data, tmp_path, monkeypatch):
    single = _without_repeats(write_small_dataset(tmp_path / "single", folds=True))
    with pytest.raises(
        UsageError, match=r"^small: each listener id has a single answer to the tested prompts"
    ):
        popeq.personal(dataset=single)
    with pytest.raises(UsageError, match=r"nobody has 12 answers to other prompts; the most .* has is 11"):
        popeq.personal(dataset=data, own=(0, 12))
    with pytest.raises(UsageError, match="answers to other prompts; the most that anybody has is 0"):
        popeq.personal(dataset=data, own=(1,), other="category")
    for own in ((), (0,), (-1, 2)):
        with pytest.raises(UsageError, match="own needs whole numbers"):
            popeq.personal(dataset=data, own=own)
    few = write_small_dataset(tmp_path / "few", folds=True)
    file = few / "responses.csv"
    file.write_text("".join(line for line in file.open() if ",l4," not in line))
    with pytest.raises(UsageError, match="4 people have two answers or more"):
        popeq.personal(dataset=few, own=(1,))
    monkeypatch.setitem(sys.modules, "statsmodels.regression.mixed_linear_model", None)
    with pytest.raises(
        UsageError, match=f"needs statsmodels; install it with: {re.escape(pip_install('studies'))}"
    ):
        popeq.personal(dataset=data, own=(1,))


def test_sealed_answers(tmp_path, popeq):
    write_small_dataset(tmp_path / "open", prompts=16)
    popeq("data", "seal", "open", "-o", "sealed", "--answers", "answers.csv")
    refused = popeq("personal", "--dataset", "sealed")
    assert refused.returncode == 2
    assert "sealed" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    made = popeq(
        "personal", "--dataset", "sealed", "--answers", "answers.csv", "--own", "0,2", "--format", "csv"
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout.startswith("population,method,own,mean")


def test_statsmodels_is_imported_when_it_is_needed_alone():
    code = "import sys, popeq.cli, popeq.studying; sys.exit('statsmodels' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment(), check=False).returncode == 0
