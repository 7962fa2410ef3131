"""Pictures of a prompt's responses on the plane: PNG or SVG files, and a small plot for the terminal."""

from __future__ import annotations

import textwrap
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from popeq.atomic import new_file
from popeq.dataset import Dataset
from popeq.eq import curves
from popeq.errors import UsageError
from popeq.installing import need
from popeq.metrics import DensitySettings, densities, grid_of
from popeq.plain_text import visible
from popeq.space import Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SETTINGS = DensitySettings(cells=96)


def picture(dataset: Dataset, prompt_id: str, path: Path) -> None:
    """Draw a prompt's responses over their reflective density; the ending of ``path`` chooses PNG or SVG.

    Raises
    ------
    UsageError
        If the ending is another one, or the folder cannot be written.
    """
    check_picture(path)
    from matplotlib.figure import Figure

    points = _shown(dataset, prompt_id)
    prompt = dataset.unlabelled([prompt_id])[0]
    figure = Figure(figsize=(6.6, 5.9), layout="compressed")
    axes = figure.add_subplot()
    draw_density(figure, axes, points, dataset.space)
    x, y = points.T
    axes.scatter(x, y, s=42, color="#d9480f", edgecolor="white", linewidth=0.8, clip_on=False, zorder=3)
    axes.set_title(titled(prompt.text), fontsize=11, parse_math=False)
    figure.supxlabel(_caption(dataset, prompt_id, points), fontsize=8, color="0.35")
    save(figure, path)


def _shown(dataset: Dataset, prompt_id: str) -> NDArray[np.float64]:
    """The answers (m, 2), dB, that a prompt is tested with; those of everybody if it is not tested."""
    tested = prompt_id in dataset.test_ids
    return dataset.tested([prompt_id])[0].responses if tested else dataset.points(prompt_id)


def titled(text: str, width: int = 48) -> str:
    """A sentence in quotation marks as the title of a picture, in lines of at most so many characters and
    three lines at most."""
    lines = textwrap.wrap(f"“{visible(text)}”", width) or ["“”"]
    return "\n".join(lines if len(lines) <= 3 else [*lines[:2], f"{lines[2][: width - 2]}…”"])


def draw_density(figure: Figure, axes: Axes, points: NDArray[np.float64], space: Space) -> None:
    """The reflective density of points (n, 2) over the plane, with its axes and named corners."""
    from matplotlib.patheffects import withStroke

    grid = grid_of(space, _SETTINGS.cells)
    mass = densities(points, grid, _SETTINGS.floor_db(space)).reflective.reshape(grid.cells, grid.cells)
    shown = axes.imshow(
        mass.T / float(np.prod(grid.step)),
        origin="lower",
        extent=(space.x_low_db, space.x_high_db, space.y_low_db, space.y_high_db),
        cmap="Blues",
        vmin=0.0,
        interpolation="bilinear",
    )
    figure.colorbar(shown, ax=axes, fraction=0.046, pad=0.03, label="reflective density (per dB²)")
    if space.y_low_db < 0 < space.y_high_db:
        axes.axhline(0, color="0.55", linewidth=0.7, linestyle=":")
    if space.x_low_db < 0 < space.x_high_db:
        axes.axvline(0, color="0.55", linewidth=0.7, linestyle=":")
    outline = withStroke(linewidth=2.5, foreground="white", alpha=0.8)  # readable on any density
    for (right, top), text in corner_texts(space).items():
        axes.annotate(
            text,
            (right, top),
            xycoords="axes fraction",
            xytext=(-6 if right else 6, -6 if top else 6),
            textcoords="offset points",
            ha="right" if right else "left",
            va="top" if top else "bottom",
            fontsize=8,
            color="0.35",
            path_effects=[outline],
        )
    x_label, y_label = axis_labels(space)
    axes.set(xlabel=x_label, ylabel=y_label)


def axis_labels(space: Space) -> tuple[str, str]:
    """What the axes of a space are called, with their unit."""
    pair = curves(space)
    return f"{pair.x.name} x (dB)", f"{pair.y.name} y (dB)"


def corner_texts(space: Space) -> Mapping[tuple[int, int], str]:
    """What the settings at the corners (right, top) of a space do; none where 0 dB is not inside the box,
    because the corners of such a box are not those of the whole plane."""
    inside = bool((space.low < 0).all() and (space.high > 0).all())
    return curves(space).corners if inside else {}


def check_picture(path: Path) -> None:
    """Raise UsageError if pictures cannot have this ending, or what draws them is missing."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"{path}: pictures are .png or .svg")
    need("matplotlib", "pictures")


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of ``path`` names; UnwritableError if that cannot be."""
    suffix = path.suffix.lower()
    with warnings.catch_warnings(), new_file(path, suffix) as temporary:
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box, which is enough
        figure.savefig(temporary, dpi=144, metadata={"Date": None} if suffix == ".svg" else None)


def terminal_plot(dataset: Dataset, prompt_id: str, width: int = 49, height: int = 21) -> str:
    """The responses as characters: ``o`` is one listener, a digit says how many share a place.

    Odd ``width`` and ``height`` give 0 dB a column and a row of its own in a box that it is the middle of.
    """
    space, points = dataset.space, _shown(dataset, prompt_id)
    canvas = empty_canvas(space, width, height)
    for (i, j), count in Counter(place_on_canvas(p, canvas, space) for p in points).items():
        canvas[i, j] = "o" if count == 1 else str(min(count, 9))
    prompt = dataset.unlabelled([prompt_id])[0]
    return framed(canvas, space, prompt.text, [_caption(dataset, prompt_id, points)])


def empty_canvas(space: Space, width: int = 49, height: int = 21) -> NDArray[np.str_]:
    """Characters (height, width), blank but for the axes through 0 dB where these are inside the box."""
    canvas = np.full((height, width), " ")
    row, column = place_on_canvas(np.zeros(2), canvas, space)
    if space.y_low_db < 0 < space.y_high_db:
        canvas[row, :] = "·"
    if space.x_low_db < 0 < space.x_high_db:
        canvas[:, column] = "·"
    return canvas


def place_on_canvas(point: NDArray[np.float64], canvas: NDArray[np.str_], space: Space) -> tuple[int, int]:
    """Row and column of a setting (2,), the lowest y in the last row."""
    height, width = canvas.shape
    x, y = ((point - space.low) / space.size).tolist()
    return round((1.0 - y) * (height - 1)), round(x * (width - 1))


def framed(canvas: NDArray[np.str_], space: Space, text: str, below: Sequence[str]) -> str:
    """A canvas in a frame with the plane's ticks and labels, the sentence above and lines below it."""
    height, width = canvas.shape
    x_label, y_label = axis_labels(space)
    lines = ["".join(r) for r in canvas]
    ticks = {
        0: space.y_high_db,
        height // 2: (space.y_low_db + space.y_high_db) / 2,
        height - 1: space.y_low_db,
    }
    body = [f"{ticks[i]:6.3g} │{line}│" if i in ticks else f"{'':6} │{line}│" for i, line in enumerate(lines)]
    middle = (space.x_low_db + space.x_high_db) / 2
    axis = f"{space.x_low_db:<{width // 2}.3g}{middle:<{width - width // 2 - 2}.3g}{space.x_high_db:>2.3g}"
    rule = "─" * width
    return "\n".join(
        [
            f"“{text}”",
            y_label,
            f"{'':6} ┌{rule}┐",
            *body,
            f"{'':6} └{rule}┘",
            f"{'':8}{axis}",
            f"{x_label:>{width + 8}}",
            *below,
        ]
    )


def _caption(dataset: Dataset, prompt_id: str, points: NDArray[np.float64]) -> str:
    mean, spread = points.mean(axis=0), points.std(axis=0, ddof=1) if len(points) > 1 else np.zeros(2)
    return (
        f"{prompt_id}: {len(points)} {'simulated ' if dataset.card.simulated else ''}listeners of "
        f"{dataset.name}, mean ({mean[0]:.1f}, {mean[1]:.1f}), SD ({spread[0]:.1f}, {spread[1]:.1f}) dB"
    )
