"""Served models against a real server, ``transformers serve``, behind a proxy that breaks down."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from tests.popeq_llm.fake_server import FAULTS, Proxy, is_probe, serving
from tests.popeq_llm.llama_server import is_up
from tests.popeq_llm.served_stand_in import save_stand_in, without_sampling

from popeq.errors import PromptsError, RunError
from popeq_llm.answers import AnswerFormat, parse_answer
from popeq_llm.models import Message
from popeq_llm.served import ServedModel
from popeq_llm.served_client import Patience

KEY = "sk-popeq-9876543210-never-to-be-seen"
ONE = AnswerFormat()
TASK = (
    "You set a two-band tone control. Answer with one setting [x, y] in dB and nothing else. x is the smile: "
    "above 0 lifts bass and treble, below 0 lifts the mids. y is the tilt: above 0 is brighter, below 0 is "
    "darker. Both are between -6.0 and 6.0 with one decimal."
)
CHATS = [(Message("system", TASK), Message("user", f"Sentence: {t}")) for t in ("warm", "bright and thin")]


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """Port of the server, folder of the model, folder of the model that does not sample, file of the log."""
    needed = ("fastapi", "uvicorn", "openai", "accelerate")
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        pytest.skip(f"transformers serve needs {', '.join(missing)}")
    folder = tmp_path_factory.mktemp("served")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = (
        "import sys; from transformers.cli.transformers import main; sys.argv[0] = 'transformers'; main()"
    )
    arguments = ["serve", "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", command, *arguments],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": str(folder), "OMP_NUM_THREADS": "1"},
        )
    try:
        model = save_stand_in(folder / "stand-in")
        greedy = without_sampling(model, folder / "greedy")
        until = time.monotonic() + 60
        while not is_up(port):
            if process.poll() is not None or time.monotonic() > until:
                pytest.skip(f"transformers serve did not start: {(folder / 'log').read_text()[-300:]!r}")
            time.sleep(0.1)
        yield port, model, greedy, folder / "log"
    finally:
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, kind)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(3)


def ask(proxy, model: Path, cache: Path, n=6, concurrency=1, timeout_s=30.0, chats=CHATS):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POPEQ_CACHE", str(cache))
        served = ServedModel(
            str(model),
            proxy.url,
            concurrency=concurrency,
            timeout_s=timeout_s,
            patience=Patience(backoff_s=0.01, longest_wait_s=5),
        )
    return served.generate(chats, n, ONE, [np.random.default_rng(i) for i in range(len(chats))])


def test_a_real_server_through_every_fault_gives_the_answers_that_it_gives_without(
    served, tmp_path, monkeypatch, caplog, capfd
):
    port, model, _, log = served
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level("DEBUG")
    with serving(Proxy(port)) as proxy:
        clean = ask(proxy, model, tmp_path / "clean")
        probes = [body for body in proxy.bodies if is_probe(body)]
        # the fields that it refuses, n twice, single draws until two differ, three ways to bind
        assert 1 + 2 + 2 + 3 <= len(probes) <= 1 + 2 + 4 + 3
        assert all("top_k" not in body for body in probes[1:])
        assert len(proxy.bodies) - len(probes) == 12 + sum(clean.rejected)
        assert proxy.keys == {f"Bearer {KEY}"}
    answers = [a for per_chat in clean.answers for a in per_chat]
    assert len(answers) == 12
    assert len(set(answers)) > 3
    assert all(parse_answer(a, ONE) is not None for a in answers)

    faults = [f for f in (*FAULTS, "more", "none") if f not in {"429-later", "drip", "slow"}]
    count = iter(range(10**6))

    def every_second(number, body):
        k = next(count)
        return faults[k // 2] if k % 2 and k // 2 < len(faults) else None

    with serving(Proxy(port, fault=every_second)) as proxy:
        faulty = ask(proxy, model, tmp_path / "faulty")
        assert (faulty.answers, faulty.rejected) == (clean.answers, clean.rejected)
        assert 0 < sum(faulty.retried) <= len(faults)
        assert len(proxy.bodies) == len(probes) + 12 + sum(clean.rejected) + len(faults)
        spent = sum(not is_probe(body) for body in proxy.bodies)
        assert ask(proxy, model, tmp_path / "faulty", concurrency=4).answers == clean.answers
        assert sum(not is_probe(body) for body in proxy.bodies) == spent
    with serving(Proxy(port, fault=lambda k, _body: "slow" if k == 8 else None)) as proxy:
        proxy.slow_s = 3.2
        at_once = ask(proxy, model, tmp_path / "at-once", concurrency=4, timeout_s=3)
        assert proxy.most_at_once > 1
        assert all(parse_answer(a, ONE) is not None for per_chat in at_once.answers for a in per_chat)
    assert KEY not in caplog.text + log.read_text() + "".join(capfd.readouterr())
    for path in tmp_path.rglob("*.json"):
        assert KEY not in path.read_text()


def test_a_real_server_that_does_not_sample_or_breaks_down_for_good_is_one_line(
    served, tmp_path, monkeypatch
):
    port, model, greedy, _ = served
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with serving(Proxy(port)) as proxy, pytest.raises(RunError, match="does not sample: 8 answers") as caught:
        ask(proxy, greedy, tmp_path / "greedy")
    assert len(proxy.bodies) == 1 + 2 + 8
    assert "\n" not in str(caught.value)
    count = iter(range(10**6))

    def later(_number, body):
        return "500" if not is_probe(body) and next(count) > 3 else None

    with serving(Proxy(port, fault=later)) as proxy:
        with pytest.raises(
            RunError, match=r"prompt 1: .*6 attempts failed, the last with status 500.* 1 more prompt failed$"
        ) as caught:
            ask(proxy, model, tmp_path / "broken")
        # an attempt that meets a connection which the failing proxy has just closed leaves no body there
        assert 4 + 2 * 5 <= sum(not is_probe(body) for body in proxy.bodies) <= 4 + 2 * 6
        assert sorted(caught.value.failures) == [0, 1]
    with serving(
        Proxy(port, fault=lambda _k, body: "500" if "Sentence: bright" in str(body["messages"]) else None)
    ) as proxy:
        with pytest.raises(PromptsError, match=r"^prompt 2: .*status 500"):
            ask(proxy, model, tmp_path / "half-broken")
        spent = sum(not is_probe(body) for body in proxy.bodies)
        assert len(ask(proxy, model, tmp_path / "half-broken", chats=CHATS[:1]).answers[0]) == 6
        assert sum(not is_probe(body) for body in proxy.bodies) == spent
    assert "\n" not in str(caught.value)
    assert KEY not in str(caught.value)
