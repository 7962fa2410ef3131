"""What the paper claims beside what boards show: the tables of docs/claims.md.

``python -m tests.bench.claims BOARD ...`` prints them, BOARD being folders of runs; ``--into docs/claims.md``
puts them between the marks of that page, where lines of data sets that are not given stay. Every line is what
``popeq compare A B`` prints of two rows, but p, which is adjusted for all lines of a data set in its table
(Holm).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from tabulate import tabulate

from popeq.atomic import write_text
from popeq.board.differences import mean_difference
from popeq.board.entries import Entry
from popeq.board.groupings import Group, groups
from popeq.board.scoring import Scorer
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.statistics import LEAST_PROMPTS, MeanEstimate, holm

ASKING = ("icl-zero", "icl-static", "icl-rag", "icl-rag-qa")
NEXT_TOKEN = ("lora-ntp", "prefix-ntp")
HEADS = ("lora-head", "prefix-head")
LEVEL = 0.05


@dataclass(frozen=True)
class Claim:
    """Rows of the predictors ``ahead`` against those of ``behind``; with ``same_model``, of one model only.

    ``by`` are groupings of the prompts, of which those that a data set has are looked at too.
    """

    name: str
    ahead: tuple[str, ...]
    behind: tuple[str, ...]
    same_model: bool = False
    by: tuple[str, ...] = ()


CLAIMS = (
    Claim("random", (*ASKING, *NEXT_TOKEN, *HEADS), ("random",)),
    Claim("presets", (*ASKING, *NEXT_TOKEN, *HEADS), ("static-preset",)),
    Claim("pooled answers", (*ASKING, "icl-verbal", *NEXT_TOKEN, *HEADS, "head-mixture"), ("prior",)),
    Claim("lowest", ("lora-ntp",), (*ASKING, "prefix-ntp", *HEADS, "knn", "kernel-mixture", "prior")),
    Claim("retrieval", ("icl-rag",), ("icl-static",), same_model=True, by=("wording", "seen")),
    Claim("heads", HEADS, ("lora-ntp",), same_model=True),
    Claim("many in one answer", ("icl-rag-qa",), ("icl-rag",), same_model=True),
    Claim("in words", ("icl-verbal",), ("icl-rag-qa",), same_model=True),
)


@dataclass(frozen=True)
class Line:
    """One comparison: data set, group of prompts, two rows, and the shift of the first against the second."""

    dataset: str
    group: str
    a: Entry
    b: Entry
    shift: MeanEstimate


def lines(claim: Claim, boards: Sequence[tuple[Scorer, Sequence[Entry]]]) -> Iterator[Line]:
    """Every comparison that the boards have for a claim."""
    for scorer, entries in boards:
        chosen = [
            (a, b)
            for a in entries
            for b in entries
            if a.record.predictor.name in claim.ahead
            and b.record.predictor.name in claim.behind
            and (not claim.same_model or a.model == b.model)
        ]
        parts = [Group("all", tuple(range(len(scorer.prompt_ids))))]
        for by in claim.by:
            if by in scorer.dataset.groupings:
                parts += [g for g in groups(scorer, by) if len(g.keep) >= LEAST_PROMPTS]
        for a, b in chosen:
            for part in parts:
                tables = a.table.take(part.keep), b.table.take(part.keep)
                shift = mean_difference(*tables, HEADLINE, scorer.only(part.keep).panels)
                yield Line(scorer.dataset.card.label, part.name, a, b, shift)


def table(claim: Claim, boards: Sequence[tuple[Scorer, Sequence[Entry]]]) -> list[list[str]]:
    """A claim's comparisons as the cells of a table, its header first."""
    names = ["data set", *(["prompts"] if claim.by else []), "row", "against"]
    rows = [[*names, "shift, 95 %", "p, Holm", "row is"]]
    for _, same in groupby(lines(claim, boards), key=lambda line: line.dataset):
        found = list(same)
        for line, p in zip(found, holm([line.shift.p_value for line in found]), strict=True):
            low, high = line.shift.interval()
            verdict = "not separated" if p >= LEVEL else "ahead" if line.shift.value < 0 else "behind"
            row = [line.dataset] + ([line.group] if claim.by else [])
            row += [_named(line.a), _named(line.b)]
            row += [f"{line.shift.value:+.2f} ({low:+.2f} to {high:+.2f})", _p(p), verdict]
            rows.append(row)
    return rows


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """The cells of a table, its header first, as Markdown."""
    return tabulate(rows[1:], rows[0], tablefmt="github", disable_numparse=True)


def _named(entry: Entry) -> str:
    """A row by its predictor and model."""
    name = entry.record.predictor.name
    return f"{name}, {entry.model}" if entry.model else name


def _p(p: float) -> str:
    return "<0.0001" if p < 1e-4 else f"{p:.2g}"


def marks(claim: Claim) -> tuple[str, str]:
    """The lines before and after a claim's table on the page."""
    return f"<!-- {claim.name}: made by tests.bench.claims, do not edit -->", f"<!-- end of {claim.name} -->"


def shown(page: str, claim: Claim) -> list[list[str]]:
    """The cells of a claim's table on the page, its header first."""
    begin, end = marks(claim)
    text = page.partition(begin)[2].partition(end)[0].strip()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return rows[:1] + rows[2:]


def inserted(page: str, boards: Sequence[tuple[Scorer, Sequence[Entry]]]) -> str:
    """The page with each claim's table between its marks; lines of other data sets than these stay."""
    given = {scorer.dataset.card.label for scorer, _ in boards}
    for claim in CLAIMS:
        begin, end = marks(claim)
        old, (header, *new) = shown(page, claim)[1:], table(claim, boards)
        names = dict.fromkeys(row[0] for row in (*old, *new))
        rows = [row for name in names for row in (new if name in given else old) if row[0] == name]
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{markdown([header, *rows])}\n{end}{after}"
    return page


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("boards", nargs="+", type=Path, metavar="BOARD")
    parser.add_argument("--into", type=Path)
    given = parser.parse_args(argv)
    boards = [entries_of([folder], None, jobs=2)[:2] for folder in given.boards]
    if given.into is None:
        for claim in CLAIMS:
            print(f"{claim.name}\n\n{markdown(table(claim, boards))}\n")
    else:
        write_text(given.into, inserted(given.into.read_text(encoding="utf-8"), boards))


if __name__ == "__main__":
    main()
