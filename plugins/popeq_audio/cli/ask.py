"""``popeq ask``: the predicted settings for a sentence, in the terminal, as a picture, as a file."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popeq_audio.cli.options import opened, predictor_options

if TYPE_CHECKING:
    from popeq_audio.asking import Answer
    from popeq_audio.fitted import Fitted

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
@click.option("--json", "as_json", is_flag=True, help="Print JSON: samples, camps, recommendation, bands.")
def ask(
    sentence: str | None,
    picture_path: Path | None,
    form: str | None,
    target: Path | None,
    samples: int,
    as_json: bool,
    seed: int,
    **which: Any,
) -> None:
    """Ask a predictor how listeners would set the equaliser for SENTENCE.

    Without a SENTENCE, sentences are read one a line from the input and answered one by one: the predictor
    is loaded once, so every question after the first is fast.
    """
    if target is not None and form is None:
        raise click.UsageError("--to needs --export")
    if sentence is None and (picture_path is not None or form is not None):
        raise click.UsageError("--picture and --export need a SENTENCE")
    if sentence is not None:
        from popeq_audio.asking import checked_sentence

        sentence = checked_sentence(sentence)  # before anything slow
    fitted = opened(seed=seed, **which)
    if sentence is None:
        _converse(fitted, samples, seed, as_json)
        return
    answer = _answered(fitted, sentence, samples, seed)
    _tell(answer, as_json)
    if picture_path is not None:
        from popeq_audio.pictures import picture

        picture(answer, picture_path)
        click.echo(f"picture: {picture_path}", err=as_json)
    if form is not None:
        _export(answer, form, target, quiet=as_json)


def _answered(fitted: Fitted, sentence: str, samples: int, seed: int) -> Answer:
    from popeq_audio.asking import ask as answered

    return answered(fitted, sentence, samples, seed)


def _tell(answer: Answer, as_json: bool) -> None:
    from popeq_audio.bands import fit_bands

    if as_json:
        from popeq_audio.demo.messages import bands_json

        told = answer.to_json() | {"bands": bands_json(fit_bands(answer.recommended))}
        click.echo(json.dumps(told, ensure_ascii=False))
        return
    from popeq_audio.pictures import terminal_plot

    click.echo(terminal_plot(answer))


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
