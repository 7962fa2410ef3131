"""One question to an OpenAI-compatible server: attempts, waiting, and errors that never show the key."""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import logging
import math
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_result, sleep_using_event, stop_after_attempt

from popeq.caches import canonical
from popeq.errors import UsageError
from popeq_llm.served_errors import (
    CancelledError,
    MiscountedError,
    RefusedError,
    ServerError,
    UnreachableError,
)
from popeq_llm.served_reply import KEY_VARIABLE, ErrorBody, Reply, key, listing_of, message_of, read_reply

_LONGEST_BODY = 16_000_000  # bytes of one response
_PASSING = {408, 409, 425, 429}  # status codes worth another attempt, besides 5xx
_OVERLOADED = {503, 504}  # that a server gives which cannot keep up
_LIST_S = 5.0
MISCOUNTS = 2  # after so many responses with a wrong number of choices, several at once are not asked again


@dataclass(frozen=True)
class Patience:
    """How often to try: at most ``attempts`` requests a question.

    The wait before attempt k + 1 is random between half and all of ``backoff_s`` x 2^(k-1), and not shorter
    than the server says in Retry-After; a server that asks for more than ``longest_wait_s`` is given up.
    """

    attempts: int = 6
    backoff_s: float = 1.0
    longest_wait_s: float = 60.0


@dataclass(frozen=True)
class _Fault:
    """An attempt that failed and may be repeated."""

    what: str
    wait_s: float | None = None
    miscounted: bool = False
    unreachable: bool = False
    overloaded: bool = False


def checked_url(base_url: str) -> str:
    """The address without its last slash; raises UsageError unless it is plain http(s) without secrets."""
    try:
        url = httpx2.URL(base_url)
    except (httpx2.InvalidURL, TypeError):
        url = httpx2.URL("")
    if url.userinfo or url.query or url.fragment:
        raise UsageError(
            "the base URL may hold no user, password, query or fragment: it is recorded with the run; "
            "put the key into an environment variable"
        )
    if url.scheme not in {"http", "https"} or not url.host:
        raise UsageError(f"not the address of a server: {base_url!r}; it looks like http://127.0.0.1:8000/v1")
    return base_url.rstrip("/")


class Client:
    """Asks one server. Safe to use from many threads; a 429 makes all of them wait."""

    def __init__(self, base_url: str, connections: int, timeout_s: float, patience: Patience) -> None:
        self.base_url = checked_url(base_url)
        self.timeout_s = timeout_s
        self.connections = connections
        self.patience = patience
        self._resume_at = 0.0
        transport = logging.getLogger("httpcore2")  # at DEBUG it writes the headers that servers send
        transport.setLevel(max(transport.level, logging.INFO))
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(timeout_s, pool=None),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=not _is_loopback(httpx2.URL(self.base_url).host),
        )

    def complete(
        self, body: Mapping[str, Any], stop: threading.Event | None = None, attempts: int | None = None
    ) -> Reply:
        """The choices, exactly as many as asked for. Raises ServerError, or one of its kinds.

        ``attempts`` are tried at most, by default those of the client's patience.
        """
        count = int(body.get("n", 1))
        content = canonical(body).encode()
        stop = stop or threading.Event()
        attempts = min(attempts or self.patience.attempts, self.patience.attempts)
        faults = miscounts = 0

        def attempt() -> Reply | _Fault:
            nonlocal faults, miscounts
            if stop.wait(max(0.0, self._resume_at - time.monotonic())) or stop.is_set():
                raise CancelledError
            outcome = self._attempt(content, count)
            if isinstance(outcome, Reply):
                return replace(outcome, retried=faults)
            faults += 1
            miscounts += outcome.miscounted
            if count > 1 and miscounts == MISCOUNTS:
                raise MiscountedError("the server gives another number of choices than was asked for")
            return outcome

        # Faults are results and not exceptions: the HTTP client's exceptions hold the request with its key.
        outcome = Retrying(
            retry=retry_if_result(lambda outcome: isinstance(outcome, _Fault)),
            stop=stop_after_attempt(attempts),
            wait=self._wait_s,
            sleep=sleep_using_event(stop),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )(attempt)
        if isinstance(outcome, _Fault):
            raise (UnreachableError if outcome.unreachable else ServerError)(
                f"{attempts} attempts failed, the last with {outcome.what}; {self._advice(outcome)}, then "
                "run again: what it has answered is kept"
            )
        return outcome

    def listed(self, name: str) -> str | None:
        """What the server's list of models says of one (``listing_of``); None if the server does not answer.

        It is asked once and for a few seconds at most: many servers have no such list.
        """
        timeout_s = min(self.timeout_s, _LIST_S)
        try:
            response = self._http.get(f"{self.base_url}/models", headers=_authorization(), timeout=timeout_s)
        except httpx2.HTTPError:
            return None
        return listing_of(response.content, name) if response.status_code == 200 else ""

    def _advice(self, fault: _Fault) -> str:
        if fault.overloaded and self.connections > 1:
            return (
                f"up to {self.connections} requests are sent at the same time: if the server cannot keep up, "
                "ask one by one with -o concurrency=1, or wait longer with -o timeout_s="
            )
        if fault.overloaded:
            return "wait longer with -o timeout_s="
        return "check that the server runs and is not overloaded"

    def _wait_s(self, state: RetryCallState) -> float:
        """Seconds to wait before the next attempt; a wait that the server asks for holds for every thread."""
        assert state.outcome is not None
        fault: _Fault = state.outcome.result()
        if (asked_s := fault.wait_s or 0.0) > self.patience.longest_wait_s:
            raise UnreachableError(
                f"{fault.what}, and it asks to wait {asked_s:.0f} s, more than "
                f"{self.patience.longest_wait_s:.0f} s; run again later: what it has answered is kept"
            )
        self._resume_at = max(self._resume_at, time.monotonic() + asked_s)
        most = min(self.patience.backoff_s * 2 ** (state.attempt_number - 1), self.patience.longest_wait_s)
        return float(most * random.uniform(0.5, 1.0))

    def _attempt(self, content: bytes, count: int) -> Reply | _Fault:
        """One request. Exceptions of the HTTP client, which hold the request, end here."""
        deadline = time.monotonic() + self.timeout_s
        received = bytearray()
        headers = {"Content-Type": "application/json", **_authorization()}
        try:
            with self._http.stream(
                "POST", f"{self.base_url}/chat/completions", content=content, headers=headers
            ) as response:
                for part in response.iter_bytes():
                    received += part
                    if time.monotonic() > deadline:
                        return _Fault(f"no whole answer within {self.timeout_s:g} s", overloaded=True)
                    if len(received) > _LONGEST_BODY:
                        return _Fault("an answer without end")
                status, response_headers = response.status_code, response.headers
        except httpx2.TimeoutException:
            return _Fault(f"no answer within {self.timeout_s:g} s", overloaded=True)
        except httpx2.ConnectError:
            return _Fault("no connection", unreachable=True)
        except httpx2.DecodingError:
            return _Fault("an answer that cannot be decompressed")
        except httpx2.HTTPError:
            return _Fault("a cut connection")
        if status != 200:
            return _judged(status, "", message_of(bytes(received)), response_headers.get("Retry-After"))
        reply = read_reply(bytes(received))
        if isinstance(reply, ErrorBody):
            return _judged(reply.status, "status 200 and an error in it, ", reply.message, None)
        if reply is None:
            return _Fault("malformed JSON")
        if (given := len(reply.choices)) != count:
            return _Fault(f"{given} choices where {count} were asked for", miscounted=True)
        return reply


def _judged(status: int, where: str, message: str, retry_after: str | None) -> _Fault:
    """What to make of an error: a fault that may pass. Raises ServerError for one that will not."""
    what = f"{where}status {status}{f' ({message})' if message else ''}"
    if status in _PASSING or status >= 500:
        return _Fault(what, wait_s=_retry_after(retry_after), overloaded=status in _OVERLOADED)
    if status in {400, 422}:
        raise RefusedError(f"the server refuses the request with {what}")
    if status in {401, 403}:
        held = "it is not accepted" if key() else "it holds none"
        raise UnreachableError(f"{what}; the key is read from the variable {KEY_VARIABLE}: {held}")
    check = "the base URL"
    if status == 404:
        check = "the model's name and the base URL (most servers want one that ends in /v1)"
    raise UnreachableError(f"{what}; check {check}")


def _authorization() -> dict[str, str]:
    secret = key()
    if not (secret.isascii() and secret.isprintable()):
        raise UsageError(f"the key in {KEY_VARIABLE} has characters that no key can have; set it again")
    return {"Authorization": f"Bearer {secret}"} if secret else {}


def _is_loopback(host: str) -> bool:
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return host == "localhost"


def _retry_after(value: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date."""
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
