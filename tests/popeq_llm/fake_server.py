"""An OpenAI-compatible server on loopback that answers from the seed, and faults on demand; and a proxy."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from popeq_llm.answers import AnswerFormat, answer_text

#: Everything that goes wrong between a client and a server; each is one bad response to one request.
FAULTS = ("429", "429-later", "500", "503", "slow", "drip", "cut", "cut-body", "malformed", "html", "shape")
#: Faults after which the connection is of no more use. After the others it stays open, as HTTP/1.1 has it: a
#: server that closes it without saying so cuts off the next request, which would be another fault.
_BROKEN_OFF = {"slow", "drip", "cut", "cut-body"}
PROBE_WORDS = "chosen at random"
#: What a request to OpenAI itself may hold, of the fields that popeq knows.
OPENAI_FIELDS = {
    *("model", "messages", "temperature", "top_p", "seed", "n", "max_tokens", "max_completion_tokens"),
    *("presence_penalty", "frequency_penalty", "response_format"),
}


def is_probe(body: dict[str, Any]) -> bool:
    return PROBE_WORDS in body["messages"][-1]["content"]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is what these tests are about."""


class Loopback:
    """A server in a thread. ``fault`` gives the fault of the k-th request (from 0), or None."""

    def __init__(self, fault: Callable[[int, dict[str, Any]], str | None] = lambda _k, _body: None) -> None:
        self.fault = fault
        self.slow_s = 0.8
        self.bodies: list[dict[str, Any]] = []
        self.keys: set[str] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else every answer waits 40 ms for the header's receipt

            def log_message(self, *arguments: Any) -> None: ...

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                body = json.loads(raw)
                with outer._lock:
                    number = len(outer.bodies)
                    outer.bodies.append({**body, "path": self.path})
                    outer.keys.add(self.headers.get("Authorization", ""))
                    outer._at_once += 1
                    outer.most_at_once = max(outer.most_at_once, outer._at_once)
                try:
                    fault = outer.fault(number, body)
                    if fault:
                        outer.break_down(self, fault, body)
                    else:
                        send(self, *outer.answer(raw, body, self))
                finally:
                    with outer._lock:
                        outer._at_once -= 1

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.server_port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def answer(self, raw: bytes, body: dict[str, Any], handler: Any) -> tuple[int, bytes]:
        raise NotImplementedError

    def break_down(self, handler: Any, fault: str, body: dict[str, Any]) -> None:
        """Answer badly; error texts give the client's key back, as some servers do."""
        text = json.dumps({"error": {"message": f"failed for {handler.headers.get('Authorization')}\nsorry"}})
        if fault == "429":
            send(handler, 429, text.encode(), {"Retry-After": "0.05"})
        elif fault == "429-later":
            send(handler, 429, text.encode(), {"Retry-After": "3600"})
        elif fault.isdigit():
            send(handler, int(fault), text.encode(), {"X-Echo": str(handler.headers.get("Authorization"))})
        elif fault == "slow":
            time.sleep(self.slow_s)
        elif fault == "drip":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            for _ in range(int(self.slow_s * 15)):
                handler.wfile.write(b" ")
                handler.wfile.flush()
                time.sleep(0.1)
        elif fault == "cut":
            handler.connection.shutdown(socket.SHUT_RDWR)
        elif fault == "cut-body":
            handler.send_response(200)
            handler.send_header("Content-Length", "1000")
            handler.end_headers()
            handler.wfile.write(b'{"choices": [{"message": {"content": "[1.0, 1.0]"}}')
        elif fault == "malformed":
            send(handler, 200, b'{"choices": [{"message": {"content": "[1.0, 1.0]"}}')
        elif fault == "html":
            send(handler, 200, b"<html>gateway</html>")
        elif fault == "shape":
            send(handler, 200, b'{"choices": [1, null]}')
        elif fault in {"more", "none"}:
            send(handler, 200, choices(["[1.0, 1.0]"] * ((body.get("n", 1) + 1) if fault == "more" else 0)))
        else:
            raise ValueError(fault)
        if fault in _BROKEN_OFF:
            handler.close_connection = True


class FakeServer(Loopback):
    """A model whose answers follow from the seed: ``right_answer(seed, choice)``.

    ``binds`` is the request's field that binds answers to a form, where it has one (``grammar``: llama.cpp,
    ``structured_outputs``: vLLM, ``response_format``: OpenAI). Fields in ``refuses`` get status 400, and the
    message names them if ``names_fields``; with ``strict`` so does every field that OpenAI does not have.
    ``says`` is what every response says of the server (``model``, ``system_fingerprint``).
    """

    def __init__(
        self,
        *,
        honours_n: bool = True,
        binds: str = "",
        refuses: tuple[str, ...] = (),
        strict: bool = False,
        names_fields: bool = True,
        samples: bool = True,
        prose: Callable[[int], str | None] = lambda _seed: None,
        says: dict[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(**more)
        self.honours_n, self.binds, self.samples, self.prose = honours_n, binds, samples, prose
        self.refuses, self.strict, self.names_fields = refuses, strict, names_fields
        self.says = says or {}

    def answer(self, raw: bytes, body: dict[str, Any], handler: Any) -> tuple[int, bytes]:
        refused = sorted({*self.refuses} & {*body} | ({*body} - OPENAI_FIELDS if self.strict else set()))
        if refused:
            named = f"Unsupported parameters: {', '.join(refused)}"
            return refusal(named if self.names_fields else "Bad request")
        seed = int(body.get("seed", len(self.bodies))) if self.samples else 0
        texts = []
        for j in range(body.get("n", 1) if self.honours_n else 1):
            text = right_answer(seed, j if self.samples else 0, 5 if is_probe(body) else 1)
            if self.binds in body:
                text = right_answer(seed, j, 1)
                if self.binds == "response_format":
                    text = json.dumps({"settings": [text]})
            elif not is_probe(body) and (wrong := self.prose(seed + j)) is not None:
                text = wrong.format(text, key=handler.headers.get("Authorization"))
            texts.append(text)
        return 200, choices(texts, **self.says)


class Proxy(Loopback):
    """Passes requests on to a real server, but for its faults and for fields that it refuses by name."""

    def __init__(self, port: int, refuses: tuple[str, ...] = (), **more: Any) -> None:
        super().__init__(**more)
        self.port, self.refuses = port, refuses

    def answer(self, raw: bytes, body: dict[str, Any], handler: Any) -> tuple[int, bytes]:
        if refused := [field for field in self.refuses if field in body]:
            return refusal(f"Unsupported parameters: {', '.join(refused)}")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        with contextlib.closing(connection):
            connection.request("POST", handler.path, raw, dict(handler.headers))
            response = connection.getresponse()
            return response.status, response.read()


def right_answer(seed: int, choice: int, pairs: int) -> str:
    points = np.random.default_rng([seed, choice]).uniform(-6, 6, (pairs, 2))
    return answer_text(points, AnswerFormat(pairs))


def choices(texts: list[str], **more: str) -> bytes:
    held = [{"index": i, "message": {"content": t}, "finish_reason": "stop"} for i, t in enumerate(texts)]
    return json.dumps({"choices": held, **more}).encode()


def refusal(message: str) -> tuple[int, bytes]:
    return 400, json.dumps({"error": {"message": message}}).encode()


def send(handler: Any, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(content)


@contextlib.contextmanager
def serving(server: Loopback) -> Iterator[Any]:
    try:
        yield server
    finally:
        server.close()
