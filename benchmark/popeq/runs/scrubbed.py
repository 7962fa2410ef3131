"""Which environment variables a predictor's process gets: those on a list, none that looks like a secret by
name or value."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from popeq.runs.settings import RunSettings

#: Set to 1 in a process that is not to use the network.
OFFLINE = "POPEQ_OFFLINE"
#: The same in every process, so that a predictor that iterates over a set draws the same again.
HASH_SEED = "0"

_NAMES = """
PATH HOME USER LOGNAME SHELL LANG LANGUAGE TZ TERM COLUMNS VIRTUAL_ENV LD_LIBRARY_PATH LD_PRELOAD
DYLD_LIBRARY_PATH SSL_CERT_FILE SSL_CERT_DIR REQUESTS_CA_BUNDLE CURL_CA_BUNDLE
XDG_CACHE_HOME XDG_CONFIG_HOME XDG_DATA_HOME
"""
_PREFIXES = """
LC_ PYTHON POPEQ_ CONDA_ CUDA_ NVIDIA_ NCCL_ ROCR_ HIP_ HSA_ OMP_ KMP_ MKL_ OPENBLAS_ BLIS_ VECLIB_
NUMEXPR_ NUMBA_ MALLOC_ GLIBC_ TORCH PYTORCH_ TRITON_ XLA_ JAX_ TF_ HF_ HUGGINGFACE_ TRANSFORMERS_
TOKENIZERS_ SENTENCE_TRANSFORMERS_ VLLM_ LLAMA_ COVERAGE_
"""
_PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
#: A part of a name, between separators or where small letters end, that says that the value is a secret.
_SECRET_PART = re.compile(
    r"""(API|ACCESS|AUTH|CLIENT|PRIVATE|REFRESH|SECRET|SESSION)*
    (TOKENS?|KEYS?|SECRETS?|PATS?|PWD|PASS(WORD|WD|PHRASE|CODE)?S?|BEARER|AUTH(ORIZATION)?|CRED(ENTIAL)?S?
    |COOKIES?|SESSION(ID)?S?|SIGNATURE|JWT|PIN|OTP)\d*""",
    re.IGNORECASE | re.VERBOSE,
)
_PARTS = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
#: What a value holds that is a secret whatever its name: tokens of known services, JSON web tokens, PEM
#: blocks, headers with credentials, and users or passwords in addresses.
_SECRET_VALUE = re.compile(
    r"""(?<![A-Za-z0-9])(
    gh[pousr]_[A-Za-z0-9]{16,} | github_pat_\w{16,} | glpat-[\w-]{16,} | hf_[A-Za-z0-9]{16,}
    | sk-[\w-]{16,} | (AKIA|ASIA)[A-Z0-9]{12,} | xox[abeoprs]-[\w-]{10,}
    | AIza[\w-]{30,} | npm_[A-Za-z0-9]{30,}
    | pypi-[\w-]{30,} | eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]* | (Bearer|Basic)\s+[\w.~+/=-]{8,}
    ) | -----BEGIN\s | ://[^/\s@]+@""",
    re.VERBOSE,
)
_OFFLINE_FLAGS = dict.fromkeys(
    ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", OFFLINE), "1"
)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


def environment_for(settings: RunSettings, threads: int, needed: Iterable[str] = ()) -> dict[str, str]:
    """Variables for a contained process: those on the list, and those that were asked for by name.

    Parameters
    ----------
    threads
        For numerical libraries, where the environment does not say another number (the one for OpenMP goes
        for all). Their threads sleep while they wait: on a processor that does other work too, waiting
        actively makes language models many times slower.
    needed
        What the predictor's spec asks for; ``settings.pass_env`` is what the user does.
    """
    asked = {*needed, *settings.pass_env}
    given = os.environ.items()
    env = {name: value for name, value in given if name in asked or _harmless(name, value)}
    if settings.online:
        env |= {k: v for k, v in given if k.lower() in _PROXIES and "@" not in v}
    else:
        env |= dict.fromkeys(_OFFLINE_FLAGS, "1")
    # The parent's import path, so that a script's own predictor is found, but never the current folder:
    # a random.py that happens to lie there would break every import.
    path = os.pathsep.join(dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path if entry))
    fixed = {"PYTHONPATH": path, "PYTHONUNBUFFERED": "1", "PYTHONHASHSEED": HASH_SEED}
    fixed["PYTHONIOENCODING"] = "utf-8:backslashreplace"  # what it prints is a log, and never an error
    threads_of_all = dict.fromkeys(_THREADS, env.get("OMP_NUM_THREADS", str(threads)))
    return {**threads_of_all, "OMP_WAIT_POLICY": "PASSIVE", **env, **fixed}


def _harmless(name: str, value: str) -> bool:
    listed = name in _NAMES.split() or name.startswith(tuple(_PREFIXES.split()))
    return listed and not is_secret(name, value)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable looks like a secret: a whole part of its name says so, or the shape of its value."""
    return any(map(_SECRET_PART.fullmatch, _PARTS.split(name))) or bool(_SECRET_VALUE.search(value))
