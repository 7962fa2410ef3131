"""The site in a real browser, from files, with the network blocked: it works, silently, for everybody."""

from __future__ import annotations

import itertools
import os
import re
from pathlib import Path

import pytest
from tests.popeq.site.conftest import HOSTILE

pytest.importorskip("playwright.sync_api", reason="playwright is not installed; 'make install' brings it")
from playwright.sync_api import Browser, Page

SHOTS = Path(os.environ.get("POPEQ_SCREENSHOTS", "build/screenshots"))


class Visit:
    """A page whose requests and complaints are recorded; nothing but files is let through."""

    def __init__(self, browser: Browser, **options: object) -> None:
        self.context = browser.new_context(offline=True, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("dialog", lambda d: (self.complaints.append(f"dialog: {d.message}"), d.dismiss()))
        self.context.on("request", lambda r: self.requests.append(r.url))

    def open(self, path: Path) -> Page:
        self.page.goto(path.as_uri())
        return self.page

    def assert_quiet(self) -> None:
        assert self.complaints == []
        assert all(url.startswith("file://") for url in self.requests), self.requests


@pytest.fixture
def visit(browser):
    made: list[Visit] = []

    def start(**options: object) -> Visit:
        made.append(Visit(browser, **options))
        return made[-1]

    yield start
    for each in made:
        each.context.close()


def kinds(site) -> dict[str, Path]:
    """One page of each kind."""
    return {
        "board": site.folder / "index.html",
        "pairs": site.folder / "pairs.html",
        "prompts": site.folder / "prompts.html",
        "method": next((site.folder / "method").glob("random-*.html")),
        "prompt": sorted((site.folder / "prompt").iterdir())[0],
    }


#: Texts of a page's pictures that are cut off or lie over another one.
UNREADABLE = """() => [...document.querySelectorAll("svg")].flatMap(svg => {
  const outer = svg.getBoundingClientRect();
  const texts = [...svg.querySelectorAll("text")].map(t => [t.textContent, t.getBoundingClientRect()]);
  const cut = texts.filter(([, b]) => b.left < outer.left - 1 || b.right > outer.right + 1
    || b.top < outer.top - 1 || b.bottom > outer.bottom + 1).map(([name]) => `cut off: ${name}`);
  const over = texts.flatMap(([one, a], i) => texts.slice(i + 1)
    .filter(([, b]) => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
      && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2)
    .map(([other]) => `${one} is over ${other}`));
  return [...cut, ...over];
})"""


def shown(page: Page) -> list[str]:
    """Names of the methods that are visible, from top to bottom."""
    return page.eval_on_selector_all(
        "#board tbody tr:not(.line):not([hidden]) th a", "all => all.map(a => a.textContent)"
    )


def test_sorts_filters_and_searches(site, visit):
    here = visit(viewport={"width": 1280, "height": 900})
    page = here.open(site.folder / "index.html")
    everything = shown(page)
    assert len(everything) == 4 + len(HOSTILE)
    page.click('th[data-sort="energy"] button')
    energies = page.eval_on_selector_all(
        "#board tbody tr:not(.line) td:nth-child(9)", "all => all.map(c => Number(c.textContent))"
    )
    assert energies == sorted(energies)
    assert page.get_attribute('th[data-sort="energy"]', "aria-sort") == "ascending"
    page.click('th[data-sort="energy"] button')
    assert page.get_attribute('th[data-sort="energy"]', "aria-sort") == "descending"
    assert page.locator("#board tbody tr").last.get_attribute("class") == "line"
    page.select_option("#filter-trust", "scored")
    assert len(shown(page)) == 4 + len(HOSTILE)
    page.select_option("#filter-kind", "preset")
    assert sorted(shown(page)) == ["static-best", "static-flat"]
    assert page.text_content("#count") == f"2 of {4 + len(HOSTILE)} methods"
    page.click('button[type="reset"]')
    page.fill("#search", "STATIC flat")
    assert shown(page) == ["static-flat"]
    page.fill("#search", "</script>")
    assert len(shown(page)) == 1
    page.fill("#search", "no such method")
    assert shown(page) == []
    here.assert_quiet()


def test_rows_are_sorted_by_the_mean_also_where_ranks_are_in_another_order(site, visit, tmp_path):
    text = (site.folder / "index.html").read_text(encoding="utf-8")
    ranks = itertools.count(99, -1)
    other = re.sub(r'"rank": ?\d+', lambda _: f'"rank": {next(ranks)}', text)
    assert next(ranks) <= 95
    (tmp_path / "index.html").write_text(other, encoding="utf-8")
    plain = visit(java_script_enabled=False).open(site.folder / "index.html")
    assert shown(visit().open(tmp_path / "index.html")) == shown(plain)


def test_how_opens_in_view_and_fifteen_methods_fit_on_the_page_of_pairs(site, visit):
    here = visit(viewport={"width": 1280, "height": 900})
    page = here.open(site.folder / "index.html")
    page.click("#board details summary >> nth=0")
    right, shown_all = page.eval_on_selector(
        "#board details[open] pre", "e => [e.getBoundingClientRect().right, e.scrollWidth <= e.clientWidth]"
    )
    assert right <= 1280
    assert shown_all
    page = here.open(site.folder / "pairs.html")
    head, columns, room = page.evaluate(
        "[document.querySelector('.matrix tbody th').offsetWidth, "
        "[...document.querySelectorAll('.matrix thead th')].map(e => e.getBoundingClientRect().width), "
        "document.querySelector('.scroll').clientWidth]"
    )
    assert head + 15 * max(columns) <= room


def test_the_keyboard_is_enough(site, visit):
    here = visit()
    page = here.open(site.folder / "index.html")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.focus('th[data-sort="mean"] button')
    page.keyboard.press("Enter")
    assert page.get_attribute('th[data-sort="mean"]', "aria-sort") == "descending"
    page.focus("#board tbody th a")
    page.keyboard.press("Enter")
    page.wait_for_url("**/method/*.html")
    page.click("text=Prompts")
    page.click("tbody th a >> nth=0")
    page.wait_for_url("**/prompt/*.html")
    here.assert_quiet()


def test_without_javascript_the_table_is_all_there(site, visit):
    here = visit(java_script_enabled=False)
    page = here.open(site.folder / "index.html")
    names = page.locator("#board tbody tr:not(.line) th a").all_text_contents()
    assert len(names) == 4 + len(HOSTILE)
    assert page.locator("#board tbody tr.line").count() == 3
    assert not page.is_visible("#controls")
    ranks = page.locator("#board tbody .rank").all_text_contents()
    assert ranks == [f"1–{len(names)}"] * len(names), "four prompts separate nobody"
    here.assert_quiet()


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_kind_of_page_is_quiet_accessible_and_fits(site, visit, width, scheme):
    """axe-core finds nothing serious, nothing makes the page itself scroll sideways, pictures are kept."""
    from axe_playwright_python.sync_playwright import Axe

    here = visit(viewport={"width": width, "height": 900}, color_scheme=scheme)
    SHOTS.mkdir(parents=True, exist_ok=True)
    for name, path in kinds(site).items():
        page = here.open(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert "owned" not in page.title()
        page.screenshot(path=SHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        assert page.evaluate(UNREADABLE) == [], name
        if (width == 360) != (scheme == "dark"):
            continue  # each width and each scheme once is enough for axe
        found = Axe().run(page).response["violations"]
        serious = [(v["id"], v["nodes"][0]["html"]) for v in found if v["impact"] in ("serious", "critical")]
        assert serious == [], name
    here.assert_quiet()


def test_the_policy_is_what_keeps_scripts_out(site, visit, tmp_path):
    """The same page with a script slipped in: the browser refuses to run it."""
    page = (site.folder / "index.html").read_text(encoding="utf-8")
    slipped = page.replace("</main>", "<script>document.title = 'owned'</script></main>")
    (tmp_path / "index.html").write_text(slipped, encoding="utf-8")
    here = visit()
    opened = here.open(tmp_path / "index.html")
    assert opened.title() != "owned"
    assert any("Content Security Policy" in c for c in here.complaints)
