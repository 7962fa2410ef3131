"""Local models: only valid answers, exact draws, the same whatever the batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.popeq_llm.shapes import SHAPES

from popeq.errors import RunError, UsageError
from popeq_llm.answers import AnswerFormat, parse_answer
from popeq_llm.local import LocalModel
from popeq_llm.models import Message
from popeq_llm.tree import Head, TreeRows, takes_trees

ONE, SEVERAL, GAINS = AnswerFormat(), AnswerFormat(11), AnswerFormat(gains=True)


def chats(n, examples=2):
    shown = "".join(
        f"Sentence: number {i}\nSettings: [1.{i}, -0.{i}], [6.0, -6.0]\n\n" for i in range(examples)
    )
    return [
        (
            Message("system", "Answer with one setting [x, y] in dB and nothing else."),
            Message("user", f"{shown}Sentence: make it {'warm ' * (i + 1)}please"),
        )
        for i in range(n)
    ]


def rngs(n):
    return [np.random.default_rng([7, i]) for i in range(n)]


@pytest.fixture(scope="module")
def open_shape(model_folders):
    opened = {}

    def open_(shape, decode="auto"):
        if (shape, decode) not in opened:
            opened[shape, decode] = LocalModel(
                str(model_folders(shape)), device="cpu", dtype="float32", decode=decode
            )
        return opened[shape, decode]

    return open_


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_takes_trees_and_is_described(open_shape, shape):
    model = open_shape(shape)
    assert model.decode == "split"
    assert model.info.revision.startswith("sha256:")
    assert model.info.parameters > 10_000
    assert model.info.dtype == "float32"
    assert any("no chat template" in note for note in model.info.notes) == (shape == "gpt2")


@pytest.mark.parametrize("decode", ["split", "exact", "generate"])
@pytest.mark.parametrize("shape", SHAPES)
def test_no_answer_ever_fails_to_parse(open_shape, shape, decode):
    n = 5000 if decode != "generate" else 8
    model = open_shape(shape, decode)
    for form in (ONE, SEVERAL, GAINS):
        count = n if form == ONE else 2
        found = model.generate(chats(2), count, form, rngs(2))
        assert [len(a) for a in found.answers] == [count, count]
        assert found.rejected == (0, 0)
        parsed = [parse_answer(text, form) for row in found.answers for text in row]
        assert all(p is not None and p.shape == (form.pairs, 2) for p in parsed)
    assert len(set(model.generate(chats(1), 50, ONE, rngs(1)).answers[0])) > 5


@pytest.mark.parametrize("shape", SHAPES)
def test_the_text_a_model_is_fed_is_the_text_of_its_tokens(open_shape, shape):
    """Context and answer together: what the trie feeds are the tokens of the chat and the answer."""
    model = open_shape(shape)
    (context,), grammar = model._contexts(chats(1), ONE)
    (trie,) = grammar.tries
    text = model.render(chats(1)[0])
    for index, answer in ((0, "[-6.0, -6.0]"), (121 * 60 + 60, "[0.0, 0.0]"), (14640, "[6.0, 6.0]")):
        whole = model.tokenizer(text + answer, add_special_tokens=False)["input_ids"]
        assert context + trie.path(index) == whole


@pytest.mark.parametrize("shape", SHAPES)
def test_exact_probabilities_equal_plain_ones(open_shape, shape):
    """Those of the tokens that a plain forward pass allows at each place, one answer after another."""
    model = open_shape(shape, "exact")
    chat = chats(2)[1]
    (exact,) = model.exact([chat])
    assert exact.probability.sum() == pytest.approx(1.0, abs=1e-9)
    (context,), grammar = model._contexts([chat], ONE)
    (trie,) = grammar.tries
    for text in ("[-6.0, -6.0]", "[0.0, 0.0]", "[1.5, -0.3]", "[6.0, 6.0]"):
        x, y = np.rint((parse_answer(text, ONE)[0] + 6) * 10).astype(int)
        path = trie.path(121 * x + y)
        with torch.inference_mode():
            logits = model.model(torch.tensor([context + path])).logits[0].double()
        plain, node = 0.0, 0
        for place, token in enumerate(path, len(context) - 1):
            allowed = {trie.token[child]: child for child in trie.children[node]}
            logs = torch.log_softmax(logits[place, list(allowed)], dim=0)
            plain += logs[list(allowed).index(token)].item()
            node = allowed[token]
        assert np.log(exact.probability[121 * x + y]) == pytest.approx(plain, abs=1e-5 * max(1, abs(plain)))


@pytest.mark.parametrize(
    ("shape", "decode", "n"),
    [("phi3", "split", 20_000), ("qwen", "split", 20_000), ("qwen", "generate", 300)],
)
def test_samples_have_the_exact_distribution(open_shape, shape, decode, n):
    chat = chats(1)
    exact = open_shape(shape, "exact").exact(chat)[0].probability.reshape(121, 121)
    answers = open_shape(shape, decode).generate(chat, n, ONE, rngs(1)).answers[0]
    points = np.array([parse_answer(a, ONE)[0] for a in answers])
    for axis in (0, 1):
        expected = exact.sum(axis=1 - axis)
        counted = np.bincount(np.rint((points[:, axis] + 6) * 10).astype(int), minlength=121) / n
        error = np.sqrt(expected * (1 - expected) / n)
        assert (np.abs(counted - expected) <= 5 * error + 2 / n).all()
        assert abs((counted - expected) @ np.arange(121)) < 5 * np.sqrt(expected @ np.arange(121) ** 2 / n)


@pytest.mark.parametrize(
    ("decode", "form"),
    [("split", ONE), ("split", SEVERAL), ("exact", ONE), ("generate", ONE), ("generate", SEVERAL)],
)
def test_answers_do_not_depend_on_the_batch_or_the_order(open_shape, decode, form):
    model = open_shape("llama", decode)
    n = 20 if form == ONE else 1
    together = model.generate(chats(3), n, form, rngs(3)).answers
    backwards = model.generate(chats(3)[::-1], n, form, rngs(3)[::-1]).answers[::-1]
    single = [model.generate([c], n, form, [r]).answers[0] for c, r in zip(chats(3), rngs(3), strict=True)]
    assert together == backwards == single


def test_what_chats_share_is_computed_once_and_changes_nothing(model_folders, monkeypatch):
    asked, fed = chats(3), []
    plain = LocalModel(str(model_folders("llama")), device="cpu", dtype="float32", decode="exact")
    expected = [law.probability for law in plain.exact(asked)]
    sharing = LocalModel(str(model_folders("llama")), device="cpu", dtype="float32", decode="exact")
    sharing.share(asked[:2])
    states = Head.states
    monkeypatch.setattr(
        Head, "states", lambda self, ids, **more: fed.append(ids) or states(self, ids, **more)
    )
    for law, probability in zip(sharing.exact(asked), expected, strict=True):
        np.testing.assert_allclose(law.probability, probability, rtol=1e-4)
    (context, *_), _ = sharing._contexts(asked, ONE)
    assert fed[0].shape[1] < len(context) / 3
    other = (Message("user", "of another beginning"),)
    np.testing.assert_allclose(
        sharing.exact([other])[0].probability, plain.exact([other])[0].probability, rtol=1e-4
    )


def test_several_settings_are_drawn_alike_by_trees_and_token_by_token(open_shape):
    """The mean of each of 22 numbers: those of 200 answers in one row, and of 40 in rows of their own."""
    found = {}
    for decode, n in (("split", 200), ("generate", 40)):
        answers = open_shape("phi3", decode).generate(chats(1), n, SEVERAL, rngs(1)).answers[0]
        numbers = np.array([parse_answer(a, SEVERAL).ravel() for a in answers])
        found[decode] = numbers.mean(axis=0), numbers.var(axis=0) / n
    (a, va), (b, vb) = found.values()
    assert (np.abs(a - b) < 4 * np.sqrt(va + vb)).all()


def test_out_of_memory_halves_the_batch_and_says_so(open_shape, monkeypatch):
    model = open_shape("llama")
    monkeypatch.setattr(model, "_trees", lambda *_: 64)  # on the CPU there is one row from the start
    expected = model.generate(chats(4), 10, ONE, rngs(4)).answers
    feed, sizes = TreeRows.feed, []

    def small(rows, *arguments):
        """Memory runs out at the second level, after some choices have been drawn."""
        if not hasattr(rows, "was_fed"):
            rows.was_fed = True
            sizes.append(len(rows.lengths))
        elif len(rows.lengths) > 1:
            raise torch.OutOfMemoryError("no room")
        return feed(rows, *arguments)

    monkeypatch.setattr(TreeRows, "feed", small)
    with pytest.warns(UserWarning, match="out of memory, batch halved to"):
        assert model.generate(chats(4), 10, ONE, rngs(4)).answers == expected
    assert sizes == [4, 2, 1, 1, 1, 1]

    def never(*_, **__):
        raise torch.OutOfMemoryError("no room")

    monkeypatch.setattr(TreeRows, "feed", never)
    with (
        pytest.raises(RunError, match="out of memory on cpu with a single row"),
        pytest.warns(UserWarning, match="halved"),
    ):
        model.generate(chats(4), 10, ONE, rngs(4))


def test_a_model_that_refuses_tree_masks_draws_token_by_token(model_folders, monkeypatch):
    import popeq_llm.local as local

    monkeypatch.setattr(local, "takes_trees", lambda *_: False)
    model = LocalModel(str(model_folders("llama")), device="cpu", dtype="float32")
    assert model.decode == "generate"
    assert any("token by token" in note for note in model.info.notes)
    assert parse_answer(model.generate(chats(1), 1, ONE, rngs(1)).answers[0][0], ONE) is not None
    with pytest.raises(UsageError, match="does not take tree masks"):
        LocalModel(str(model_folders("llama")), device="cpu", dtype="float32", decode="split")


def test_a_template_without_a_system_role_gets_it_in_the_first_turn(open_shape, monkeypatch):
    model = open_shape("qwen")
    refuse = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}<|assistant|>"
    )
    monkeypatch.setattr(model.tokenizer, "chat_template", refuse)
    text = model.render(chats(1)[0])
    assert text.startswith("<|user|>Answer with one setting")
    assert "Sentence: make it warm please" in text


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda tmp: str(tmp), "has no config.json"),
        (lambda tmp: (tmp / "config.json").write_text("{}") and str(tmp), "no .safetensors weights"),
        (lambda tmp: str(tmp / "nowhere"), "neither a folder or GGUF file here, nor a hub name"),
        (lambda _: "phi", "neither a folder or GGUF file here, nor a hub name"),
    ],
)
def test_a_model_that_cannot_be_is_one_clear_line(tmp_path, make, says):
    with pytest.raises(UsageError, match=says) as caught:
        LocalModel(make(tmp_path), device="cpu", dtype="float32")
    assert "\n" not in str(caught.value)


def test_a_hub_name_without_a_network_says_how_to_get_the_model(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UsageError, match=r"hf download microsoft/no-such-model.*folder of a copy"):
        LocalModel("microsoft/no-such-model", device="cpu", dtype="float32")


@pytest.mark.parametrize(
    ("option", "says"), [({"device": "tpu7"}, "not a device"), ({"dtype": "int3"}, "not one of")]
)
def test_wrong_devices_and_types(model_folders, option, says):
    with pytest.raises(UsageError, match=says):
        LocalModel(str(model_folders("llama")), **{"device": "cpu", **option})


class Wrapped:
    """A causal model with some of what it is asked for, or of what it answers, changed."""

    def __init__(self, model, noise=0.0, deaf=()):
        self.model, self.noise, self.deaf = model, noise, deaf
        self.device, self.dtype, self.config = model.device, model.dtype, model.config
        self.rng = torch.Generator().manual_seed(0)

    def __call__(self, ids, **options):
        out = self.model(ids, **{name: value for name, value in options.items() if name not in self.deaf})
        scale = self.noise * out.logits.abs().max()
        out.logits = out.logits + scale * torch.randn(out.logits.shape, generator=self.rng).clamp(-2, 2)
        return out


def test_trees_are_judged_by_how_exact_a_model_is(open_shape, model_folders):
    """Half precision on a GPU is off by more than 2 %, with a mask or none; one that is not read is more."""
    full = open_shape("llama").model
    half = LocalModel(str(model_folders("llama")), device="cpu", dtype="bfloat16").model
    assert takes_trees(Wrapped(full), 300)
    assert takes_trees(Wrapped(half), 300)
    assert takes_trees(Wrapped(half, noise=0.02), 300)
    assert not takes_trees(Wrapped(full, noise=0.02), 300)
    assert not takes_trees(Wrapped(half, noise=0.2), 300)
    for model in (full, half):
        for deaf in (["attention_mask"], ["attention_mask", "position_ids", "past_key_values"]):
            assert not takes_trees(Wrapped(model, deaf=deaf), 300)
    assert not takes_trees(Wrapped(full, deaf=["position_ids"]), 300)
