"""``popeq render``: hear a setting, or what a predictor recommends for a sentence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from popeq.output import say
from popeq_audio.cli.options import FILE, Setting, predictor_options

if TYPE_CHECKING:
    from popeq_audio.asked import AskedPredictor
    from popeq_audio.asking import Answer


@click.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@click.option(
    "--at", type=Setting(), metavar="X,Y", help="The setting: x and y in dB, in the box of --dataset."
)
@click.option("--ask", "sentence", help="The setting recommended for a sentence.")
@click.option(
    "--match/--no-match", default=True, show_default=True, help="Make it as loud as the source (BS.1770)."
)
@click.option(
    "--ceiling",
    "ceiling_dbtp",
    type=click.FloatRange(-20, 0),
    default=-1.0,
    show_default=True,
    help="Highest true peak, dBTP (or the source's own, where that is higher).",
)
@click.option("--quiet", is_flag=True, help="No progress bar.")
@predictor_options
def render(
    source: Path,
    target: Path,
    at: tuple[float, float] | None,
    sentence: str | None,
    quiet: bool,
    asked: AskedPredictor,
    **levels: Any,
) -> None:
    """Filter IN (wav, flac or ogg, up to 8 channels, any rate and length) with a setting's curve into OUT."""
    if (at is None) == (sentence is None):
        raise click.UsageError("give either --at X,Y or --ask SENTENCE")
    from popeq.terminal import Bar
    from popeq_audio.files import check_target, open_audio
    from popeq_audio.rendering import RenderSettings
    from popeq_audio.rendering import render as rendered
    from popeq_audio.settings import check_settings, in_words

    with open_audio(source) as opened:  # say what is wrong before anything slow
        check_target(target, opened)
    if at is not None:
        from popeq.lookup import load_dataset

        dataset = load_dataset(asked.dataset)
        check_settings([at], dataset.space, dataset.name)
        space = dataset.space
    else:
        assert sentence is not None
        from popeq_audio.pictures import summary

        answer = _answer(asked, sentence)
        at, space = answer.recommended, answer.space
        say(f"“{answer.text}”", *summary(answer))
    settings = RenderSettings(at, space, **levels)
    with Bar("%", 100, hidden=quiet) as bar:
        made = rendered(source, target, settings, lambda done, total: bar.at(round(100 * done / total)))
    louder = made.short_db > 0.05 and settings.match
    short = f", {made.short_db:.1f} dB louder; it would clip" if louder else ""
    say(
        f"setting {in_words(at, space)}: gain {made.gain_db:+.2f} dB: "
        f"{made.loudness_lufs:.1f} LUFS (source {made.source.loudness_lufs:.1f}{short}), "
        f"true peak {made.true_peak_dbtp:.1f} dBTP: {target}"
    )


def _answer(asked: AskedPredictor, sentence: str) -> Answer:
    """The answer, from the process that ``popeq ask --keep-warm`` keeps if there is one."""
    from popeq_audio.asking import SAMPLES, Answer, ask
    from popeq_audio.warm.client import ask_kept

    question = {"sentence": sentence, "samples": SAMPLES, "json": False, "whole": True}
    kept = None if asked.fresh else ask_kept(asked, question)
    if kept is not None:
        return Answer.of_message(kept["answer"])
    return ask(asked.fitted(), sentence, seed=asked.seed)
