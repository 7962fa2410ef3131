"""The kept process: answers questions over its socket until none has come for a while."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from pathlib import Path
from typing import Any

from popeq.errors import ChangedError, PopeqError
from popeq_audio.asked import AskedPredictor
from popeq_audio.asking import ask, printed
from popeq_audio.fitted import Fitted
from popeq_audio.warm.client import MOST_REQUEST_BYTES, own_folder, receive_line, send_line, socket_of

_LOOK_S = 5.0
_SLOW_CLIENT_S = 10.0

Stamps = dict[str, tuple[int, ...]]


def stamps(asked: AskedPredictor, fitted: Fitted) -> Stamps:
    """Times and size of the program's files, and of what it was asked with: answers depend on them."""
    modules = [m for name, m in list(sys.modules.items()) if name.split(".")[0].startswith("popeq")]
    files = [Path(file) for m in modules if (file := getattr(m, "__file__", None))]
    for place in filter(None, [*asked.paths(), fitted.plan.dataset.folder]):
        files += [place, *(sorted(place.iterdir()) if place.is_dir() else [])]
    found: Stamps = {}
    for file in files:
        with contextlib.suppress(OSError):
            status = file.stat()
            found[str(file)] = (status.st_mtime_ns, status.st_ctime_ns, status.st_size)
    return found


class Kept:
    """A fitted predictor behind a listening socket."""

    def __init__(self, asked: AskedPredictor, fitted: Fitted, minutes: float) -> None:
        self.asked, self.fitted, self.minutes = asked, fitted, minutes
        self.path = socket_of(asked)
        own_folder(self.path)
        fresh = self.path.with_suffix(f".{os.getpid()}")
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(fresh))
        fresh.chmod(0o600)
        self._listener.listen(8)
        self._listener.settimeout(_LOOK_S)
        self._mark = fresh.stat().st_ino
        fresh.replace(self.path)  # one that was started beside this one ends when it sees that
        self._stamps = stamps(asked, fitted)

    def serve(self) -> None:
        """Answer until ``minutes`` have passed without a question, or the socket is another's or gone."""
        until = time.monotonic() + 60.0 * self.minutes
        try:
            while time.monotonic() < until and self._is_own():
                try:
                    connection, _ = self._listener.accept()
                except TimeoutError:
                    continue
                connection.settimeout(_SLOW_CLIENT_S)
                try:
                    with connection, connection.makefile("rwb") as stream:
                        request = receive_line(stream, MOST_REQUEST_BYTES)
                        reply = self.reply(request)
                        send_line(stream, reply)
                except (OSError, ValueError):  # cut off, too long, or not for us
                    continue
                if "end" in request or "stale" in reply:
                    return
                until = time.monotonic() + 60.0 * self.minutes
        finally:
            self._listener.close()
            if self._is_own():
                self.path.unlink(missing_ok=True)

    def reply(self, request: dict[str, Any]) -> dict[str, Any]:
        """What is said to ``{"sentence", "samples", "json", "whole"}`` (and ``"minutes"``) or ``{"end"}``."""
        if request.get("end"):
            return {"ended": True}
        now = stamps(self.asked, self.fitted)
        if any(now.get(file) != stamp for file, stamp in self._stamps.items()):
            return {"stale": True}
        try:
            answer = ask(self.fitted, str(request["sentence"]), int(request["samples"]), self.asked.seed)
            self.minutes = float(request.get("minutes") or self.minutes)
            reply: dict[str, Any] = {"printed": printed(answer, bool(request["json"]))}
            if request["whole"]:
                reply["answer"] = answer.to_message()
        except ChangedError:  # another model answers at the server
            return {"stale": True}
        except PopeqError as error:
            return {"error": str(error)}
        except (KeyError, TypeError, ValueError) as error:
            return {"error": f"the question cannot be read: {error!r}"}
        self._stamps = stamps(self.asked, self.fitted)  # with what the answer has imported
        return reply

    def _is_own(self) -> bool:
        try:
            return self.path.stat().st_ino == self._mark
        except OSError:
            return False


def main() -> None:
    """Read whom to keep from stdin, say on stdout when ready or what is wrong, then serve."""
    job = json.loads(sys.stdin.readline())
    asked = AskedPredictor.model_validate(job["asked"])
    try:
        kept = Kept(asked, asked.fitted(), float(job["minutes"]))
    except PopeqError as error:
        print(json.dumps({"error": str(error)}), flush=True)
        return
    print(json.dumps({"ready": True}), flush=True)
    with Path(os.devnull).open("r+b") as nothing:
        for stream in (0, 1):
            os.dup2(nothing.fileno(), stream)
    kept.serve()


if __name__ == "__main__":
    main()
