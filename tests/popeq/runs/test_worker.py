"""What the predictor's process is given, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import write_small_dataset

from popeq.contract import Prompt
from popeq.dataset_folder import read_dataset
from popeq.errors import PromptsError
from popeq.protocol import PROTOCOL_1
from popeq.runs.attempt import Attempt
from popeq.runs.create import create_run
from popeq.runs.plan import make_plans
from popeq.runs.settings import RunSettings
from popeq.runs.worker import ContractError, _drawn, check_samples, predictions_text
from popeq.seeding import generator
from popeq.space import PLANE

PROMPTS = [Prompt("a", "warm", "colour"), Prompt("b", "bright", "colour")]


@pytest.mark.parametrize("folds", [False, True])
def test_no_job_carries_an_answer_of_a_prompt_it_has_to_predict(tmp_path, folds):
    """Every test response is a number that is nowhere else, so any leak would show in the job's text."""
    folder = write_small_dataset(tmp_path / "data", folds=folds)
    lines = (folder / "responses.csv").read_text().splitlines()
    marked = [lines[0]]
    for k, line in enumerate(lines[1:]):
        prompt_id, listener, *_ = line.split(",")
        marked.append(f"{prompt_id},{listener},{1 + k / 1e6 + 0.0000001:.7f},{2 + k / 1e6 + 0.0000001:.7f}")
    (folder / "responses.csv").write_text("\n".join(marked) + "\n")
    dataset = read_dataset(folder)
    (plan,) = make_plans(["prior"], dataset, PROTOCOL_1, [0])
    attempt = Attempt(plan, create_run(plan, tmp_path / "runs"), None, RunSettings())
    assert len(attempt.stages) == (3 if folds else 1)
    for stage in attempt.stages:
        text = attempt.task(stage).job.model_dump_json()
        for prompt_id in stage.test:
            for x, y in dataset.points(prompt_id):
                assert repr(float(x)) not in text
                assert repr(float(y)) not in text
        for prompt_id in stage.train:
            assert repr(float(dataset.points(prompt_id)[0, 0])) in text
        assert str(folder) not in text


@pytest.mark.parametrize(
    ("given_", "says"),
    [
        (np.zeros((2, 3, 3)), "shape (2, 4, 2), not (2, 3, 3)"),
        ([["x"]], "array of numbers"),
        (None, "shape|array of numbers"),
        (np.full((2, 4, 2), np.inf), "not finite for prompt 'a'"),
        (np.stack([np.zeros((4, 2)), np.full((4, 2), -6.1)]), "(-6.1, -6.1) dB for prompt 'b'"),
    ],
)
def test_what_breaks_the_contract_is_refused(given_, says):
    with pytest.raises(ContractError) as caught:
        check_samples(given_, PROMPTS, 4, PLANE)
    assert any(part in str(caught.value) for part in says.split("|"))


@given(st.lists(st.tuples(st.floats(-6, 6), st.floats(-6, 6)), min_size=1, max_size=5))
def test_floats_read_back_the_same(points):
    text = predictions_text("p", np.array(points))
    read = [tuple(map(float, line.split(",")[2:])) for line in text.splitlines()]
    assert read == points


def test_a_runs_key_depends_on_everything_that_its_samples_do(tmp_path):
    dataset = read_dataset(write_small_dataset(tmp_path / "a"))
    renamed = read_dataset(write_small_dataset(tmp_path / "b", name="other"))
    other = read_dataset(write_small_dataset(tmp_path / "c", seed=2))
    fewer = PROTOCOL_1.model_copy(update={"n_samples": 11})

    def key(name="static-preset", options=None, data=dataset, protocol=PROTOCOL_1, seed=0):
        return make_plans([name], data, protocol, [seed], options)[0].key

    keys = [
        key(),
        key("prior"),
        key(options={"fallback": "Rock"}),
        key(data=renamed),
        key(data=other),
        key(protocol=fewer),
        key(seed=1),
    ]
    assert len(set(keys)) == len(keys)
    assert key() == keys[0]


def test_generators_depend_on_every_part_and_on_nothing_else():
    def draw(*parts):
        return generator(*parts).integers(2**62)

    assert draw(0, "prior", "p1") == draw(0, "prior", "p1")
    assert (
        len({draw(0, "prior", "p1"), draw(1, "prior", "p1"), draw(0, "knn", "p1"), draw(0, "prior", "p2")})
        == 4
    )
    assert draw("ab", "c") != draw("a", "bc")
    assert draw(0, "prior", "sample", "p1") == 727917246043219715  # a promise: runs are repeatable for ever


class Failing:
    """Fails for some prompts, at the places that ``named`` makes of theirs."""

    def __init__(self, bad, named=lambda place: place):
        self.bad, self.named, self.asked = set(bad), named, []

    def sample(self, prompts, n, rngs):
        self.asked.append([p.prompt_id for p in prompts])
        drawn = np.stack([rng.uniform(-6, 6, (n, 2)) for rng in rngs])
        places = [i for i, p in enumerate(prompts) if p.prompt_id in self.bad]
        if places:  # one at a time: the rest is found out by asking again
            raise PromptsError({self.named(places[0]): f"no answer to {prompts[places[0]].prompt_id}"})
        return drawn


def job_of(tmp_path):
    dataset = read_dataset(write_small_dataset(tmp_path / "data"))
    (plan,) = make_plans(["prior"], dataset, PROTOCOL_1, [0])
    attempt = Attempt(plan, create_run(plan, tmp_path / "runs"), None, RunSettings())
    return attempt.task(attempt.stages[0]).job


@pytest.mark.parametrize("bad", [[], ["p08"], ["p11", "p09"], ["p08", "p09", "p10", "p11"]])
def test_prompts_that_fail_are_left_out_and_the_others_drawn_as_without_them(tmp_path, bad):
    job, failed, predictor = job_of(tmp_path), {}, Failing(bad)
    prompts = job.prompts
    clean = {p.prompt_id: x for p, x in _drawn(Failing([]), job, prompts, {})}
    drawn = {p.prompt_id: x for p, x in _drawn(predictor, job, prompts, failed)}
    assert failed == {i: f"no answer to {i}" for i in bad}
    assert drawn.keys() == clean.keys() - set(bad)
    assert all((drawn[i] == clean[i]).all() for i in drawn)
    assert len(predictor.asked) == len(bad) + (len(bad) < len(prompts))


def test_a_failure_that_names_no_prompt_of_the_call_breaks_the_contract(tmp_path):
    job = job_of(tmp_path)
    predictor = Failing(["p08"], named=lambda place: place + 99)
    with pytest.raises(ContractError, match="none of the prompts asked"):
        _drawn(predictor, job, job.prompts, {})
    with pytest.raises(ValueError, match="at least one prompt"):
        PromptsError({})
