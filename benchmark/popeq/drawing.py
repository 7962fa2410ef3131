"""Pictures of a prompt's responses on the plane: PNG or SVG files, and a small plot for the terminal."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from popeq.atomic import new_file
from popeq.dataset import Dataset
from popeq.errors import UsageError
from popeq.metrics import DensitySettings, densities, grid_of
from popeq.space import Space

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CORNERS = {
    (0, 1): "mids up, brighter",
    (1, 1): "bass and treble up, brighter",
    (0, 0): "mids up, darker",
    (1, 0): "bass and treble up, darker",
}
X_LABEL, Y_LABEL = "smile x (dB)", "tilt y (dB)"
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

    points = dataset.points(prompt_id)
    prompt = dataset.unlabelled([prompt_id])[0]
    figure = Figure(figsize=(6.6, 5.9), layout="constrained")
    axes = figure.add_subplot()
    draw_density(figure, axes, points, dataset.space)
    x, y = points.T
    axes.scatter(x, y, s=42, color="#d9480f", edgecolor="white", linewidth=0.8, clip_on=False, zorder=3)
    axes.set_title("“{}”".format(prompt.text.replace("$", r"\$")), fontsize=11, wrap=True)
    figure.supxlabel(_caption(dataset, prompt_id, points), fontsize=8, color="0.35")
    save(figure, path)


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
    axes.axhline(0, color="0.55", linewidth=0.7, linestyle=":")
    axes.axvline(0, color="0.55", linewidth=0.7, linestyle=":")
    outline = withStroke(linewidth=2.5, foreground="white", alpha=0.8)  # readable on any density
    for (right, top), text in CORNERS.items():
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
    axes.set(xlabel=X_LABEL, ylabel=Y_LABEL)


def check_picture(path: Path) -> None:
    """Raise UsageError if pictures cannot have this ending."""
    if path.suffix.lower() not in (".png", ".svg"):
        raise UsageError(f"{path}: pictures are .png or .svg")


def save(figure: Figure, path: Path) -> None:
    """Write a figure in the format that the ending of ``path`` names; UnwritableError if that cannot be."""
    suffix = path.suffix.lower()
    with warnings.catch_warnings(), new_file(path, suffix) as temporary:
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # drawn as a box, which is enough
        figure.savefig(temporary, dpi=144, metadata={"Date": None} if suffix == ".svg" else None)


def terminal_plot(dataset: Dataset, prompt_id: str, width: int = 49, height: int = 21) -> str:
    """The responses as characters: ``o`` is one listener, a digit says how many share a place.

    ``width`` and ``height`` are odd, so that 0 dB has a column and a row of its own.
    """
    space, points = dataset.space, dataset.points(prompt_id)
    share = (points - space.low) / space.size
    column = np.rint(share[:, 0] * (width - 1)).astype(int)
    row = np.rint((1.0 - share[:, 1]) * (height - 1)).astype(int)
    canvas = empty_canvas(width, height)
    for (i, j), count in Counter(zip(row.tolist(), column.tolist(), strict=True)).items():
        canvas[i, j] = "o" if count == 1 else str(min(count, 9))
    prompt = dataset.unlabelled([prompt_id])[0]
    return framed(canvas, space, prompt.text, [_caption(dataset, prompt_id, points)])


def empty_canvas(width: int = 49, height: int = 21) -> NDArray[np.str_]:
    """Characters (height, width), blank but for the axes through 0 dB; both numbers are odd."""
    canvas = np.full((height, width), " ")
    canvas[height // 2, :], canvas[:, width // 2] = "·", "·"
    return canvas


def framed(canvas: NDArray[np.str_], space: Space, text: str, below: Sequence[str]) -> str:
    """A canvas in a frame with the plane's ticks and labels, the sentence above and lines below it."""
    height, width = canvas.shape
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
            Y_LABEL,
            f"{'':6} ┌{rule}┐",
            *body,
            f"{'':6} └{rule}┘",
            f"{'':8}{axis}",
            f"{X_LABEL:>{width + 8}}",
            *below,
        ]
    )


def _caption(dataset: Dataset, prompt_id: str, points: NDArray[np.float64]) -> str:
    mean, spread = points.mean(axis=0), points.std(axis=0, ddof=1) if len(points) > 1 else np.zeros(2)
    return (
        f"{prompt_id}: {len(points)} {'simulated ' if dataset.card.simulated else ''}listeners of "
        f"{dataset.name}, mean ({mean[0]:.1f}, {mean[1]:.1f}), SD ({spread[0]:.1f}, {spread[1]:.1f}) dB"
    )
