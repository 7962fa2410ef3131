"""Build the site: every page from one board, written to a new folder that replaces an older site at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

import popeq
from popeq.activity import counted
from popeq.atomic import new_folder
from popeq.board.groupings import Group, headline_by
from popeq.board.leaderboard import ALPHA, Leaderboard, build
from popeq.board.names import line_names
from popeq.board.notes import Note, NoteKind
from popeq.board.reference_lines import REFERENCE
from popeq.board.retrieval import retrieval_table
from popeq.board.scoring import Scorer
from popeq.board.trust import LABELS, find_claims
from popeq.dataset import Dataset
from popeq.defaults import DEFAULT_RUNS
from popeq.errors import UsageError
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.protocol import Protocol
from popeq.render import render as render_table
from popeq.runs.card import Card
from popeq.runs.folder import Run
from popeq.site import rows as views
from popeq.site.environment import render
from popeq.site.pictures import NAME, Box, bar_axis, box_plot, critical_difference
from popeq.site.prompt_pages import prompt_pages

#: A folder that holds this file and an index is a site, and may be replaced.
MARK = "board.json"
#: Methods in the matrix of pairs; the CSV file has all.
MATRIX = 60
#: Cells of each row of a board, by its label.
Cells = dict[str, dict[str, float]]
_NEIGHBOURS = 3
_SHOWN_PROMPTS = 5


@dataclass(frozen=True, eq=False)
class Site:
    """What all pages are made from."""

    board: Leaderboard
    scorer: Scorer
    claims: tuple[Card, ...] = ()

    @cached_property
    def common(self) -> dict[str, Any]:
        """What every page shows."""
        card = self.scorer.dataset.card
        return {
            "dataset": card.label,
            "simulated": card.simulated,
            "reference": REFERENCE,
            "source": self.texts("data")[0],
            "version": popeq.__version__,
        }

    def texts(self, *kinds: NoteKind) -> list[str]:
        """The board's notes of some kinds."""
        return [note.text for note in self.board.remarks if note.kind in kinds]

    @cached_property
    def methods(self) -> tuple[list[views.Row], list[views.Row], Any]:
        """Rows, reference lines and scale."""
        return views.method_rows(self.board)

    @cached_property
    def splits(self) -> dict[str, dict[Group, Cells]]:
        """The board by each grouping of the prompts that has more than one group."""
        names = self.scorer.dataset.groupings
        found = {name: headline_by(self.board, self.scorer, name) for name in names}
        return {name: split for name, split in found.items() if len(split) > 1}


def build_site(
    runs: Sequence[Run | str | Path],
    output: str | Path,
    dataset: str | Path | Dataset | None = None,
    *,
    protocol: Protocol | None = None,
    runs_dir: str | Path = DEFAULT_RUNS,
    jobs: int = 1,
    keep: bool = True,
) -> Path:
    """Write the board of ``runs`` as a static site to the folder ``output``.

    Self-reported entries in folders of ``runs`` are shown, never ranked. Parameters and errors as for
    ``popeq.leaderboard``; UsageError also if ``output`` holds something that is not a site.
    """
    _check_output(Path(output))
    scorer, entries, notes = entries_of(
        runs, dataset, protocol=protocol, runs_dir=runs_dir, jobs=jobs, keep=keep
    )
    claims: list[Card] = []
    for folder in [r for r in runs if not isinstance(r, Run)] or [runs_dir]:
        found, wrong = find_claims(Path(folder), scorer.dataset.name)
        claims, notes = claims + found, notes + [Note("left out", text) for text in wrong]
    return write_site(build(entries, scorer, notes, jobs=jobs, keep=keep), scorer, Path(output), claims, jobs)


def write_site(
    board: Leaderboard, scorer: Scorer, out: Path, claims: Sequence[Card] = (), jobs: int = 1
) -> Path:
    """Write the site of a board to a folder, in place of what is there."""
    site = Site(board, scorer, tuple(claims))
    with new_folder(out, replace=True) as folder:
        for name in ("method", "prompt"):
            (folder / name).mkdir()
        with prompt_pages(board, scorer, site.common, jobs) as prompts:
            pages = {"index.html": _index(site), "pairs.html": _pairs(site), "prompts.html": _prompts(site)}
            pages |= _methods(site)
            pages |= {
                "board.csv": render_table(board.table, "csv") + "\n",
                MARK: render_table(board.table, "json", board.notes) + "\n",
                "scores.csv": render_table(views.score_table(board), "csv") + "\n",
                "pairs.csv": render_table(views.pair_table(board), "csv") + "\n",
            }
            every = chain(pages.items(), ((f"prompt/{name}", page) for name, page in prompts))
            for name, page in counted(every, "pages", len(pages) + len(scorer.prompt_ids)):
                (folder / name).write_text(page, encoding="utf-8", newline="\n")
    return out


def _check_output(out: Path) -> None:
    """UsageError if a folder is no place for a site; before anything is computed for it."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file; give a folder for the site")
    if out.is_dir() and any(out.iterdir()) and not ((out / MARK).exists() and (out / "index.html").exists()):
        raise UsageError(f"{out}: is not empty and not a site made by popeq; give another folder")


def _index(site: Site) -> str:
    rows, lines, scale = site.methods
    card, people = site.scorer.dataset.card, site.scorer.panels.people
    lead = (
        f"{len(rows)} methods predict where {people} {'simulated ' if card.simulated else ''}listeners "
        f"put an equaliser when they read one of {len(site.scorer.prompt_ids)} sentences. {card.title}."
    )
    return render(
        "index.html",
        **site.common,
        lead=lead,
        detectable=" ".join(site.texts("power")),
        rows=rows,
        lines=lines,
        axis=bar_axis(scale),
        marks=views.reference_marks(site.board),
        claims=[views.claim_row(c) for c in site.claims],
        labels=list(LABELS.items()),
        notes=[note.text for note in site.board.remarks if note.kind != "data"],
        filters=views.script_filters(rows),
        data=views.script_rows(rows),
        splits=[
            {
                "name": name,
                "groups": [_about(group, cells) for group, cells in split.items()],
                "rows": [
                    {"label": e.label, "cells": [_mean(cells[e.label]) for cells in split.values()]}
                    for e in site.board.entries
                ],
            }
            for name, split in site.splits.items()
        ],
    )


def _about(group: Group, cells: Cells) -> views.Row:
    """A group of prompts, and the least true shift that a row of median uncertainty shows in it, in words."""
    shift = float(np.median([own["least_shift"] for own in cells.values()]))
    few = group.small or not np.isfinite(shift)
    shows = "too few prompts" if few else f"can show about {shift:.2f} dB"
    return {"name": group.name, "prompts": len(group.keep), "shows": shows}


def _mean(cells: dict[str, float]) -> views.Row:
    """The mean headline score of a table's row, with its interval."""
    return {name: cells[f"{HEADLINE}_mean{end}"] for name, end in views.ENDS.items()}


def _pairs(site: Site) -> str:
    pairs = site.board.pairs
    shown = list(range(min(len(pairs.labels), MATRIX)))
    names = line_names(site.board.entries, NAME)

    def cell(i: int, j: int) -> views.Row | None:
        if i == j:
            return None
        shift, p, effect = float(pairs.shift[i, j]), float(pairs.p[i, j]), float(pairs.effect[i, j])
        strength = 1 + int(abs(effect) >= 0.5) + int(abs(effect) >= 0.8)
        css = f"{'b' if shift < 0 else 'w'}{strength}" if p < ALPHA else ""
        return {"shift": shift, "p": p, "effect": effect, "css": css}

    return render(
        "pairs.html",
        **site.common,
        prompts=len(site.scorer.prompt_ids),
        alpha=ALPHA,
        diagram=critical_difference(names, [e.mean for e in site.board.entries], pairs.p, ALPHA),
        cut=len(pairs.labels) > MATRIX,
        all=len(pairs.labels),
        labels=[names[i] for i in shown],
        matrix=[{"label": names[i], "cells": [cell(i, j) for j in shown]} for i in shown],
    )


def _prompts(site: Site) -> str:
    scores = np.array([e.table.scores(HEADLINE) for e in site.board.entries])
    prompts = []
    for p, about in enumerate(site.scorer.about.to_dict(orient="records")):
        best = int(scores[:, p].argmin())
        prompts.append(
            {
                "href": f"prompt/{views.slug(about['prompt_id'])}",
                "text": about["text"],
                "category": str(about["category"]),
                "listeners": len(site.scorer.targets[p].responses),
                "best": float(scores[best, p]),
                "by": site.board.entries[best].label,
                "median": float(np.median(scores[:, p])),
            }
        )
    return render("prompts.html", **site.common, prompts=prompts)


def _methods(site: Site) -> dict[str, str]:
    """A page for each method."""
    prompts = [
        {"href": f"../prompt/{views.slug(about['prompt_id'])}", "text": about["text"]}
        for about in site.scorer.about.to_dict(orient="records")
    ]
    prior = next((e for e in site.board.entries if e.record.predictor.name == "prior"), None)
    marks = views.reference_marks(site.board)
    entries = site.board.entries
    names = {e.label: name for e, name in zip(entries, line_names(entries, NAME), strict=True)}
    pages = {}
    for i, (entry, row) in enumerate(zip(site.board.entries, site.methods[0], strict=True)):
        scores = entry.table.scores(HEADLINE)
        order = np.argsort(scores, kind="stable")
        near = [e for k, e in enumerate(site.board.entries) if abs(k - i) <= _NEIGHBOURS or e is prior]
        listed = [prompts[p] | {"score": float(scores[p])} for p in order]
        retrieved = retrieval_table(entry.runs[0], site.scorer.dataset)["rank_correlation"].mean()
        pages[row["href"]] = render(
            "method.html",
            **site.common,
            label=entry.label,
            row=row,
            boxes=box_plot(
                [Box(names[e.label], e.table.scores(HEADLINE), "own" if e is entry else "") for e in near],
                marks,
            ),
            marks=marks,
            signatures=views.signatures(entry, prior, None if np.isnan(retrieved) else float(retrieved)),
            best=listed[:_SHOWN_PROMPTS],
            worst=listed[::-1][:_SHOWN_PROMPTS],
            splits=[
                {
                    "name": name,
                    "groups": [
                        _about(group, cells) | cells[entry.label] | _mean(cells[entry.label])
                        for group, cells in split.items()
                    ],
                }
                for name, split in site.splits.items()
            ],
            facts=views.facts(entry),
            links=entry.card.links if entry.card else [],
            runs=[{"command": r.record.shown_command, "facts": views.run_facts(r)} for r in entry.runs],
        )
    return pages
