"""``icl-dsp`` shows the definition, the track and the examples, keeps the contract, and its texts stay."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from tests.conftest import ROOT
from tests.popeq_llm.fake_server import FakeServer, serving
from tests.popeq_llm.fakes import FakeModel, WordEncoder, training

from popeq import load_dataset, load_predictor
from popeq.contract import Audio, Prompt, load_object
from popeq.errors import UsageError
from popeq.plugins import registry
from popeq.runs.code import code_of, modules_of
from popeq.seeding import generator
from popeq.space import PLANE, Space
from popeq.testing import CHECKS, Subject
from popeq_dsp import popeq_predictors
from popeq_dsp.definition import definition
from popeq_dsp.predictor import dsp_template, with_track
from popeq_dsp.track import track_in_words
from popeq_llm.retrieval import Retriever, typical_settings
from popeq_llm.templates import settings_text
from popeq_llm.wordings import wording_of

(SPEC,) = popeq_predictors()
TRACK = Audio({"centroid_octaves": 3.0, "tilt_db": -1.5})
POINTS = np.array([[1.0, -2.04], [-0.04, 6.0]])


@pytest.fixture
def fakes(monkeypatch):
    monkeypatch.setattr("popeq_llm.icl.open_model", FakeModel)
    monkeypatch.setattr("popeq_llm.icl.open_encoder", lambda _: WordEncoder())


def fitted(space=PLANE, **parameters):
    predictor = load_object(SPEC.factory)(SPEC.parameters(**parameters), space)
    predictor.fit(training(), [], generator(0, "fit"))
    return predictor


def draw(predictor, prompts, n=20):
    return predictor.sample(prompts, n, [generator(0, p.prompt_id) for p in prompts])


def prompts():
    return [Prompt("a", "warm and cosy", "colour"), Prompt("b", "bright", "colour", audio=TRACK)]


def test_the_prompt_holds_the_definition_the_examples_and_the_track(fakes):
    predictor = fitted(examples=2, settings_per_example=3)
    draw(predictor, prompts())
    shown = Retriever(training(), WordEncoder())
    examples = [shown.train[i] for i in shown.covering(2)]
    told = "".join(
        f"Sentence: {e.prompt.text}\nSettings: {settings_text(typical_settings(e.responses, 3))}\n\n"
        for e in examples
    )
    for prompt, (system, user) in zip(prompts(), predictor.model.chats, strict=True):
        assert system.content == (
            f"{wording_of('engineer').role} Answer with one setting [x, y] in dB and nothing else.\n\n"
            f"{definition(PLANE)}"
        )
        line = f"\n{track_in_words(TRACK.features)}" if prompt.audio else ""
        assert user.content == (
            f"Listeners chose these settings for other sentences.\n{told}Sentence: {prompt.text}{line}"
        )
    assert predictor.explain("b")["text"] == predictor.model.render(predictor.model.chats[1])
    assert "-1.5 dB" in predictor.explain("b")["text"]


def test_without_examples_no_encoder_is_opened_and_the_sentence_is_alone(fakes, monkeypatch):
    monkeypatch.delattr("popeq_llm.icl.open_encoder")
    predictor = fitted(examples=0)
    draw(predictor, prompts()[:1])
    assert predictor.model.chats[0][1].content == "Sentence: warm and cosy"
    assert "encoder" not in predictor.describe()
    assert predictor.describe()["template"]["name"] == "dsp.txt"


def test_what_all_prompts_begin_with_is_shared(fakes):
    predictor = fitted()
    draw(predictor, prompts())
    system, user = predictor.model.shared[0]
    assert all(chat[0] == system for chat in predictor.model.chats)
    assert user.content.rpartition("Sentence: ")[0] in predictor.model.chats[0][1].content


def test_only_descriptors_are_told_of_a_track(fakes, tmp_path):
    asked = Prompt("a", "warm", "colour", audio=Audio({}, tmp_path / "song.wav"))
    assert with_track(asked) is asked
    assert with_track(prompts()[0]) == prompts()[0]


def test_the_samples_depend_on_the_track_and_not_on_the_batch(fakes):
    one, other = (Prompt("a", "warm", "colour", audio=Audio({"tilt_db": db})) for db in (-1.0, 2.0))
    assert not np.array_equal(draw(fitted(), [one]), draw(fitted(), [other]))
    together = draw(fitted(), prompts())
    np.testing.assert_array_equal(draw(fitted(), prompts()[::-1])[::-1], together)
    np.testing.assert_array_equal(draw(fitted(), prompts()[1:]), together[1:])


def test_a_template_of_ones_own_gets_the_definition(fakes, tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text(
        "{% block user %}{{ meaning }}|{% for example in examples %}{{ example.sentence }}"
        "{{ example.settings }}{% endfor %}|{{ sentence }}{% endblock %}"
    )
    predictor = fitted(template=str(file), examples=0)
    draw(predictor, prompts()[1:])
    assert predictor.model.chats[0][0].content == (
        f"{definition(PLANE)}||bright\n{track_in_words(TRACK.features)}"
    )
    file.write_text("{% block user %}{{ sentence }}{% endblock %}")
    with pytest.raises(UsageError, match=r"does not use \{\{ example.sentence \}\}"):
        SPEC.parameters(template=str(file))


def test_what_cannot_be_asked_is_one_line(fakes):
    with pytest.raises(UsageError, match="icl-dsp: examples=7 is more than the 6 training prompts"):
        fitted(examples=7)
    with pytest.raises(UsageError, match="-o wording=gains: icl-dsp defines x and y; use another wording"):
        SPEC.parameters(wording="gains").check_space(PLANE)
    with pytest.raises(UsageError, match="describes the curves 'orthogonal'"):
        SPEC.parameters(wording="gains").check_space(Space(curves="beosonic"))


def test_the_page_shows_what_is_asked():
    page = (ROOT / "docs" / "language-models.md").read_text(encoding="utf-8")
    (shown,) = (block for block in page.split("```\n") if block.startswith("You are an audio engineer"))
    (prompt,) = load_dataset("simulated-tracks").unlabelled(["warm-track00"])
    assert shown == "".join(f"{m.content}\n\n" for m in dsp_template().chat(with_track(prompt).text))[:-1]


def digest(value):
    return hashlib.sha256(json.dumps(value, ensure_ascii=False).encode()).hexdigest()[:12]


CHATS = {
    "orthogonal": ("4796646d0cf4", "40a94a582ebe", "d4cc00e6f99d"),
    "beosonic": ("6d1c513f7727", "0bea4d17f219", "b56ee0ee2ee4"),
    "shelves:300:3000": ("4b925d6317b3", "89d4f47dc905", "c544eb3f7df5"),
}


@pytest.mark.parametrize("curves", CHATS)
def test_texts_stay_as_they_are(curves):
    """A changed text is another method: change these only together with the committed runs."""
    template = dsp_template(space=Space(curves=curves))
    asked = with_track(Prompt("b", "dull", "colour", audio=TRACK)).text
    chats = (
        template.chat("dull"),
        template.chat("dull", [("warm", POINTS), ("cold", POINTS[:1])]),
        template.chat(asked),
    )
    assert tuple(digest([[m.role, m.content] for m in chat]) for chat in chats) == CHATS[curves]


def test_samples_stay_as_they_are(fakes):
    assert digest(draw(fitted(), prompts(), 40).tolist()) == "802e776e72ad"


def test_its_package_changes_no_other_run():
    """The key of a run holds a hash of the packages that its predictor imports."""
    for name, spec in registry().predictors.items():
        files = code_of(modules_of(spec)).files
        assert any(file.startswith("popeq_dsp/") for file in files) == (name == "icl-dsp")
    assert any(file.startswith("popeq_llm/") for file in code_of(modules_of(SPEC)).files)


def test_declaring_the_plugin_is_light():
    code = (
        "import sys, popeq_dsp; popeq_dsp.popeq_predictors();"
        "assert not {'popeq_dsp.predictor', 'popeq_llm.icl', 'torch', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


SPACES = {
    "plane": PLANE,
    "odd": Space(0.0, 10.0, -3.0, 3.0, 0.5, "beosonic"),
    "shelves": Space(-3.0, 3.0, -1.0, 1.0, 0.25, "shelves:300:3000"),
}


@pytest.fixture(scope="module")
def subjects(model_folders):
    options = {"model": str(model_folders("llama")), "examples": 1, "device": "cpu", "dtype": "float32"}
    return {name: Subject.of("icl-dsp", options, space) for name, space in SPACES.items()}


#: All but one that starts several processes, each of which imports torch.
QUICK = [check for check in CHECKS if check.name != "hash-seed"]


@pytest.mark.parametrize("check", QUICK, ids=lambda check: check.name)
def test_it_keeps_the_contract(check, subjects):
    check.run(subjects["plane"])


@pytest.mark.parametrize("which", ["odd", "shelves"])
def test_samples_are_settings_of_the_control(which, subjects):
    subject = subjects[which]
    samples = subject.draw(subject.fitted)
    np.testing.assert_array_equal(subject.space.nearest(samples), samples)
    (check,) = (c for c in CHECKS if c.name == "order-and-batches")
    check.run(subject)


def test_tracks_of_a_data_set_reach_the_model(fakes):
    predictor = load_predictor("icl-dsp", examples=1)
    predictor.fit(load_dataset("simulated-tracks"))
    (prompt,) = load_dataset("simulated-tracks").unlabelled(["warm-track03"])
    predictor.sample([prompt], 3)
    assert track_in_words(prompt.audio.features) in predictor.predictor.explain("warm-track03")["text"]


def test_a_served_model_reads_the_same_text(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path))
    with serving(FakeServer()) as server:
        predictor = fitted(model="openai:fake", base_url=server.url, examples=0)
        samples = draw(predictor, prompts(), 4)
    assert PLANE.contains(samples).all()
    sent = [m["content"] for body in server.bodies for m in body["messages"]]
    assert definition(PLANE) in "\n".join(sent)
    assert any(content.endswith(track_in_words(TRACK.features)) for content in sent)
