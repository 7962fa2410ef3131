"""Tutorials followed word for word, in an environment and a folder of their own, and what follows pages."""

from __future__ import annotations

import dataclasses
import functools

import pytest
from tests import pages
from tests.conftest import ROOT
from tests.overlay import Overlay, make_overlay

TUTORIALS = ROOT / "docs" / "tutorials"
#: test_tutorial.py follows that page, and also looks at what it leaves.
FOLLOWED = sorted(set(TUTORIALS.glob("*.md")) - {TUTORIALS / "index.md", TUTORIALS / "my-model.md"})


@pytest.fixture(scope="module")
def overlay(tmp_path_factory) -> Overlay:
    made = make_overlay(tmp_path_factory.mktemp("overlay") / "env")
    return dataclasses.replace(made, env=made.env | {"COLUMNS": "100"})


@pytest.mark.parametrize("page", FOLLOWED, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says_and_prints_what_it_shows(overlay, tmp_path, page):
    pages.follow(page, functools.partial(overlay.run, timeout_s=900), tmp_path)


SHOWN = """\
# Page

`notes.txt`:

```text
kept
```

```sh
popeq one
popeq two    # exit code 3: it fails
```

```text
run in 1.5 s: runs/20260101T000000Z-prior-0123abcd
...
mean 2.31 [+0.10, 0.20]
```
"""
PRINTED = "run in 22 s: runs/20270202T111111Z-prior-ffffffff\nand\nmore\nmean 2.32  [+0.10, 0.20]\n"


def follow(tmp_path, shown=SHOWN, printed=PRINTED, status=3):
    from subprocess import CompletedProcess

    page = tmp_path / "page.md"
    page.write_text(shown, encoding="utf-8")
    answers = {"popeq one": (0, ""), "popeq two    # exit code 3: it fails": (status, printed)}
    pages.follow(page, lambda command, _: CompletedProcess(command, *answers[command], ""), tmp_path)
    return page.read_text(encoding="utf-8")


def test_times_keys_and_last_digits_may_differ(tmp_path):
    assert follow(tmp_path) == SHOWN
    assert (tmp_path / "notes.txt").read_text() == "kept\n"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("2.32", "2.33"),
        ("mean", "median"),
        ("more\n", "more\nmean 9\n"),
        ("-prior-", "-knn-"),
        ("run in", "ran in"),
    ],
)
def test_other_words_numbers_and_lines_are_found(tmp_path, old, new):
    printed = PRINTED.replace(old, new) if old != "more\n" else PRINTED + "mean 9\n"
    with pytest.raises(AssertionError, match="was printed"):
        follow(tmp_path, printed=printed)


def test_another_exit_code_is_found(tmp_path):
    with pytest.raises(AssertionError, match="popeq two"):
        follow(tmp_path, status=0)


def test_outputs_are_written_into_a_page_when_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_WRITE_PAGES", "1")
    page = follow(tmp_path, printed="one\ntwo\nthree\n")
    assert page == SHOWN.replace("run in 1.5 s: runs/20260101T000000Z-prior-0123abcd", "one").replace(
        "mean 2.31 [+0.10, 0.20]", "three"
    )
