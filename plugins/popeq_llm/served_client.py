"""One question to an OpenAI-compatible server: attempts, waiting, and errors that never show the key."""

from __future__ import annotations

import contextlib
import email.utils
import ipaddress
import json
import logging
import math
import os
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2
from tenacity import RetryCallState, Retrying, retry_if_result, sleep_using_event, stop_after_attempt

from popeq.caches import canonical
from popeq.errors import UsageError

#: The variable that holds the key.
KEY_VARIABLE = "OPENAI_API_KEY"
_LONGEST_BODY = 16_000_000  # bytes of one response
_PASSING = {408, 409, 425, 429}  # status codes worth another attempt, besides 5xx
_MISCOUNTS = 2  # after so many responses with a wrong number of choices, several at once are not asked again


class ServerError(Exception):
    """A question that got no answer; the text says what happened and what to do."""


class RefusedError(ServerError):
    """The server will not have the request as it is (400, 422): asked otherwise, it may."""


class UnreachableError(ServerError):
    """The server answers nobody: a wrong address or key, no connection, or a wait that is too long."""


class MiscountedError(ServerError):
    """The server keeps giving another number of choices than was asked for."""


class CancelledError(ServerError):
    """Another question failed, so this one is not asked any more."""


@dataclass(frozen=True)
class Choice:
    """One answer as the server gave it, and why it ended there."""

    text: str
    finish: str


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
        self.patience = patience
        self._resume_at = 0.0
        transport = logging.getLogger("httpcore2")  # at DEBUG it writes the headers that servers send
        transport.setLevel(max(transport.level, logging.INFO))
        self._http = httpx2.Client(
            timeout=httpx2.Timeout(timeout_s, pool=None),
            limits=httpx2.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=not _is_loopback(httpx2.URL(self.base_url).host),
        )

    def complete(self, body: Mapping[str, Any], stop: threading.Event | None = None) -> list[Choice]:
        """The choices, exactly as many as asked for. Raises ServerError, or one of its kinds."""
        count = int(body.get("n", 1))
        content = canonical(body).encode()
        stop = stop or threading.Event()
        miscounts = 0

        def attempt() -> list[Choice] | _Fault:
            nonlocal miscounts
            if stop.wait(max(0.0, self._resume_at - time.monotonic())) or stop.is_set():
                raise CancelledError
            outcome = self._attempt(content, count)
            miscounts += isinstance(outcome, _Fault) and outcome.miscounted
            if count > 1 and miscounts == _MISCOUNTS:
                raise MiscountedError("the server gives another number of choices than was asked for")
            return outcome

        # Faults are results and not exceptions: the HTTP client's exceptions hold the request with its key.
        outcome = Retrying(
            retry=retry_if_result(lambda outcome: isinstance(outcome, _Fault)),
            stop=stop_after_attempt(self.patience.attempts),
            wait=self._wait_s,
            sleep=sleep_using_event(stop),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )(attempt)
        if isinstance(outcome, _Fault):
            raise (UnreachableError if outcome.unreachable else ServerError)(
                f"{self.patience.attempts} attempts failed, the last with {outcome.what}; check that the "
                "server runs and is not overloaded, then run again: what it has answered is kept"
            )
        return outcome

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

    def _attempt(self, content: bytes, count: int) -> list[Choice] | _Fault:
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
                        return _Fault(f"no whole answer within {self.timeout_s:g} s")
                    if len(received) > _LONGEST_BODY:
                        return _Fault("an answer without end")
                status, response_headers = response.status_code, response.headers
        except httpx2.TimeoutException:
            return _Fault(f"no answer within {self.timeout_s:g} s")
        except httpx2.ConnectError:
            return _Fault("no connection", unreachable=True)
        except httpx2.DecodingError:
            return _Fault("an answer that cannot be decompressed")
        except httpx2.HTTPError:
            return _Fault("a cut connection")
        if status == 200:
            return _choices(bytes(received), count)
        message = _message(bytes(received))
        what = f"status {status}{f' ({message})' if message else ''}"
        if status in _PASSING or status >= 500:
            return _Fault(what, wait_s=_retry_after(response_headers.get("Retry-After")))
        if status in {400, 422}:
            raise RefusedError(f"the server refuses the request with {what}")
        if status in {401, 403}:
            held = "it is not accepted" if os.environ.get(KEY_VARIABLE) else "it holds none"
            raise UnreachableError(f"{what}; the key is read from the variable {KEY_VARIABLE}: {held}")
        check = "the base URL"
        if status == 404:
            check = "the model's name and the base URL (most servers want one that ends in /v1)"
        raise UnreachableError(f"{what}; check {check}")


def _choices(received: bytes, count: int) -> list[Choice] | _Fault:
    """The choices of a response, or what is wrong with it."""
    try:
        given = json.loads(received)["choices"]
        texts = [choice["message"].get("content") for choice in given]
        ends = [str(choice.get("finish_reason")) for choice in given]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return _Fault("malformed JSON")
    if len(texts) != count:
        return _Fault(f"{len(texts)} choices where {count} were asked for", miscounted=True)
    return [Choice(t if isinstance(t, str) else "", e) for t, e in zip(texts, ends, strict=True)]


def _key() -> str:
    return os.environ.get(KEY_VARIABLE, "").strip()


def _authorization() -> dict[str, str]:
    key = _key()
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"the key in {KEY_VARIABLE} has characters that no key can have; set it anew")
    return {"Authorization": f"Bearer {key}"} if key else {}


def _message(received: bytes) -> str:
    """What the server says about an error, on one line."""
    text = received.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        held = json.loads(text)
        for name in ("error", "message", "detail"):
            held = held.get(name, held) if isinstance(held, dict) else held
        text = held if isinstance(held, str) else canonical(held)
    return line(text)


def line(text: str, most: int = 160) -> str:
    """Text of the server as one printable line of bounded length, without the key."""
    key = _key()
    text = text.replace(key, "(key)") if key else text
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= most else text[: most - 3] + "..."


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
