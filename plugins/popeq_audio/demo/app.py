"""The page's server: its files, its tracks, and answers to sentences. It loads nothing from elsewhere."""

from __future__ import annotations

import importlib.resources
import io
from functools import lru_cache
from typing import Any

import numpy as np
from scipy import signal
from scipy.io import wavfile
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from popeq.errors import PopeqError
from popeq.others_files import parse_json
from popeq.plugins import registry
from popeq_audio.checks import MOST_CHARACTERS
from popeq_audio.demo.limits import Guard, refusal, small_body, too_large
from popeq_audio.demo.oracle import CURVE_HZ, Oracle, plane_json
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


def make_app(oracle: Oracle, hosts: tuple[str, ...] = ("127.0.0.1", "localhost")) -> Starlette:
    """The ASGI application; ``hosts`` are the names it answers to, so that no other site can reach it."""

    def config(_: Request) -> Response:
        return JSONResponse(_config(oracle))

    async def ask(request: Request) -> Response:
        body = await small_body(request)
        if body is None:
            return too_large()
        if request.headers.get("content-type", "").split(";")[0].strip() != "application/json":
            return refusal("the question must come as application/json", 415)
        try:
            question = parse_json(body)
            text, predictor = question["text"], question["predictor"]
        except ValueError as error:
            return refusal(f"the question must be JSON: {error}")
        except (KeyError, TypeError):
            return refusal("the question must be JSON with text and predictor")
        if not isinstance(text, str) or not isinstance(predictor, str):
            return refusal("text and predictor must be text")
        try:
            return JSONResponse(await run_in_threadpool(oracle.answer, text, predictor))
        except PopeqError as error:
            return refusal(str(error))

    def tracks(request: Request) -> Response:
        number = request.path_params["number"]
        if number not in TRACKS.values():
            return refusal("there is no such track", 404)
        return Response(_wav(number), media_type="audio/wav")

    def file(request: Request) -> Response:
        name = request.path_params.get("name", "index.html")
        if name not in _FILES:
            return refusal("there is no such page", 404)
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
            Middleware(Guard),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts)),
        ],
    )


@lru_cache(maxsize=1)
def _config(oracle: Oracle) -> dict[str, Any]:
    """What the page has to know; the weighting of BS.1770 (dB) lets it keep settings equally loud."""
    _, weighting = signal.sosfreqz(LoudnessMeter(RATE_HZ, 1).sections, worN=CURVE_HZ, fs=RATE_HZ)
    return {
        "predictors": [{"name": n, "summary": registry().predictor(n).summary} for n in oracle.predictors],
        "dataset": oracle.dataset.name,
        "simulated": oracle.dataset.card.simulated,
        "most_characters": MOST_CHARACTERS,
        "tracks": [{"name": name, "url": f"/api/track/{number}.wav"} for name, number in TRACKS.items()],
        "rate_hz": RATE_HZ,
        "weighting_db": np.round(20.0 * np.log10(np.abs(weighting)), 3).tolist(),
        "plane": plane_json(oracle.dataset.space),
    }


@lru_cache(maxsize=8)
def _wav(number: int) -> bytes:
    stream = io.BytesIO()
    wavfile.write(stream, RATE_HZ, np.round(track(number) * 32_767).astype(np.int16))
    return stream.getvalue()
