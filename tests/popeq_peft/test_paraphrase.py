"""A language model's paraphrases: which lines are taken, who is asked what, and what a run keeps of it."""

from __future__ import annotations

import json
import re

import pytest
from small_fits import SPECS, fitted, learnable
from tests.popeq_llm.fake_server import Loopback, choices, is_probe, right_answer, serving

from popeq.errors import PopeqError
from popeq.seeding import generator
from popeq_peft.heads import HeadTask
from popeq_peft.parameters import MixtureParameters
from popeq_peft.paraphrase import FILE, LONGEST, paraphrased, refusal, words

SMALL = {"ensemble": 1, "epochs": 1}
SENTENCE = "make it warm"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("I'd love some warmth here", ""),
        ("réchauffe un peu, s'il te plaît", ""),
        ("[1.0, -2.0]", "no words"),
        ("...", "no words"),
        ("warmer " * 30, "over 200 characters"),
        ("warm\x1b[0m it up", "unprintable"),
        ("warm it up like [1.0, 2.0]", "brackets"),
        ("warm \ufffdt up", "unprintable"),
        ("warm 1.0, 2.0 -3.0 up", "few letters"),
        ("1. warm it up", "a list's mark"),
        ("(2) warm it up", "a list's mark"),
        ("- warm it up", "a list's mark"),
        ('"Warm it up"', "a list's mark"),
        ("Here are two ways:", "a list's mark"),
        ("Make it WARM!", "the sentence itself"),
        ("Brighter, please.", "there already"),
    ],
)
def test_lines_are_taken_or_refused_never_corrected(line, reason):
    assert refusal(line, SENTENCE, {words("brighter please")}).startswith(reason)
    assert bool(refusal(line, SENTENCE, {words("brighter please")})) == bool(reason)


class Rewriter(Loopback):
    """Gives a sentence back in other words, with some lines that cannot be taken."""

    def answer(self, raw, body, handler):
        if is_probe(body):
            return 200, choices([right_answer(body["seed"], j, 5) for j in range(body.get("n", 1))])
        sentence = body["messages"][-1]["content"].split(": ", 1)[1]
        lines = ["Sure, here you go:", sentence.upper(), *[f"say {n} {sentence}" for n in ("please", "now")]]
        if "number 0" in sentence:  # one short of two in its first answer
            lines = lines[:3] if len(self.asked) < 6 else [f"once more {sentence}"]
        return 200, choices(["\n\n".join(lines)])

    @property
    def asked(self):
        return [body["messages"] for body in self.bodies if not is_probe(body)]


def options_at(server):
    return SMALL | {"paraphraser": "openai:fake", "paraphraser_url": server.url}


def test_training_gets_paraphrases_and_nobody_reads_answers_or_other_prompts(tmp_path, monkeypatch):
    trained, plain = [], HeadTask.__init__

    def remembers(self, predictor, member, examples, validation):
        trained.append(examples)
        plain(self, predictor, member, examples, validation)

    monkeypatch.setattr(HeadTask, "__init__", remembers)
    train, validation = learnable(5), learnable(8, "validation")[5:]
    with serving(Rewriter()) as server:
        predictor = fitted("head-mixture", options_at(server), tmp_path / "run", train, validation)
        assert len(server.asked) == 6, "one was a paraphrase short and was asked about again"
        asked = json.dumps(server.asked)
        assert not re.search(r"\[-?\d|number [5-9]", asked), "neither answers nor validation sentences"
        before = len(server.asked)
        sentences, others = [p.prompt.text for p in train], [p.prompt.text for p in validation]
        seed = int(generator(3, "head-mixture").integers(2**62))  # the first that a fit draws
        other = paraphrased(predictor.parameters, sentences, others, seed, None)
        assert len(server.asked) == before, "another run, the same sentences: from the cache"
        server.fault = lambda _k, _body: "401"
        with pytest.raises(PopeqError, match=r"^paraphraser openai:fake: prompt 1: fake at .* status 401"):
            paraphrased(predictor.parameters, sentences, others, 4, None)
    texts = [e.text for e in trained[0]]
    assert texts[:5] == [p.prompt.text for p in train]
    assert len(texts) == 15
    for prompt in train:
        own = [e for e in trained[0] if e.responses is prompt.responses]
        assert [e.text.startswith(("say ", "once ")) for e in own] == [False, True, True]
    kept = json.loads((tmp_path / "run" / FILE).read_text())
    assert sorted(text for own in kept["texts"].values() for text in own) == sorted(texts[5:])
    described = predictor.describe()["paraphrases"]
    assert (described["model"], described["taken"], described["asked"]) == ("openai:fake", 10, 10)
    assert described["refused"] == {
        "a list's mark, a quotation mark or a heading": 5,
        "the sentence itself": 5,
    }
    assert other.texts == kept["texts"]
    assert not predictor.notes
    # The processes of a team and a killed run read the file, though the server refuses everybody by now.
    again = type(predictor)(predictor.parameters, predictor.space)
    again.use_folder(tmp_path / "run")
    again.train_members([seed, 1], train, validation)
    assert again.describe()["paraphrases"] == described


def test_it_is_off_by_default_and_then_no_part_of_a_run():
    assert not [n for n in MixtureParameters().model_dump() if n.startswith("paraphrase")]
    given = MixtureParameters(paraphraser="openai:x").model_dump()
    assert given["paraphrases"] == 2
    assert len(given["paraphraser_template_sha256"]) == 64
    assert MixtureParameters(**given).model_dump() == given
    assert all("OPENAI_API_KEY" in spec.needs_env for spec in SPECS.values())


def test_a_template_of_ones_own_counts(tmp_path):
    file = tmp_path / "mine.txt"
    file.write_text("{% block user %}{{ count }} x {{ sentence }}{% endblock %}")
    given = MixtureParameters(paraphraser="openai:x", paraphraser_template=str(file)).model_dump()
    file.write_text("{% block user %}{{ count }} times {{ sentence }}{% endblock %}")
    with pytest.raises(PopeqError, match=r"mine.txt: has changed since this run was planned"):
        MixtureParameters(**given)
    file.write_text("{% block user %}{{ sentence }}{% endblock %}")
    with pytest.raises(PopeqError, match=r"does not use {{ count }}"):
        MixtureParameters(paraphraser="openai:x", paraphraser_template=str(file))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"paraphrases": 3}, "paraphrases: needs a language model to ask: give -o paraphraser= too"),
        ({"paraphraser_url": "http://x"}, "paraphraser_url: needs a language model to ask"),
        ({"paraphraser": "openai:x"}, "a served model needs a name and its server"),
        ({"paraphraser": "nowhere"}, "nowhere: is neither a folder or GGUF file here"),
    ],
)
def test_wrong_use_is_one_line(options, says):
    with pytest.raises(PopeqError, match=says) as caught:
        fitted("head-mixture", SMALL | options, train=learnable(2))
    assert "\n" not in str(caught.value)


def test_what_a_random_local_model_writes_is_taken_by_the_rules_alone(model_folders, tmp_path):
    parameters = MixtureParameters(paraphraser=str(model_folders("phi3")), paraphrases=1, device="cpu")
    sentences = [p.prompt.text for p in learnable(2)]
    found = paraphrased(parameters, sentences, [], 1, None)
    assert found.taken
    assert found.refused
    taken = [text for own in found.texts.values() for text in own]
    assert len({words(text) for text in (*taken, *sentences)}) == len(taken) + 2
    assert all(len(text) <= LONGEST and text.isprintable() and words(text) for text in taken)
    assert paraphrased(parameters, sentences, [], 1, None) == found
    assert paraphrased(parameters, sentences, [], 2, None).texts != found.texts
