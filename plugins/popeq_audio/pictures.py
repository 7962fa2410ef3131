"""What an answer looks like: a plot for the terminal, and a picture of its density and its curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from popeq.drawing import check_picture, draw_density, empty_canvas, framed, place_on_canvas, save, titled
from popeq.eq import HIGH_HZ, LOW_HZ, gain_db
from popeq_audio.asking import NEAR_DB, Answer
from popeq_audio.modes import density
from popeq_audio.settings import in_words

_SHADES = " .:-=+*#"
_FAN = ((5, 95, 0.18), (25, 75, 0.32))


def terminal_plot(answer: Answer) -> str:
    """The density in shades, ``X`` at the recommended setting, digits at those of the other modes."""
    canvas = empty_canvas(answer.space)
    height, width = canvas.shape
    field = density(answer.samples, answer.space)
    x = np.minimum(((np.arange(width) + 0.5) / width * len(field)).astype(int), len(field) - 1)
    y = np.minimum(((np.arange(height)[::-1] + 0.5) / height * len(field)).astype(int), len(field) - 1)
    level = np.minimum((field[np.ix_(x, y)].T / field.max() * len(_SHADES)).astype(int), len(_SHADES) - 1)
    canvas = np.where(level > 0, np.array(list(_SHADES))[level], canvas)
    for rank, setting in reversed(list(enumerate(answer.settings, 1))):
        row, column = place_on_canvas(np.array(setting), canvas, answer.space)
        canvas[row, column] = "X" if rank == 1 else str(min(rank, 9))
    return framed(canvas, answer.space, answer.text, summary(answer))


def summary(answer: Answer) -> list[str]:
    """The recommended setting, how many listeners are near it, the modes and the origin, a line each."""
    lines = [
        f"recommended (X): {in_words(answer.recommended, answer.space)}",
        f"how sure: {answer.near_share:.0%} of the predicted listeners are within {NEAR_DB:g} dB of it "
        f"(by chance {answer.chance_share:.0%}); their mean distance is {answer.expected_distance_db:.1f} dB",
    ]
    modes = [
        f"{mode.weight:.0%} around ({x:+g}, {y:+g})"
        for mode, (x, y) in zip(answer.modes, answer.settings, strict=True)
    ]
    lines.append("one mode" if len(modes) == 1 else f"{len(modes)} modes: " + "; ".join(modes))
    lines.append(source(answer))
    return lines


def source(answer: Answer) -> str:
    """Who answered, from whose listeners."""
    about = answer.about
    who = about["predictor"]
    if about.get("model"):
        who += f" ({about['model']})"
    listeners = f"{'simulated ' if about['simulated'] else ''}listeners of {about['dataset']}"
    return f"{len(answer.samples)} settings drawn by {who}, fitted on {listeners}"


def picture(answer: Answer, path: Path) -> None:
    """Draw the density with its modes, and the curves of the samples as a fan around their median.

    Raises UsageError for another ending than .png or .svg, or a place that cannot be written.
    """
    check_picture(path)
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(11.0, 4.9), layout="constrained")
    plane, curves = figure.subplots(1, 2)
    draw_density(figure, plane, answer.samples, answer.space)
    plane.scatter(*answer.samples.T, s=8, color="#1c3d5a", alpha=0.35, linewidth=0, clip_on=False, zorder=2)
    colours = ["#d9480f", "#2b8a3e", "#862e9c", "#5c5f66"]
    frequency = np.geomspace(LOW_HZ, HIGH_HZ, 200)
    fan = gain_db(answer.samples, frequency, answer.space)
    for low, high, alpha in _FAN:
        edges = np.percentile(fan, [low, high], axis=0)
        label = f"{high - low} % of the settings"
        curves.fill_between(frequency, *edges, color="#4c8cc4", alpha=alpha, linewidth=0, label=label)
    curves.plot(frequency, np.median(fan, axis=0), color="#1c3d5a", linewidth=1.6, label="median")
    shown = zip(answer.modes, answer.settings, colours, strict=False)
    for rank, (mode, setting, colour) in enumerate(shown):
        style = {"color": colour, "zorder": 4}
        plane.scatter(*setting, s=90, marker="X", edgecolor="white", linewidth=0.9, clip_on=False, **style)
        name = f"recommended ({mode.weight:.0%})" if rank == 0 else f"mode {rank + 1} ({mode.weight:.0%})"
        curve = gain_db(setting, frequency, answer.space)
        curves.plot(frequency, curve, linestyle="--" if rank else "-", linewidth=1.8, label=name, **style)
    curves.set(xscale="log", xlabel="frequency (Hz)", ylabel="gain (dB)", xlim=(LOW_HZ, HIGH_HZ))
    ticks = [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000]
    curves.set_xticks(ticks, [f"{t // 1000}k" if t >= 1000 else str(t) for t in ticks])
    curves.xaxis.set_minor_formatter(NullFormatter())
    curves.grid(color="0.9", linewidth=0.7)
    curves.axhline(0, color="0.55", linewidth=0.7)
    curves.legend(fontsize=8, framealpha=0.9)
    figure.suptitle(titled(answer.text, 100), fontsize=12, parse_math=False)
    figure.supxlabel(source(answer), fontsize=8, color="0.35")
    save(figure, path)
