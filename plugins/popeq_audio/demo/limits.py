"""What the page's server refuses: large bodies and too many requests; and the headers of its answers."""

from __future__ import annotations

import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.middleware.base import BaseHTTPMiddleware, RequestResponseEndpoint
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp

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


def refusal(message: str, status: int = 400) -> JSONResponse:
    """What the page shows as an error."""
    return JSONResponse({"error": message}, status)


def too_large() -> JSONResponse:
    """The refusal of a body that is larger than ``MOST_BODY_BYTES``."""
    return refusal(f"the request is too large; {MOST_BODY_BYTES // 1024} KiB at most", 413)


async def small_body(request: Request) -> bytes | None:
    """The body; None if it is too large, which a client need not have said before.

    The rest of a large body is taken in, up to a limit, or its sender may never read the reason.
    """
    body, taken = b"", 0
    with contextlib.suppress(ClientDisconnect):
        async for part in request.stream():
            taken += len(part)
            if taken <= MOST_BODY_BYTES:
                body += part
            elif taken > _MOST_DISCARDED_BYTES:
                break
    return body if taken <= MOST_BODY_BYTES else None


class Guard(BaseHTTPMiddleware):
    """The security headers on every answer, and the limits before the application runs."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(app)
        self.bucket = Bucket()

    async def dispatch(self, request: Request, call_next: RequestResponseEndpoint) -> Response:
        """The application's answer, or a refusal."""
        wait = self.bucket.take(request.client.host if request.client else "?")
        length = request.headers.get("content-length", "0")
        if wait > 0.0:
            await small_body(request)
            response: Response = refusal(f"too many requests; try again in {wait:.1f} s", 429)
            response.headers["Retry-After"] = str(max(1, round(wait)))
        elif not length.isdigit() or int(length) > MOST_BODY_BYTES:
            await small_body(request)
            response = too_large()
        else:
            response = await call_next(request)
        response.headers.update(HEADERS)
        return response
