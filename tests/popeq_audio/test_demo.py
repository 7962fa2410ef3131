"""The page in a real browser, and its server under load and under nonsense."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest
from tests.conftest import environment

from popeq.space import setting_to_curve
from popeq_audio.demo.limits import Bucket


@pytest.fixture(scope="module")
def address(own_cache):
    """A running ``popeq demo``."""
    command = "from popeq.cli import main; main()"
    with subprocess.Popen(
        [sys.executable, "-c", command, "demo", "--port", "0", "-p", "knn", "-p", "prior"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as server:
        line = server.stdout.readline()
        yield line.split()[2].rstrip("/")
        server.terminate()


def question(address, text, predictor="knn", **more):
    return httpx.post(f"{address}/api/ask", json={"text": text, "predictor": predictor}, timeout=60, **more)


def test_fifty_questions_at_once_are_all_answered(address):
    with ThreadPoolExecutor(50) as pool:
        replies = list(pool.map(lambda i: question(address, f"sound number {i}"), range(50)))
    assert [r.status_code for r in replies] == [200] * 50
    assert all(r.json()["nearest"] for r in replies)


def test_what_is_wrong_is_refused_with_a_reason(address):
    large = question(address, "x" * 10_000_000)
    assert large.status_code == 413
    assert "too large" in large.json()["error"]
    chunks = iter([b"x" * 9000] * 3)  # sent without its length
    assert httpx.post(f"{address}/api/ask", content=chunks, timeout=10).status_code == 413
    assert "2000 at most" in question(address, "x" * 3000).json()["error"]
    assert "predictor of this page" in question(address, "warm", "nobody").json()["error"]
    form = httpx.post(f"{address}/api/ask", content=b"text=warm", headers={"Content-Type": "text/plain"})
    assert form.status_code == 415
    assert (
        httpx.post(
            f"{address}/api/ask", content=b"[", headers={"Content-Type": "application/json"}
        ).status_code
        == 400
    )
    assert httpx.get(f"{address}/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (rb'{"text": "warm\ud800", "predictor": "knn"}', "half a character"),
        (rb'{"text": "warm", "predictor": "\udfff"}', "half a character"),
        (rb'{"text": "warm", "text": "cold", "predictor": "knn"}', "'text' is there twice"),
        (b'{"a":' * 1000 + b"1" + b"}" * 1000, "inside each other"),
        (b'{"text": "warm\xff", "predictor": "knn"}', "UTF-8"),
        (b"[NaN]", "not a finite number"),
        (b"[]", "text and predictor"),
    ],
)
def test_a_question_that_is_no_strict_json_is_refused_with_a_line(address, body, says):
    reply = httpx.post(f"{address}/api/ask", content=body, headers={"Content-Type": "application/json"})
    assert reply.status_code == 400
    assert says in reply.json()["error"]
    assert "\n" not in reply.json()["error"]


def test_every_reply_forbids_what_the_page_does_not_need(address):
    policy = httpx.get(f"{address}/").headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy


def test_too_many_requests_have_to_wait():
    now = [0.0]
    bucket = Bucket(burst=2, per_s=1.0, clock=lambda: now[0])
    assert [bucket.take("a"), bucket.take("a")] == [0.0, 0.0]
    assert bucket.take("a") == pytest.approx(1.0)
    assert bucket.take("b") == 0.0
    now[0] = 1.5
    assert bucket.take("a") == 0.0


def until(page, expression):
    """The policy forbids the eval that Playwright's own waiting uses."""
    for _ in range(300):
        if page.evaluate(f"Boolean({expression})"):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"{expression} did not come true; the page says {page.inner_text('#message')!r}")


def test_a_listener_uses_the_page(address, browser, tmp_path):
    page = browser.new_page(viewport={"width": 1200, "height": 1100})
    said, hosts = [], set()
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    page.goto(address)
    page.fill("#sentence", "soft piano for a rainy evening")
    page.click("#ask")  # waits until it can be clicked: not lost while the page gets ready
    until(page, "window.popeq?.state.answer")
    page.click("#play")
    until(page, "window.popeq.graph().playing")

    box = page.locator("#plane").bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.85, box["y"] + box["height"] * 0.2, steps=4)
    page.mouse.up()
    page.wait_for_timeout(400)
    point, graph = page.evaluate("window.popeq.state.point"), page.evaluate("window.popeq.graph()")
    assert point[0] > 3
    assert point[1] > 2
    heard = np.array(graph["response"])
    hz = np.array(graph["hz"])
    inside = (hz >= 40) & (hz <= 16_000)
    assert np.abs(heard - setting_to_curve(point, hz))[inside].max() < 0.5

    orders = set()
    for _ in range(12):
        page.click("#blind-start")
        orders.add(tuple(page.evaluate("window.popeq.state.blind.order")))
        assert "setting" not in page.inner_text("#blind-test")
        page.click("#listen-b")
        page.click("#prefer-b")
        assert "You preferred" in page.inner_text("#blind-result")
    assert len(orders) == 2

    broken = tmp_path / "broken.wav"
    broken.write_bytes(b"RIFF\0\0\0\0WAVEjunk" * 20)
    page.set_input_files("#file", str(broken))
    until(page, "document.getElementById('message').textContent.includes('cannot be decoded')")
    page.select_option("#predictor", "prior")
    until(page, "window.popeq.state.answer.predictor === 'prior'")
    assert said == []
    assert hosts == {address.split("/")[2]}
