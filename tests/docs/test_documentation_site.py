"""The built site in a browser, from files and without a network: quiet, accessible, readable on a phone.

``make docs-check`` builds it first. ``POPEQ_SCREENSHOTS=FOLDER`` is where the pictures of the pages go.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from tests.conftest import ROOT

pytest.importorskip("playwright.sync_api", reason="playwright is not installed; 'make install' brings it")

pytestmark = pytest.mark.docs
SITE = ROOT / "build" / "docs" / "site"
SHOTS = Path(os.environ.get("POPEQ_SCREENSHOTS", ROOT / "build" / "screenshots" / "docs"))
#: axe does not read style sheets again, which a browser refuses to a page from a file.
NO_FETCHING = {"preload": False}
#: Notes of the theme on which mode it takes.
NOTE = "[PST]:"


def built() -> list[Path]:
    return sorted(p for p in SITE.rglob("*.html") if "_static" not in p.parts)


@pytest.fixture
def visit(browser):
    """Opens pages with the network off; complaints of the console and requests elsewhere are kept."""
    made = []

    def start(width: int, scheme: str):
        context = browser.new_context(
            offline=True, viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        made.append(context)
        page, complaints = context.new_page(), []
        page.on("console", lambda m: None if m.text.startswith(NOTE) else complaints.append(m.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        context.on(
            "request", lambda r: None if r.url.startswith(("file:", "data:")) else complaints.append(r.url)
        )
        return page, complaints

    yield start
    for context in made:
        context.close()


def test_the_site_is_there_with_every_page_of_the_repository():
    pages = {p.relative_to(SITE).with_suffix("").as_posix() for p in built()}
    sources = [
        p for p in (ROOT / "docs").rglob("*.md") if not p.relative_to(ROOT / "docs").parts[0].startswith("_")
    ]
    wanted = {p.relative_to(ROOT).with_suffix("").as_posix() for p in sources}
    assert wanted | {"README", "CONTRIBUTING", "index", "search", "leaderboard/README"} <= pages


def test_nothing_is_loaded_from_elsewhere():
    for path in (p for p in SITE.rglob("*") if p.suffix in (".html", ".css")):
        text = path.read_text(encoding="utf-8")
        loaded = re.findall(
            r"<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)=\"(?:https?:)?//[^\"]*", text
        )
        loaded += re.findall(r"(?:url\(|@import )[\"']?(?:https?:)?//[^)\"']*", text)
        assert not loaded, path


@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_is_quiet_accessible_and_fits(visit, width, scheme):
    """axe-core finds nothing serious; wide tables and code scroll inside their boxes."""
    from axe_playwright_python.sync_playwright import Axe

    SHOTS.mkdir(parents=True, exist_ok=True)
    page, complaints = visit(width, scheme)
    found = []
    for path in (p for p in built() if p != SITE / "index.html"):
        name = path.relative_to(SITE).with_suffix("").as_posix()
        page.goto(path.as_uri())
        page.wait_for_load_state()
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append((name, "is wider than the window"))
        page.screenshot(path=SHOTS / f"{name.replace('/', '-')}-{width}-{scheme}.png")
        if (width == 360) != (scheme == "dark"):
            continue  # each width and each scheme once is enough for axe
        for violation in Axe().run(page, options=NO_FETCHING).response["violations"]:
            if violation["impact"] in ("serious", "critical"):
                found.append((name, violation["id"], violation["nodes"][0]["html"][:200]))
    assert found == []
    assert complaints == []


def test_the_first_page_leads_to_the_documentation(visit):
    page, complaints = visit(1280, "light")
    page.goto((SITE / "index.html").as_uri())
    page.wait_for_url("**/docs/index.html")
    assert complaints == []


def test_search_works_from_a_file(visit):
    page, complaints = visit(1280, "light")
    page.goto((SITE / "search.html").as_uri() + "?q=kantorovich")
    page.wait_for_selector("#search-results a:text-is('Scores')")
    assert complaints == []


def test_the_reference_has_every_command_option_predictor_and_public_name():
    import html

    from tests.test_public_names import commands

    import popeq
    from popeq.plugins import registry

    def page(name: str) -> str:
        text = (SITE / "docs" / "reference" / f"{name}.html").read_text(encoding="utf-8")
        return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())

    text = page("commands")
    for words, command in commands().items():
        assert f"popeq {words} " in text
        flags = {flag for p in command.params for flag in p.opts if flag.startswith("-")}
        assert all(flag in text for flag in flags), words
    text = page("predictors")
    for name, spec in registry().predictors.items():
        if spec.factory.startswith("popeq_"):
            assert name in text
            assert all(parameter in text for parameter in spec.parameters.model_fields), name
    text = page("python") + page("contract") + page("eq")
    assert [name for name in popeq.__all__ if f" {name} " not in text] == []
