"""The page in a real browser, and its server under load and under nonsense."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx2 as httpx
import numpy as np
import pytest
import uvicorn
from tests.conftest import environment
from tests.popeq_audio.conftest import SPACES

from popeq.eq import curves, gain_db
from popeq_audio.demo.app import make_app
from popeq_audio.demo.limits import Bucket
from popeq_audio.demo.oracle import Oracle


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
    assert np.abs(heard - gain_db(point, hz))[inside].max() < 0.5

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


@contextlib.contextmanager
def served(dataset):
    """A page for ``prior`` on a data set, served by a thread."""
    server = uvicorn.Server(uvicorn.Config(make_app(Oracle(("prior",), str(dataset))), log_level="warning"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(20)


#: Keeps what is written on each canvas with its box in pixels of the canvas, (left, top, right, bottom).
WATCH = """
const drawn = window.drawn = {};
const { fillText, clearRect } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.clearRect = function (...all) {
  drawn[this.canvas.id] = [];
  return clearRect.apply(this, all);
};
CanvasRenderingContext2D.prototype.fillText = function (text, x, y, most) {
  const size = this.measureText(text);
  const width = Math.min(size.width, most ?? Infinity);
  const left = x - { left: 0, center: width / 2, right: width }[this.textAlign];
  const ends = [[left, y - size.actualBoundingBoxAscent], [left + width, y + size.actualBoundingBoxDescent]];
  const [a, b] = ends.map(([u, v]) => this.getTransform().transformPoint(new DOMPoint(u, v)));
  drawn[this.canvas.id].push({ text, wide: size.width > width, box: [
    Math.min(a.x, b.x), Math.min(a.y, b.y), Math.max(a.x, b.x), Math.max(a.y, b.y)] });
  return most === undefined ? fillText.call(this, text, x, y) : fillText.call(this, text, x, y, most);
};
"""


def overlap(one, two):
    return all(one[i] < two[i + 2] and two[i] < one[i + 2] for i in (0, 1))


@pytest.mark.parametrize(
    ("name", "on_plane", "on_curve", "decimals", "error_db"),  # two sections, or the fit of five bands
    [
        ("uneven", {"energy (dB)", "brightness (dB)", "0", "5", "10", "-3", "3"}, {"-12", "12"}, 1, 0.1),
        ("wide", {"smile (dB)", "tilt (dB)", "-12", "0", "12", "treble alone up"}, {"-24", "24"}, 1, 0.7),
        ("far", {"smile (dB)", "tilt (dB)", "2", "6", "10", "-8", "-4.5", "-1"}, {"-18", "18"}, 0, 0.6),
    ],
)
def test_the_page_has_the_axes_steps_and_curves_of_the_data_set(
    browser, spaces, own_cache, name, on_plane, on_curve, decimals, error_db
):
    space = SPACES[name].space
    with served(spaces[name]) as address:
        page = browser.new_page(viewport={"width": 1200, "height": 1100})
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.add_init_script(WATCH)
        page.goto(address)
        until(page, "window.popeq")
        drawn = page.evaluate("window.drawn")
        for canvas, wanted in (("plane", on_plane), ("curve", on_curve)):
            assert wanted <= {d["text"] for d in drawn[canvas]}
            size = page.evaluate(f"[{canvas}.width, {canvas}.height]")
            for i, label in enumerate(drawn[canvas]):
                assert not label["wide"]
                assert min(label["box"][:2]) >= 0, label
                assert label["box"][2] <= size[0], label
                assert label["box"][3] <= size[1], label
                for other in drawn[canvas][:i]:
                    assert not overlap(label["box"], other["box"]), (label, other)
        for axis, (low, high) in zip("xy", zip(space.low, space.high, strict=True), strict=True):
            slider = page.evaluate(f"({{min: {axis}.min, max: {axis}.max, step: {axis}.step}})")
            assert [float(slider[key]) for key in ("min", "max", "step")] == [low, high, space.step_db]
            assert page.inner_text(f"#{axis}-name") == getattr(curves(space), axis).name
        before = page.evaluate("window.popeq.state.point")
        page.press("#x", "ArrowRight")
        after = page.evaluate("window.popeq.state.point")
        assert after[0] - before[0] == pytest.approx(space.step_db)
        assert page.inner_text("#x-value") == f"{after[0]:.{decimals}f} dB"
        box = page.locator("#plane").bounding_box()
        page.mouse.click(box["x"] + box["width"] * 0.931, box["y"] + box["height"] * 0.079)
        page.wait_for_timeout(250)  # the filters glide there
        point, graph = page.evaluate("[window.popeq.state.point, window.popeq.graph()]")
        np.testing.assert_allclose(space.nearest(point), point, atol=1e-12)
        assert point[0] > space.low[0] + 0.9 * space.size[0]
        assert point[1] > space.low[1] + 0.9 * space.size[1]
        hz = np.array(graph["hz"])
        inside = (hz >= 40) & (hz <= 16_000)
        assert np.abs(np.array(graph["response"]) - gain_db(point, hz, space))[inside].max() < error_db
        assert said == []
        page.close()
