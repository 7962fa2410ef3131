"""Code that comes with a model is never run, and nobody is asked whether to run it."""

from __future__ import annotations

import ast
import io
import json
import shutil
import sys

import pytest
import torch
from tests.conftest import ROOT

from popeq.errors import UsageError
from popeq_llm.encoder import NamedEncoder
from popeq_llm.loading import load
from popeq_llm.own_code import refuse_own_modules
from popeq_peft.backbone import _is_causal

NEVER = "popeq never runs a model's own code"


@pytest.fixture
def trap(tmp_path, model_folders, monkeypatch):
    """A model folder whose configuration asks for its own code, which leaves ``ran`` beside the folder. All
    questions on the input are answered with yes."""
    folder = shutil.copytree(model_folders("llama"), tmp_path / "trap")
    code = f"open({str(tmp_path / 'ran')!r}, 'w').write('x')\nclass Evil: pass\n"
    (folder / "evil.py").write_text(code, encoding="utf-8")
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    own = {"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil", "AutoModel": "evil.Evil"}
    config |= {"model_type": "evil", "architectures": ["Evil"], "auto_map": own}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n" * 20))
    yield folder
    assert not (tmp_path / "ran").exists()
    assert sys.stdin.tell() == 0, "a question was asked on the input"


@pytest.mark.parametrize("kind", ["AutoModelForCausalLM", "AutoModel"])
def test_a_model_that_needs_its_own_code_is_refused_in_one_line(trap, kind):
    with pytest.raises(UsageError, match=NEVER) as caught:
        load(str(trap), None, "cpu", torch.float32, auto_class=kind)
    assert "\n" not in str(caught.value)
    assert "openai:NAME" in str(caught.value)


def test_a_tokenizer_that_needs_its_own_code_is_refused_too(trap, model_folders):
    shutil.copy(model_folders("llama") / "config.json", trap)
    file = trap / "tokenizer_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config |= {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}}
    file.write_text(json.dumps(config), encoding="utf-8")
    try:
        load(str(trap), None, "cpu", torch.float32)
    except UsageError as error:
        assert NEVER in str(error)  # noqa: PT017  # or the library has a class for it, and runs no code either


def test_asking_takes_no_yes_from_a_pipe(trap, popeq_inside, monkeypatch, tmp_path):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))
    asked = popeq_inside("ask", "warm", "-p", "icl-zero", "--model", trap)
    assert asked.returncode == 2
    assert NEVER in asked.stderr
    assert len(asked.stderr.splitlines()) == 1


def test_what_a_configuration_says_is_read_without_its_code(trap):
    assert _is_causal(str(trap), None)


@pytest.mark.parametrize("kind", ["evil.Module", "os.system", "sentence_transformersevil.Module"])
def test_a_sentence_encoder_with_modules_of_its_own_is_refused(trap, kind):
    modules = [{"idx": 0, "name": "0", "path": "", "type": kind}]
    (trap / "modules.json").write_text(json.dumps(modules), encoding="utf-8")
    with pytest.raises(UsageError, match=NEVER):
        refuse_own_modules("encoder trap", trap)
    (trap / "modules.json").write_text('[{"type": 1, "type": 2}]', encoding="utf-8")
    with pytest.raises(UsageError, match=r"modules\.json cannot be read"):
        refuse_own_modules("encoder trap", trap)


def test_a_sentence_encoder_whose_model_needs_its_own_code_is_refused(trap):
    pytest.importorskip("sentence_transformers")
    with pytest.raises(UsageError, match=NEVER):
        NamedEncoder(str(trap))._model  # noqa: B018


def test_every_call_that_loads_a_model_forbids_its_code():
    """Those of transformers and sentence-transformers; peft's loads weights into a model that is there."""
    calls = 0
    for file in (ROOT / "plugins").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            loads = name.endswith(".from_pretrained") and not name.startswith("PeftModel")
            if loads or name.endswith("SentenceTransformer"):
                calls += 1
                given = ast.unparse(node)
                assert "NEVER_RUN" in given or "**options" in given or "**source" in given, (file, given)
    assert calls > 3
