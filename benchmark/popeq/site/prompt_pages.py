"""One page a prompt: what the listeners chose, and what each method predicted, on the plane."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np

from popeq.board.leaderboard import Leaderboard
from popeq.board.scoring import Scorer
from popeq.eq import curves
from popeq.metrics import HEADLINE, SCORES, Target, grid_wasserstein
from popeq.parallel import parallel_imap
from popeq.site.environment import render
from popeq.site.rows import slug
from popeq.site.svg import density_of, plane_picture
from popeq.typing import Floats

#: Methods with a picture on a prompt's page, the first of the board; its table has all.
PICTURES = 40
#: Samples of a prompt that a picture shows as dots; the density is of all.
DOTS = 110


def prompt_pages(
    board: Leaderboard, scorer: Scorer, common: Mapping[str, Any], jobs: int = 1
) -> AbstractContextManager[Iterator[tuple[str, str]]]:
    """File name and text of every prompt's page, made in ``jobs`` processes that begin at once."""
    scores = np.array([[e.table.scores(name) for name in SCORES] for e in board.entries])
    drawn = [e.runs[0].samples(scorer.prompt_ids, scorer.dataset.space) for e in board.entries[:PICTURES]]
    about = scorer.about.to_dict(orient="records")
    tasks = [(about[p], scorer.targets[p], scores[:, :, p], [s[p] for s in drawn]) for p in range(len(about))]
    return parallel_imap(_page, tasks, jobs, ([e.label for e in board.entries], dict(common)))


def _page(
    about: Mapping[Any, Any],
    target: Target,
    scores: Floats,
    drawn: list[Floats],
    labels: list[str],
    common: Mapping[str, Any],
) -> tuple[str, str]:
    """File name and text of a page; ``scores`` (methods, SCORES), ``drawn`` samples of the first methods."""
    space, settings, listeners = target.space, target.settings, target.responses
    cells, many, pair = settings.cells, len(listeners), curves(space)
    standard, reflective = (mass.reshape(cells, cells) for mass in target.densities)
    order = np.argsort(scores[:, SCORES.index(HEADLINE)], kind="stable").tolist()
    rows = [
        {"href": f"../method/{slug(labels[i])}", "label": labels[i], "values": scores[i].tolist()}
        for i in order
    ]
    panels = [
        row
        | {
            "picture": plane_picture(
                space,
                density_of(drawn[i], space, settings),
                listeners,
                drawn[i][:DOTS],
                f"{labels[i][:60]}: samples and density, {scores[i, 0]:.2f} dB",
            )
        }
        for i, row in zip(order, rows, strict=True)
        if i < len(drawn)
    ]
    page = render(
        "prompt.html",
        **common,
        text=about["text"],
        category=str(about["category"]),
        basis=str(about["basis"] or ""),
        listeners=many,
        mean=listeners.mean(axis=0).tolist(),
        axes=[
            {"letter": letter, "name": axis.name, "low": low, "high": high, "means": axis.high}
            for letter, axis, low, high in zip(
                "xy", (pair.x, pair.y), space.low.tolist(), space.high.tolist(), strict=True
            )
        ],
        reflective=plane_picture(space, reflective, listeners, None, f"{many} listeners, reflective density"),
        standard=plane_picture(space, standard, listeners, None, f"{many} listeners, standard density"),
        moved=grid_wasserstein(target.densities.standard, target.densities.reflective, target.grid),
        panels=panels,
        names=[name.replace("_", " ") for name in SCORES],
        scores=rows,
    )
    return slug(about["prompt_id"]), page
