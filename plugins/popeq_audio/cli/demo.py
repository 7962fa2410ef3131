"""``popeq demo``: serve the local page."""

from __future__ import annotations

import click

from popeq.activity import doing, hold
from popeq.cli.options import one_dataset_option
from popeq.output import say


@click.command()
@click.option(
    "-p",
    "--predictor",
    "predictors",
    multiple=True,
    default=("kernel-mixture", "icl-rag", "prior"),
    show_default=True,
    help="Who can be asked; repeatable.",
)
@one_dataset_option
@click.option("-o", "options", multiple=True, metavar="NAME=VALUE", help="A parameter of those that have it.")
@click.option("--model", default=None, help="Short for -o model=...: a language model.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen at.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8765, show_default=True, help="0: any free.")
def demo(
    predictors: tuple[str, ...],
    dataset: str,
    options: tuple[str, ...],
    model: str | None,
    seed: int,
    host: str,
    port: int,
) -> None:
    """Serve a page to ask sentences, see the distribution, drag the point and hear a track change.

    It listens on this machine alone, asks no other machine for anything, and ends with Ctrl-C.
    """
    import socket

    from popeq.errors import UsageError
    from popeq.installing import need
    from popeq.plugins import registry
    from popeq_audio.asked import given_parameters

    for name in predictors:
        registry().predictor(name)
    uvicorn = need("uvicorn", "demo")
    need("starlette", "demo")
    need("pyloudnorm", "audio")
    from popeq_audio.demo.app import make_app
    from popeq_audio.demo.oracle import Oracle

    oracle = Oracle(predictors, dataset, given_parameters(options, model), seed)
    with doing(f"loading and fitting {oracle.predictors[0]} on {dataset}"):
        oracle.fitted(oracle.predictors[0])  # so that the first question is answered fast, or fails here
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        raise UsageError(f"--host {host} --port {port}: cannot listen there: {error.strerror}") from None
    hosts = tuple(dict.fromkeys((host, "127.0.0.1", "localhost")))
    if host in ("0.0.0.0", "::"):
        hosts = ("*",)
        say("popeq demo: anybody who can reach this machine can use the page", err=True)
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(oracle, hosts), log_level="warning", limit_concurrency=200, server_header=False
        )
    )
    shown = f"[{host}]" if ":" in host else host
    say(f"popeq demo: http://{shown}:{listener.getsockname()[1]}/  (Ctrl-C ends it)")
    hold()
    server.run(sockets=[listener])
