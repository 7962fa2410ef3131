"""Every kind of causal model is drawn as its own plain forward pass says, or refused in one line."""

from __future__ import annotations

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tests.popeq_llm.shapes import WINDOW, save_model, tokenizer_of
from transformers import AutoConfig, AutoModelForCausalLM, Phi3Config

from popeq.errors import UsageError
from popeq_llm.answers import AnswerFormat, FreeText, parse_answer
from popeq_llm.architecture import context_limit
from popeq_llm.chat_text import ChatText
from popeq_llm.local import LocalModel
from popeq_llm.models import Message
from popeq_llm.token_by_token import Stepping

ONE = AnswerFormat()
TREES = ("mistral", "gemma3", "gemma3-mm", "gemma4", "gpt-oss", "qwen-window")
STEPS = ("gpt-neo", "mamba", "qwen3-next", "jamba")


def chats(*sentences):
    return [
        (Message("system", "Answer with one setting [x, y] in dB."), Message("user", f"Sentence: {s}"))
        for s in sentences
    ]


def rngs(n):
    return [np.random.default_rng([3, i]) for i in range(n)]


@pytest.fixture(scope="module")
def opened(model_folders):
    made = {}

    def open_(kind):
        if kind not in made:
            made[kind] = LocalModel(str(model_folders(kind)), device="cpu", dtype="float32")
        return made[kind]

    return open_


@torch.inference_mode()
def plain_logits(model, ids):
    """Of each place of one sequence, by one call of transformers without cache, mask or positions."""
    return model(torch.tensor([ids]), use_cache=False).logits[0].double()


def plain_probability(model, context, trie, index):
    """Log-probability of an answer, the allowed tokens renormalised at each place."""
    path, found, node = trie.path(index), 0.0, 0
    logits = plain_logits(model, context + path)
    for place, token in enumerate(path, len(context) - 1):
        allowed = {trie.token[child]: child for child in trie.children[node]}
        logs = torch.log_softmax(logits[place, list(allowed)], dim=0)
        found += logs[list(allowed).index(token)].item()
        node = allowed[token]
    return found


@pytest.mark.parametrize("kind", TREES)
def test_trees_beyond_the_window_have_the_plain_distribution(opened, kind):
    """Two prompts of different lengths that begin alike, in one batch, both longer than the window."""
    model = opened(kind)
    assert model.decode == "split"
    asked = chats("make it warm", "make it brighter, and then a little less so, please")
    contexts, grammar = model._contexts(asked, ONE)
    (trie,) = grammar.tries
    assert len(contexts[0]) < len(contexts[1])
    assert len(contexts[0]) > 2 * WINDOW
    laws = model.exact(asked)
    for law, context in zip(laws, contexts, strict=True):
        assert law.probability.sum() == pytest.approx(1.0, abs=1e-9)
        for index in (0, 121 * 60 + 60, 121 * 75 + 57, *law.draw(2, np.random.default_rng(0)).tolist()):
            plain = plain_probability(model.model, context, trie, index)
            assert np.log(law.probability[index]) == pytest.approx(plain, abs=1e-4 * max(1, abs(plain)))
    if kind != "gemma3":  # one kind for all: samples follow from the same rows
        return
    n = 4000
    for law, answers in zip(laws, model.generate(asked, n, ONE, rngs(2)).answers, strict=True):
        points = np.array([parse_answer(a, ONE)[0] for a in answers])
        x = law.probability.reshape(121, 121).sum(axis=1)
        counted = np.bincount(np.rint((points[:, 0] + 6) * 10).astype(int), minlength=121) / n
        assert (np.abs(counted - x) <= 5 * np.sqrt(x * (1 - x) / n) + 2 / n).all()


@pytest.mark.parametrize("kind", ["mistral", "gemma3", "gpt-neo"])
def test_the_window_matters_here(opened, kind):
    """The tests here could not fail with a window that is read by none: without it, the logits are others."""
    model, ids = opened(kind).model, list(range(20, 100))
    narrow, begin = plain_logits(model, ids), plain_logits(model, ids[:WINDOW])
    wide = AutoModelForCausalLM.from_pretrained(
        model.name_or_path, **{"window_size" if kind == "gpt-neo" else "sliding_window": 4096}
    )
    off = (plain_logits(wide.eval(), ids) - narrow).abs().amax(dim=1) / narrow.abs().max()
    assert off[:WINDOW].max() < 1e-5
    assert off[-1] > 0.02
    torch.testing.assert_close(narrow[:WINDOW], begin, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [*TREES, *STEPS])
def test_token_by_token_has_the_plain_logits(opened, kind):
    """Rows of different lengths, two with one context, padded, behind the model's own kind of cache."""
    model = opened(kind).model
    draw = np.random.default_rng(0).integers(10, 280, 120).tolist()
    contexts = [draw[:60], draw[60:90], draw[:60]]
    ahead = [draw[90:94], draw[94:98], draw[98:102]]
    with torch.inference_mode():
        steps = Stepping(model, contexts)
        for place in range(5):
            found = steps.logits()
            for row, (context, next_) in enumerate(zip(contexts, ahead, strict=True)):
                plain = plain_logits(model, context + next_[:place])[-1]
                scale = plain.abs().max().item()
                torch.testing.assert_close(found[row].double(), plain, rtol=0, atol=1e-4 * scale)
            if place < 4:
                steps.append([next_[place] for next_ in ahead])


@pytest.mark.parametrize("kind", STEPS)
def test_models_without_tree_masks_draw_token_by_token(opened, kind):
    model = opened(kind)
    assert model.decode == "generate"
    assert any("token by token" in note for note in model.info.notes)
    (answers,) = model.generate(chats("warm"), 2, ONE, rngs(1)).answers
    assert all(parse_answer(a, ONE) is not None for a in answers)


@pytest.mark.parametrize(
    ("kind", "options", "says"),
    [
        ("rwkv", {}, "a RwkvForCausalLM cannot be fed answers token by token"),
        ("mamba", {"decode": "exact"}, "does not take tree masks; use --decode generate"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(model_folders, kind, options, says):
    with pytest.raises(UsageError, match=says) as caught:
        LocalModel(str(model_folders(kind)), device="cpu", dtype="float32", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", ["llama", "gpt2"])
def test_a_prompt_beyond_the_context_is_refused(tmp_path, shape):
    folder = save_model(shape, tmp_path / shape)
    config = json.loads((folder / "config.json").read_text())
    config["n_positions" if shape == "gpt2" else "max_position_embeddings"] = 72
    (folder / "config.json").write_text(json.dumps(config))
    if shape == "gpt2":  # whose positions are weights
        AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    model = LocalModel(str(folder), device="cpu", dtype="float32")
    short, long = chats("warm")[0][1:], chats("warm and so on " * 12)[0]
    (answers,) = model.generate([short], 3, ONE, rngs(1)).answers
    assert all(parse_answer(a, ONE) is not None for a in answers)
    (ids,) = model.text.encode([model.text.pieces(long)])
    for form in (ONE, FreeText(tokens=8)):
        with pytest.raises(UsageError, match=r"takes 72 in all; .*-o examples=.*longer context") as caught:
            model.generate([short, long], 1, form, rngs(2))
        assert "\n" not in str(caught.value)
    assert f"a prompt has {len(ids)} tokens and its answer up to 8," in str(caught.value)
    with pytest.raises(UsageError, match=r"takes 72 in all; .*longer context"):
        model.share([long, long])  # which comes before any prompt is asked


def test_rotary_positions_that_change_with_the_length_count_up_to_where_they_do(tmp_path):
    rope = {"rope_type": "longrope", "rope_theta": 1e4, "original_max_position_embeddings": 4096}
    rope |= {"short_factor": [1.0] * 48, "long_factor": [2.0] * 48}
    config = Phi3Config(max_position_embeddings=131072, rope_parameters=rope)
    assert context_limit(SimpleNamespace(config=config)) == 4096
    assert context_limit(SimpleNamespace(config=Phi3Config(max_position_embeddings=131072))) == 131072


OPENED = "<|assistant|>\n<think>\n{% endif %}"
SWITCH = (
    "<|assistant|>\n{% if enable_thinking is defined and not enable_thinking %}"
    "<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
CHANNEL = "<|start|>assistant{% endif %}"


@pytest.mark.parametrize(
    ("ending", "rendered", "noted"),
    [
        (OPENED, "<|assistant|>\n<think>\n\n</think>\n\n", True),
        (OPENED.replace("think", "seed:think"), "<seed:think>\n\n</seed:think>\n\n", True),
        (OPENED.replace("<think>", "[THINK]"), "[THINK]\n\n[/THINK]\n\n", True),
        (SWITCH, "<|assistant|>\n<think>\n\n</think>\n\n", True),
        (CHANNEL, "<|start|>assistant<|channel|>final<|message|>", True),
        ("<|assistant|>\n{% endif %}", "<|assistant|>\n", False),
    ],
)
def test_a_thought_that_the_template_opens_is_closed_at_once(ending, rendered, noted):
    tokenizer = tokenizer_of("llama")
    tokenizer.add_special_tokens(
        {"additional_special_tokens": ["<think>", "</think>", "<|start|>", "<|channel|>", "<|message|>"]}
    )
    plain = tokenizer.chat_template
    assert plain.count("<|assistant|>\n{% endif %}") == 1
    tokenizer.chat_template = plain.replace("<|assistant|>\n{% endif %}", ending)
    text = ChatText(tokenizer, "thinker")
    (asked,) = chats("warm <think> please")
    assert text.render(asked).endswith(rendered)
    (ids,) = text.encode([text.pieces(asked)])
    closing = [i for i in ids if tokenizer.convert_ids_to_tokens(i) in ("</think>", "<|message|>")]
    assert len(closing) == ("</think>" in rendered or "<|message|>" in rendered)
    assert (text.note() is not None) == noted
    if noted:
        assert "thinker can think before it answers" in text.note()


def test_a_model_that_thinks_says_so_in_its_notes(tmp_path):
    tokenizer = tokenizer_of("llama")
    tokenizer.chat_template = tokenizer.chat_template.replace("<|assistant|>\n{% endif %}", OPENED)
    model = LocalModel(str(save_model("llama", tmp_path / "think", tokenizer)), device="cpu", dtype="float32")
    assert any("it is asked for the answer at once" in note for note in model.info.notes)
    (answers,) = model.generate(chats("warm"), 3, ONE, rngs(1)).answers
    assert all(parse_answer(a, ONE) is not None for a in answers)


@pytest.mark.parametrize("kind", [*TREES, *STEPS])
def test_every_kind_is_drawn_in_half_precision_too(model_folders, kind):
    """Such is the default where the processor has it."""
    model = LocalModel(str(model_folders(kind)), device="cpu", dtype="bfloat16")
    (answers, _) = model.generate(chats("warm", "bright and loud"), 2, ONE, rngs(2)).answers
    assert all(parse_answer(a, ONE) is not None for a in answers)


@pytest.mark.parametrize("file", ["model.safetensors", "tokenizer.json", "tokenizer.model"])
def test_a_git_lfs_pointer_is_said_to_be_one(tmp_path, file):
    folder = save_model("llama", tmp_path / "lfs")
    (folder / file).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(UsageError, match=f"{file} is a Git LFS pointer, .*git lfs pull") as caught:
        LocalModel(str(folder), device="cpu", dtype="float32")
    assert "\n" not in str(caught.value)
    gguf = tmp_path / "weights.gguf"
    gguf.write_bytes((folder / file).read_bytes())
    with pytest.raises(UsageError, match=r"weights\.gguf is a Git LFS pointer"):
        LocalModel(str(gguf), device="cpu", dtype="float32")
