"""The page's server: its files, its tracks, and answers to sentences. It loads nothing from elsewhere."""

from __future__ import annotations

import importlib.resources
import io
import json
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import signal
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from popeq.errors import PopeqError
from popeq.plugins import registry
from popeq_audio.checks import MOST_CHARACTERS
from popeq_audio.demo.limits import Bucket, Guard
from popeq_audio.demo.oracle import CURVE_HZ, Oracle, space_json
from popeq_audio.loudness import LoudnessMeter
from popeq_audio.tracks import RATE_HZ, track

TRACKS = {"loop 1": 0, "loop 2": 5, "loop 3": 9}
_FILES = {
    "index.html": "text/html",
    "style.css": "text/css",
    "app.js": "text/javascript",
    "audio.js": "text/javascript",
    "drawing.js": "text/javascript",
}


def make_app(
    oracle: Oracle, hosts: tuple[str, ...] = ("127.0.0.1", "localhost"), bucket: Bucket | None = None
) -> Starlette:
    """The ASGI application; ``hosts`` are the names it answers to, so that no other site can reach it."""

    async def config(_: Request) -> Response:
        return JSONResponse(await run_in_threadpool(_config, oracle))

    async def ask(request: Request) -> Response:
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return _wrong("the question must come as application/json", 415)
        try:
            question = json.loads(await request.body())
            text, predictor = question["text"], question["predictor"]
        except (ValueError, KeyError, TypeError, RecursionError):
            return _wrong("the question must be JSON with text and predictor")
        if not isinstance(text, str) or not isinstance(predictor, str):
            return _wrong("text and predictor must be text")
        try:
            return JSONResponse(await run_in_threadpool(oracle.answer, text, predictor))
        except PopeqError as error:
            return _wrong(str(error))

    async def tracks(request: Request) -> Response:
        number = request.path_params["number"]
        if number not in TRACKS.values():
            return _wrong("there is no such track", 404)
        return Response(await run_in_threadpool(_wav, number), media_type="audio/wav")

    async def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in _FILES:
            return _wrong("there is no such page", 404)
        content = importlib.resources.files("popeq_audio.demo").joinpath("page", name).read_text("utf-8")
        return Response(content, media_type=_FILES[name])

    return Starlette(
        routes=[
            Route("/", file),
            Route("/api/config", config),
            Route("/api/ask", ask, methods=["POST"]),
            Route("/api/track/{number:int}.wav", tracks),
            Route("/{name}", file),
        ],
        middleware=[
            Middleware(Guard, bucket=bucket),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        ],
    )


def _wrong(message: str, status: int = 400) -> JSONResponse:
    return JSONResponse({"error": message}, status)


def _config(oracle: Oracle) -> dict[str, Any]:
    specs = registry().predictors
    return {
        "predictors": [{"name": n, "summary": specs[n].summary} for n in oracle.predictors if n in specs],
        "dataset": oracle.dataset.name,
        "simulated": oracle.dataset.card.simulated,
        "most_characters": MOST_CHARACTERS,
        "tracks": [{"name": name, "url": f"/api/track/{number}.wav"} for name, number in TRACKS.items()],
        "rate_hz": RATE_HZ,
        "weighting_db": _weighting_db(),
        "plane": _plane(oracle),
    }


@lru_cache(maxsize=1)
def _weighting_db() -> list[float]:
    """Gain of BS.1770's weighting at the page's frequencies, so that it can keep settings equally loud."""
    sections = LoudnessMeter(RATE_HZ, 1).sections
    _, response = signal.sosfreqz(sections, worN=CURVE_HZ, fs=RATE_HZ)
    weights: list[float] = np.round(20.0 * np.log10(np.abs(response)), 3).tolist()
    return weights


def _plane(oracle: Oracle) -> dict[str, Any]:
    return _cached_plane(oracle.dataset.space)


_cached_plane = lru_cache(maxsize=4)(space_json)


@lru_cache(maxsize=8)
def _wav(number: int) -> bytes:
    from scipy.io import wavfile

    stream = io.BytesIO()
    wavfile.write(stream, RATE_HZ, np.round(track(number) * 32_767).astype(np.int16))
    return stream.getvalue()
