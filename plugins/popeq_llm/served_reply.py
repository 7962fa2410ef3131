"""What a server's response says: answers, why there is none, and what the server says of itself."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from popeq.caches import canonical
from popeq.folder_names import is_path, last_name

#: The variable that holds the key.
KEY_VARIABLE = "OPENAI_API_KEY"
#: A thought in the text itself, where a server does not set it apart; the chat's template may have opened it.
_CLOSED = re.compile(r"[<\[]/(?:think|thinking|thought|reasoning)[>\]]", re.IGNORECASE)
_OPENED = re.compile(r"\s*[<\[](?:think|thinking|thought|reasoning)[>\]]", re.IGNORECASE)
#: Names under which servers give thoughts beside an answer.
_THOUGHTS = ("reasoning_content", "reasoning", "thinking")


@dataclass(frozen=True)
class Source:
    """Who answered, as the server says it: the ``model`` and ``system_fingerprint`` of its responses, and a
    hash of what it lists of the model (``listing_of``); empty where it says nothing."""

    model: str = ""
    fingerprint: str = ""
    listed: str = ""

    def __str__(self) -> str:
        model = self.model
        if is_path(model):  # no folder of the server's machine is shown
            digits = hashlib.sha256(model.encode("utf-8", "surrogatepass")).hexdigest()[:8]
            model = f"{last_name(model)} (path {digits})"
        fingerprint = f"system_fingerprint {self.fingerprint}" if self.fingerprint else ""
        listed = f"listed as {self.listed}" if self.listed else ""
        return ", ".join(filter(None, [model, fingerprint, listed]))

    def is_of(self, other: Source) -> bool:
        """Whether responses of both are of the same model and fingerprint."""
        return (self.model, self.fingerprint) == (other.model, other.fingerprint)


@dataclass(frozen=True)
class Choice:
    """One answer, why it ended there, and why it is empty, if the server lets that be known."""

    text: str
    finish: str
    why_empty: str = ""

    @property
    def shortened(self) -> bool:
        """Whether it was cut off at the limit of tokens."""
        return self.finish in ("length", "max_tokens")

    @property
    def shown(self) -> str:
        """The answer as an error shows it."""
        what = self.why_empty or repr(line(self.text, 60))
        return f"{what} (finish reason {line(self.finish, 40)!r})"


@dataclass(frozen=True)
class Reply:
    """The answers of one response, who gave them, and how many attempts failed before it."""

    choices: list[Choice]
    source: Source
    retried: int = 0


@dataclass(frozen=True)
class ErrorBody:
    """An error that came with status 200: the status that it names, and what it says."""

    status: int
    message: str


def read_reply(received: bytes) -> Reply | ErrorBody | None:
    """What a response with status 200 says; None if it is none of an OpenAI-compatible server."""
    try:
        held = json.loads(received)
        if isinstance(held, dict) and held.get("error"):
            return _error_body(held["error"], received)
        given = held["choices"]
        if failed := next((c["error"] for c in given if c.get("error")), None):
            return _error_body(failed, canonical(failed).encode())
        choices = [_choice(c["message"], str(c.get("finish_reason"))) for c in given]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    names = [held.get("model"), held.get("system_fingerprint")]
    return Reply(choices, Source(*(line(name) if isinstance(name, str) else "" for name in names)))


def _error_body(error: Any, whole: bytes) -> ErrorBody:
    code = error.get("code") if isinstance(error, dict) else None
    status = int(code) if isinstance(code, int | str) and re.fullmatch(r"[45]\d\d", str(code)) else 500
    return ErrorBody(status, message_of(whole))


def _choice(message: Mapping[str, Any], finish: str) -> Choice:
    """An answer from a message; its content is a text, or a list of parts."""
    content = message.get("content")
    parts = content if isinstance(content, list) else []
    if parts:
        content = "".join(_text_of(part) for part in parts)
    text, thought = _without_thought(content if isinstance(content, str) else "")
    if text.strip():
        return Choice(text, finish)
    refusals = [message.get("refusal"), *(p.get("refusal") for p in parts if isinstance(p, dict))]
    refusal = next((r for r in refusals if isinstance(r, str) and r.strip()), "")
    thought = thought or any(message.get(name) for name in _THOUGHTS) or bool(parts)
    cut = finish in ("length", "max_tokens")
    if refusal:
        why = f"the model refuses to answer ({line(refusal, 60)!r})"
    elif finish == "content_filter":
        why = "a filter of the server held the answer back"
    elif message.get("tool_calls"):
        why = "the model called a tool"
    elif thought and cut:
        why = "all of its tokens went into thoughts, and none were left for an answer"
    elif thought:
        why = "thoughts without an answer"
    else:
        why = "cut off before any text" if cut else "nothing"
    return Choice("", finish, why)


def _text_of(part: Any) -> str:
    """The text in a part of a content; none of a thought or a refusal."""
    if isinstance(part, str):
        return part
    text = part.get("text") if part.get("type", "text") in ("text", "output_text") else None
    return text if isinstance(text, str) else ""


def _without_thought(text: str) -> tuple[str, bool]:
    """The text behind a thought, and whether there was one; one that does not end leaves no text."""
    closed = list(_CLOSED.finditer(text))
    if closed:
        return text[closed[-1].end() :].lstrip(), True
    return ("", True) if _OPENED.match(text) else (text, False)


def listing_of(received: bytes, name: str) -> str:
    """A hash of what a list of models (``GET models``) says of the weights behind a name; empty if it does
    not.

    llama.cpp has the sizes of the weights there, vLLM the path that they come from. Times and permissions,
    which change by themselves, do not count.
    """
    try:
        listed = json.loads(received)["data"]
        own = [model for model in listed if model["id"] == name] or (listed if len(listed) == 1 else [])
        said = [{field: model.get(field) for field in ("id", "root", "meta")} for model in own]
        if not any(model["root"] or model["meta"] for model in said):
            return ""
        return hashlib.sha256(canonical(said).encode("utf-8", "surrogatepass")).hexdigest()[:8]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""


def message_of(received: bytes) -> str:
    """What the server says about an error, on one line."""
    text = received.decode("utf-8", "replace")
    with contextlib.suppress(ValueError, RecursionError):
        held = json.loads(text)
        for name in ("error", "message", "detail"):
            held = held.get(name, held) if isinstance(held, dict) else held
        text = held if isinstance(held, str) else canonical(held)
    return line(text)


def key() -> str:
    """The server's key; empty if there is none."""
    return os.environ.get(KEY_VARIABLE, "").strip()


def line(text: str, most: int = 160) -> str:
    """Text of the server as one printable line of bounded length, without the key."""
    if secret := key():
        text = text.replace(secret, "(key)")
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return text if len(text) <= most else text[: most - 3] + "..."
