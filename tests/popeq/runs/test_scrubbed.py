"""What the process of a predictor finds in its environment."""

from __future__ import annotations

import subprocess
import sys

import pytest

from popeq.runs.scrubbed import environment_for
from popeq.runs.settings import RunSettings

LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


@pytest.fixture
def clean(monkeypatch):
    for name in (*LIBRARIES, "OMP_WAIT_POLICY"):
        monkeypatch.delenv(name, raising=False)
    return monkeypatch


def test_every_library_gets_the_threads_of_the_run_and_waits_asleep(clean):
    env = environment_for(RunSettings(), threads=3)
    assert [env[name] for name in LIBRARIES] == ["3"] * 4
    assert env["OMP_WAIT_POLICY"] == "PASSIVE"


def test_one_number_of_the_user_goes_for_all(clean):
    """PyTorch takes the larger of OpenMP's and MKL's, so that one of them alone would not hold."""
    clean.setenv("OMP_NUM_THREADS", "1")
    clean.setenv("NUMEXPR_NUM_THREADS", "5")
    clean.setenv("OMP_WAIT_POLICY", "ACTIVE")
    env = environment_for(RunSettings(), threads=3)
    assert [env[name] for name in LIBRARIES] == ["1", "1", "1", "5"]
    assert env["OMP_WAIT_POLICY"] == "ACTIVE"


def test_a_predictor_can_print_every_character_whatever_the_terminal_is(clean):
    clean.setenv("LC_ALL", "C")
    clean.setenv("PYTHONIOENCODING", "ascii")
    env = environment_for(RunSettings(), threads=1)
    words = [sys.executable, "-c", "print('日 \\udcff')"]
    assert subprocess.run(words, env=env, capture_output=True, check=True).stdout.decode() == "日 \\udcff\n"


def given_to_a_predictor(monkeypatch, name, value, **more):
    monkeypatch.setenv(name, value)
    settings = more.pop("settings", RunSettings())
    return environment_for(settings, 1, **more).get(name) == value


@pytest.mark.parametrize(
    "part",
    [
        *(
            "TOKEN",
            "TOKENS",
            "KEY",
            "APIKEY",
            "API_KEY",
            "SECRET",
            "PAT",
            "PWD",
            "PASS",
            "PASSWORD",
            "PASSWD",
        ),
        *("PASSPHRASE", "BEARER", "AUTH", "AUTHORIZATION", "CREDENTIAL", "CREDENTIALS", "CREDS", "COOKIE"),
        *("SESSION", "SESSIONID", "ACCESSKEY", "JWT", "TOKEN2", "SIGNATURE"),
    ],
)
def test_a_variable_whose_name_says_that_it_is_a_secret_is_not_given(monkeypatch, part):
    names = (f"POPEQ_{part}", f"HF_{part}_FILE", f"LLAMA_{part.lower()}", f"POPEQ_my{part.capitalize()}")
    names += (f"TORCH_X-{part}", f"PYTHON_{part}")
    given = [name for name in names if given_to_a_predictor(monkeypatch, name, "x")]
    assert given == []


@pytest.mark.parametrize(
    "name",
    [
        *("TOKENIZERS_PARALLELISM", "POPEQ_MONKEY", "TORCH_COMPASS", "POPEQ_PATTERN", "HF_HOME"),
        *("PYTHON_AUTHORS", "NUMBA_KEYWORDS", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "LC_ALL"),
    ],
)
def test_a_variable_that_only_has_the_word_inside_another_is_given(monkeypatch, name):
    assert given_to_a_predictor(monkeypatch, name, "x")


#: Made here, so that no tool that looks for secrets finds one in this file.
LONG = "a1B2" * 10
PREFIXES = (
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "hf_",
    "sk-",
    "sk-proj-",
    "xoxb-",
    "AIza",
    "npm_",
    "pypi-",
)
SECRETS = (
    *(f"{prefix}{LONG}" for prefix in PREFIXES),
    *(f"{prefix}{'IOSF7' * 3}" for prefix in ("AKIA", "ASIA")),
    f"eyJ{LONG}.eyJ{LONG}.{LONG}",
    *(f"-----BEGIN {kind}-----\nb3Blbn" for kind in ("OPENSSH PRIVATE KEY", "CERTIFICATE")),
    *(f"{scheme} {LONG}" for scheme in ("Bearer", "Basic")),
    *("https://me:word@example.org/x", "postgres://me:s5@db", "redis://:word@host:6379/0"),
    *("https://word@example.org", f"a path, then --with=ghp_{LONG}"),
)


@pytest.mark.parametrize("value", SECRETS)
def test_a_variable_whose_value_has_the_shape_of_a_secret_is_not_given(monkeypatch, value):
    assert not given_to_a_predictor(monkeypatch, "POPEQ_SETTING", value)
    assert given_to_a_predictor(monkeypatch, "POPEQ_SETTING", value, needed=["POPEQ_SETTING"])
    asked = RunSettings(pass_env=("POPEQ_SETTING",))
    assert given_to_a_predictor(monkeypatch, "POPEQ_SETTING", value, settings=asked)


@pytest.mark.parametrize(
    "value",
    [
        "/opt/sk-models/x",
        "http://127.0.0.1:8080/v1",
        "me@example.org",
        "hf_home",
        "xoxo",
        "eyJ",
        "a:b@c",
        "basic",
    ],
)
def test_a_variable_with_another_value_is_given(monkeypatch, value):
    assert given_to_a_predictor(monkeypatch, "POPEQ_SETTING", value)


def test_proxies_with_a_password_are_not_given_online_either(monkeypatch):
    online = RunSettings(online=True)
    assert given_to_a_predictor(monkeypatch, "HTTPS_PROXY", "http://proxy:3128", settings=online)
    assert not given_to_a_predictor(monkeypatch, "HTTPS_PROXY", "http://me:word@proxy:3128", settings=online)
