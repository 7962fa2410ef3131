"""``popeq ask``: the predicted settings for a sentence, in the terminal, as a picture, as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popeq_audio.cli.options import opened, predictor_options

if TYPE_CHECKING:
    from popeq_audio.asking import Answer
    from popeq_audio.fitted import Fitted
    from popeq_audio.warm.client import AskedPredictor

FORMATS = ("equalizer-apo", "camilladsp", "easyeffects", "peaceparams", "csv", "fir.wav")


@click.command()
@click.argument("sentence", required=False)
@predictor_options
@click.option(
    "-n",
    "--samples",
    type=click.IntRange(1, 10_000),
    default=220,
    show_default=True,
    help="How many settings are drawn.",
)
@click.option(
    "--picture",
    "picture_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Also draw a picture (.png or .svg).",
)
@click.option(
    "--export",
    "form",
    type=click.Choice(FORMATS),
    help="Also write the setting for an equaliser.",
)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path, dir_okay=False),
    help="File of the export. [default: popeq with the format's ending]",
)
@click.option(
    "--keep-warm",
    type=click.FloatRange(0, 1440),
    metavar="MINUTES",
    help="Keep a process ready that answers the next questions at once, until none has come for so long; "
    "0 ends it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON: samples, modes, recommendation, bands.")
def ask(
    sentence: str | None,
    picture_path: Path | None,
    form: str | None,
    target: Path | None,
    samples: int,
    keep_warm: float | None,
    as_json: bool,
    seed: int,
    fresh: bool,
    **options: Any,
) -> None:
    """Ask a predictor how listeners would set the equaliser for SENTENCE.

    Without a SENTENCE, sentences are read one a line from the input and answered one by one: the predictor
    is loaded once, so every question after the first is fast. A process kept by --keep-warm does the same for
    questions that are commands of their own.
    """
    from popeq_audio.checks import checked_sentence
    from popeq_audio.warm.client import AskedPredictor, end_kept

    if target is not None and form is None:
        raise click.UsageError("--to needs --export")
    if sentence is None and (picture_path is not None or form is not None or keep_warm):
        raise click.UsageError("--picture, --export and --keep-warm need a SENTENCE")
    if sentence is not None:
        sentence = checked_sentence(sentence)  # before anything slow
    if picture_path is not None:
        from popeq.drawing import check_picture

        check_picture(picture_path)
    asked = AskedPredictor(seed=seed, **options)
    if fresh or keep_warm == 0:
        ended = end_kept(asked)
        if sentence is None and keep_warm == 0:
            click.echo("the kept process has ended" if ended else "no process was kept", err=True)
            return
    if sentence is None:
        _converse(opened(seed=seed, fresh=fresh, **options), samples, seed, as_json)
        return
    kept = None
    if not fresh or keep_warm:
        request = {
            "sentence": sentence,
            "samples": samples,
            "json": as_json,
            "whole": picture_path is not None or form is not None,
        }
        kept = _kept(asked, request, keep_warm, fresh)
    if kept is None:
        answer = _answered(opened(seed=seed, fresh=fresh, **options), sentence, samples, seed)
        _tell(answer, as_json)
    else:
        click.echo(kept["printed"])
        if picture_path is None and form is None:
            return
        from popeq_audio.asking import Answer

        answer = Answer.of_message(kept["answer"])
    if picture_path is not None:
        from popeq_audio.pictures import picture

        picture(answer, picture_path)
        click.echo(f"picture: {picture_path}", err=as_json)
    if form is not None:
        _export(answer, form, target, quiet=as_json)


def _kept(
    asked: AskedPredictor, request: dict[str, Any], minutes: float | None, fresh: bool
) -> dict[str, Any] | None:
    """The reply of the kept process, which is started first if ``minutes`` are given; None without one."""
    from popeq_audio.warm.client import ask_kept, start_kept

    if minutes:
        request = request | {"minutes": minutes}
    reply = ask_kept(asked, request)
    if reply is not None or not minutes:
        return reply
    number = start_kept(asked, minutes, fresh)
    click.echo(
        f"popeq: process {number} is kept for {minutes:g} minutes after the last question; "
        "--keep-warm 0 ends it",
        err=True,
    )
    return ask_kept(asked, request)


def _answered(fitted: Fitted, sentence: str, samples: int, seed: int) -> Answer:
    from popeq_audio.asking import ask as answered

    return answered(fitted, sentence, samples, seed)


def _tell(answer: Answer, as_json: bool) -> None:
    from popeq_audio.asking import printed

    click.echo(printed(answer, as_json))


def _converse(fitted: Fitted, samples: int, seed: int, as_json: bool) -> None:
    from popeq.errors import UsageError

    talking = sys.stdin.isatty()
    while True:
        if talking:
            click.echo("\nsentence (empty line: end)> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line or (talking and not line.strip()):
            return
        try:
            answer = _answered(fitted, line, samples, seed)
        except UsageError as error:
            click.echo(f"popeq: {error}", err=True)
            continue
        _tell(answer, as_json)
        sys.stdout.flush()


def _export(answer: Answer, form: str, target: Path | None, quiet: bool) -> None:
    from popeq_audio.exports import FORMATS as MADE
    from popeq_audio.exports import export

    path = target or Path(f"popeq{MADE[form].suffix}")
    fit = export(answer.recommended, form, path)
    how = (
        "the exact curve"
        if form == "fir.wav"
        else f"{len(fit.bands)} bands within {fit.error_db:.2f} dB of the curve (40 Hz to 16 kHz), "
        f"preamp {fit.preamp_db:.2f} dB"
    )
    click.echo(f"{form}: {how}: {path}", err=quiet)
