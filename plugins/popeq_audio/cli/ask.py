"""``popeq ask``: the predicted settings for a sentence, in the terminal, as a picture, as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popeq.activity import hold
from popeq.output import say, say_text
from popeq_audio.cli.options import FILE, predictor_options

if TYPE_CHECKING:
    from popeq_audio.asked import AskedPredictor
    from popeq_audio.asking import Answer

FORMATS = ("equalizer-apo", "camilladsp", "easyeffects", "peaceparams", "csv", "fir.wav")
#: Rates of impulse responses, Hz.
RATES_HZ = (8_000, 384_000)


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
@click.option("--picture", "picture_path", type=FILE, help="Also draw a picture (.png or .svg).")
@click.option("--export", "form", type=click.Choice(FORMATS), help="Also write the setting for an equaliser.")
@click.option(
    "--to", "target", type=FILE, help="File of the export. [default: popeq with the format's ending]"
)
@click.option("--rate", "rate_hz", type=click.IntRange(*RATES_HZ), help="Of fir.wav, Hz. [default: 48000]")
@click.option(
    "--channels",
    type=click.IntRange(1, 8),
    help="Of fir.wav: so many times the same impulse response. [default: 1]",
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
    asked: AskedPredictor,
    samples: int,
    keep_warm: float | None,
    as_json: bool,
    picture_path: Path | None,
    **export: Any,
) -> None:
    """Ask a predictor how listeners would set the equaliser for SENTENCE.

    Without a SENTENCE, sentences are read one a line from the input and answered one by one: the predictor
    is loaded once, so every question after the first is fast. A process kept by --keep-warm does the same for
    questions that are commands of their own.
    """
    from popeq_audio.checks import checked_sentence
    from popeq_audio.warm.client import end_kept

    whole = picture_path is not None or export["form"] is not None
    if export["target"] is not None and export["form"] is None:
        raise click.UsageError("--to needs --export")
    if export["form"] != "fir.wav" and (export["rate_hz"] or export["channels"]):
        raise click.UsageError("--rate and --channels need --export fir.wav")
    if sentence is None and (whole or keep_warm):
        raise click.UsageError("--picture, --export and --keep-warm need a SENTENCE")
    if sentence is not None:
        sentence = checked_sentence(sentence)  # before anything slow
    if picture_path is not None:
        from popeq.drawing import check_picture

        check_picture(picture_path)
    if asked.fresh or keep_warm == 0:
        ended = end_kept(asked)
        if sentence is None and keep_warm == 0:
            say("the kept process has ended" if ended else "no process was kept", err=True)
            return
    if sentence is None:
        _converse(asked, samples, as_json)
        return
    question = {"sentence": sentence, "samples": samples, "json": as_json, "whole": whole}
    kept = None if asked.fresh and not keep_warm else _kept(asked, question, keep_warm)
    if kept is not None:
        say_text(str(kept["printed"]))
        if not whole:
            return
    from popeq_audio import asking

    if kept is not None:
        answer = asking.Answer.of_message(kept["answer"])
    else:
        answer = asking.ask(asked.fitted(), sentence, samples, asked.seed)
        say_text(asking.printed(answer, as_json))
    if picture_path is not None:
        from popeq_audio.pictures import picture

        picture(answer, picture_path)
        say(f"picture: {picture_path}", err=as_json)
    if export["form"] is not None:
        _export(answer, quiet=as_json, **export)


def _kept(asked: AskedPredictor, question: dict[str, Any], minutes: float | None) -> dict[str, Any] | None:
    """The reply of the kept process, which is started first if ``minutes`` are given; None without one."""
    from popeq_audio.warm.client import ask_kept, start_kept

    if not minutes:
        return ask_kept(asked, question)
    question = question | {"minutes": minutes}
    reply = ask_kept(asked, question)
    if reply is not None:
        return reply
    number = start_kept(asked, minutes)
    say(
        f"popeq: process {number} is kept for {minutes:g} minutes after the last question; "
        "--keep-warm 0 ends it",
        err=True,
    )
    return ask_kept(asked, question)


def _converse(asked: AskedPredictor, samples: int, as_json: bool) -> None:
    from popeq.errors import UsageError
    from popeq_audio.asking import ask, printed

    fitted = asked.fitted()
    talking, answered = sys.stdin.isatty(), 0
    if talking:
        hold()
    while True:
        if talking:
            say("", "sentence (empty line: end)> ", nl=False, err=True)
        line = sys.stdin.readline()
        if not line or (talking and not line.strip()):
            if not (answered or talking):
                raise UsageError("no SENTENCE is given, and the input has none: write one a line")
            return
        answered += 1
        try:
            say_text(printed(ask(fitted, line, samples, asked.seed), as_json))
        except UsageError as error:
            say(f"popeq: {error}", err=True)
        sys.stdout.flush()


def _export(
    answer: Answer,
    form: str,
    target: Path | None,
    rate_hz: int | None,
    channels: int | None,
    quiet: bool,
) -> None:
    from popeq_audio.exports import DEFAULT_FIR, Fir, export
    from popeq_audio.exports import FORMATS as MADE

    path = target or Path(f"popeq{MADE[form].suffix}")
    fir = Fir(rate_hz or DEFAULT_FIR.rate_hz, channels or DEFAULT_FIR.channels)
    fit = export(answer.recommended, form, path, answer.space, fir)
    how = f"{fit.in_words}, preamp {fit.preamp_db:.2f} dB"
    if form == "fir.wav":
        how = f"the exact curve, {fir.rate_hz} Hz, {fir.channels} channel{'s' * (fir.channels > 1)}"
    say(f"{form}: {how}: {path}", err=quiet)
    say(f"it goes to: {MADE[form].place.format(name=path.name)}", err=quiet)
