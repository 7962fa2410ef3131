"""What the page's server refuses: large bodies, too many requests, foreign hosts; and its headers."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BODY_BYTES = 16_384
_MOST_DISCARDED_BYTES = 64 * 1024 * 1024
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclass
class Bucket:
    """A token bucket for each client: ``burst`` requests at once, then ``per_s`` a second."""

    burst: int = 120
    per_s: float = 20.0
    clock: Callable[[], float] = time.monotonic
    clients: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    most_clients: int = 1000

    def take(self, client: str) -> float:
        """0 if the request may pass, else the seconds to wait."""
        now = self.clock()
        tokens, then = self.clients.pop(client, (float(self.burst), now))
        tokens = min(float(self.burst), tokens + (now - then) * self.per_s)
        wait = 0.0 if tokens >= 1.0 else (1.0 - tokens) / self.per_s
        self.clients[client] = (tokens - 1.0 if wait == 0.0 else tokens, now)
        while len(self.clients) > self.most_clients:
            self.clients.popitem(last=False)
        return wait


class Guard:
    """ASGI middleware: the security headers on every answer, and the limits before the application runs."""

    def __init__(self, app: ASGIApp, bucket: Bucket | None = None, most_bytes: int = MOST_BODY_BYTES) -> None:
        self.app = app
        self.bucket = bucket or Bucket()
        self.most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await self._discard(receive)
            await refused(scope, receive, with_headers)
            return
        body, whole = await self._body(receive)
        if not whole:
            await self._discard(receive)
            await self._too_large()(scope, receive, with_headers)
            return
        replayed_once = False

        async def replayed() -> Message:
            nonlocal replayed_once
            if replayed_once:
                return await receive()
            replayed_once = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replayed, with_headers)

    def _refused(self, scope: Scope) -> JSONResponse | None:
        client = scope.get("client")
        wait = self.bucket.take(client[0] if client else "?")
        if wait > 0.0:
            return JSONResponse(
                {"error": f"too many requests; try again in {wait:.1f} s"},
                429,
                {"Retry-After": str(max(1, round(wait)))},
            )
        length = dict(scope["headers"]).get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.most_bytes:
            return self._too_large()
        return None

    def _too_large(self) -> JSONResponse:
        return JSONResponse(
            {"error": f"the request is too large; {self.most_bytes // 1024} KiB at most"},
            413,
        )

    async def _discard(self, receive: Receive) -> None:
        """Take in the rest of a refused request, or its sender may never read the reason; up to a limit."""
        taken = 0
        while taken < _MOST_DISCARDED_BYTES:
            message = await receive()
            taken += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body", False):
                return

    async def _body(self, receive: Receive) -> tuple[bytes, bool]:
        """All of the body, and whether it was within the limit (a client need not have said its length)."""
        body = b""
        while True:
            message = await receive()
            if message["type"] != "http.request":
                return body, True
            body += message.get("body", b"")
            if len(body) > self.most_bytes:
                return b"", False
            if not message.get("more_body", False):
                return body, True
