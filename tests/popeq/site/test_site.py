"""The site as files: strings of others are text, nothing is loaded, the same runs give the same bytes."""

from __future__ import annotations

import base64
import csv
import dataclasses
import hashlib
import html
import html.parser
import json
import re
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from tests.popeq.site.conftest import HOSTILE

import popeq as package
from popeq.board.entries import Entry
from popeq.board.leaderboard import build
from popeq.board.markdown import marks
from popeq.board.scoring import PromptTable
from popeq.cli import popeq as command_line
from popeq.errors import UsageError
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE
from popeq.site.build import write_site


class Reader(html.parser.HTMLParser):
    """Tags with their attributes, and the text of the page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags, self.text, self.scripts = [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        if self.lasttag == "script":
            self.scripts.append(data)
        self.text.append(data)


def pages(site):
    return {path: path.read_text(encoding="utf-8") for path in sorted(site.folder.rglob("*.html"))}


def test_there_is_a_page_for_every_method_and_prompt_and_every_link_leads_somewhere(site):
    found = pages(site)
    assert len(list((site.folder / "method").iterdir())) == 4 + len(HOSTILE)
    assert len(list((site.folder / "prompt").iterdir())) == 4
    for path, page in found.items():
        for tag, attributes in Reader(page).tags:
            target = attributes.get("href", "")
            if tag == "a" and not target.startswith(("#", "https://example.org/")):
                assert (path.parent / target).exists(), (path, target)


def test_nothing_is_loaded_and_only_our_script_runs(site):
    """No element that fetches, no inline handler or style, and a policy that names the bytes we wrote."""
    for path, page in pages(site).items():
        read = Reader(page)
        policy = next(a["content"] for t, a in read.tags if t == "meta" and "http-equiv" in a)
        assert policy.startswith("default-src 'none'; ")
        for tag, attributes in read.tags:
            assert tag not in {"img", "iframe", "object", "embed", "link", "base"}, (path, tag)
            assert not any(name.startswith("on") or name in {"style", "src"} for name in attributes), path
        for script in re.findall(r"<script>(.*?)</script>", page, re.S):
            digest = hashlib.sha256(script.encode()).digest()
            assert f"'sha256-{base64.b64encode(digest).decode()}'" in policy, path
        for kind in re.findall(r"<script( [^>]*)?>", page):
            assert kind in {"", ' type="application/json" id="rows"'}, path


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_strings_of_others_are_text_on_every_page(site, number):
    """What shows is the string, controls as codes; no tag of it becomes one."""
    text = HOSTILE[number]
    shown = "".join(
        c if unicodedata.category(c)[0] != "C" else f"\\x{ord(c):02x}" if ord(c) < 256 else f"\\u{ord(c):04x}"
        for c in text[:40]
    )
    for name in ("index.html", "pairs.html"):
        page = (site.folder / name).read_text(encoding="utf-8")
        assert shown[:20] in "".join(Reader(page).text), name
    for path, page in pages(site).items():
        assert text not in page or text.isalnum() or "<" not in text, path
        assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in page.replace("\n", "")), path
        tags = {tag for tag, _ in Reader(page).tags}
        assert not tags & {"img", "b", "textarea"}, path
        assert len(re.findall("<title>", page)) == 1


def test_tables_for_programs_hold_the_strings_without_formulas(site):
    names = {e["predictor"] for e in json.loads((site.folder / "board.json").read_text())["rows"]}
    assert set(HOSTILE) <= names
    for name in ("board.csv", "scores.csv", "pairs.csv"):
        with (site.folder / name).open(encoding="utf-8", newline="") as stream:
            for row in csv.reader(stream):
                for cell in row:
                    number = re.fullmatch(r"-?(inf|\d+(\.\d+)?(e-?\d+)?)", cell)
                    assert number or not cell.startswith(("=", "+", "-", "@", "\t")), (name, cell[:40])
                    assert cell.isprintable(), (name, cell[:40])


def call(*arguments: object) -> str:
    """What the command prints, in this process."""
    result = CliRunner().invoke(command_line, [str(a) for a in arguments])
    assert result.exception is None, result.output
    return result.output


def test_terminal_and_markdown_show_them_too(site, tmp_path):
    text = call("leaderboard", "show", site.runs, "--dataset", site.data)
    assert all(line.isprintable() for line in text.split("\n"))
    assert "\\x1b[31mred" in text
    assert max(map(len, text.split("\n"))) < 1000
    target = tmp_path / "BOARD.md"
    target.write_text("\n".join(["before", *marks("small"), "after", ""]))
    call("leaderboard", "show", site.runs, "--dataset", site.data, "--into", target)
    written = target.read_text(encoding="utf-8")
    assert written.startswith("before\n<!-- board")
    assert written.endswith("<!-- end of small -->\nafter\n")
    assert not re.search(r"<(script|img|svg)", written)


def test_a_claim_is_shown_and_never_ranked(site):
    page = (site.folder / "index.html").read_text(encoding="utf-8")
    board, claims = page.split("Self-reported, not ranked")
    assert "&lt;b&gt;great&lt;/b&gt;" in claims
    assert "great" not in board
    rows = json.loads((site.folder / "board.json").read_text())["rows"]
    assert not any("great" in row["predictor"] for row in rows)
    trust = {row["predictor"]: row["trust"] for row in rows}
    assert all(trust[name] == "scored" for name in ("random", *HOSTILE))


def test_the_table_is_all_there_without_a_script(site):
    """Every figure of the board is in the HTML itself, in the order of the ranks."""
    page = (site.folder / "index.html").read_text(encoding="utf-8")
    table = page[page.index('<table id="board"') : page.index("</table>")]
    rows = json.loads((site.folder / "board.json").read_text())["rows"]
    assert table.count("<tr") == 1 + len(rows)
    means = [float(m) for m in re.findall(r'<span class="value">([\d.]+)</span>', table)]
    assert means == [round(row[f"{HEADLINE}_mean"], 2) for row in rows]
    assert "too few" in page


def test_the_same_runs_give_the_same_bytes(site, tmp_path):
    """In two processes too, and over an older site, of which nothing is left."""
    again = tmp_path / "again"
    shutil.copytree(site.folder, again)
    (again / "method" / "old.html").write_text("an old page")
    assert package.build_site([site.runs], again, site.data, jobs=2) == again
    names = {p.relative_to(site.folder) for p in site.folder.rglob("*.*")}
    assert {p.relative_to(again) for p in again.rglob("*.*")} == names
    for name in names:
        assert (again / name).read_bytes() == (site.folder / name).read_bytes(), name
    assert {p.name for p in tmp_path.iterdir()} == {"again"}


def test_a_folder_of_something_else_is_not_touched(site, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="not a site made by popeq"):
        package.build_site([site.runs], tmp_path, site.data)
    with pytest.raises(UsageError, match="is a file"):
        package.build_site([site.runs], tmp_path / "mine.txt", site.data)
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_thirty_methods_on_thirty_prompts_stay_below_400_kib_a_page(tmp_path):
    """Thirty rows made from one committed run: real samples and densities, made-up scores."""
    scorer, (own, *_), _ = entries_of(committed_runs()[:1])
    rng = np.random.default_rng(0)
    entries = []
    for number in range(30):
        frame = own.table.frame.copy()
        frame[HEADLINE] = frame[HEADLINE] + rng.normal(0.02 * number, 0.3, len(frame))
        table = PromptTable(frame, own.table.influence)
        entries.append(Entry(f"a method of some length, number {number}", own.runs, table))
    board = build(entries, scorer, lines=[])
    out = write_site(board, scorer, tmp_path / "site")
    sizes = {path.name: path.stat().st_size for path in out.rglob("*.html")}
    assert len(sizes) == 3 + 30 + 30
    assert max(sizes.values()) < 400 * 1024, max(sizes, key=sizes.__getitem__)


def committed_runs() -> list[Path]:
    from tests.conftest import ROOT

    return sorted(p.parent for p in (ROOT / "leaderboard/results/simulated-120").glob("*/run.json"))


def test_entries_know_their_kind_and_model(site):
    scorer, entries, _ = entries_of([site.runs], site.data)
    by_label = {entry.label: entry for entry in entries}
    assert by_label["random"].kind == "baseline"
    hostile = by_label[HOSTILE[0]]
    assert hostile.kind == "other"
    assert dataclasses.replace(hostile, card=None).model == HOSTILE[0]
    assert len(scorer.prompt_ids) == 4
