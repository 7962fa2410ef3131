"""Every command of the pages is run, or read by what would run it; every picture has its command."""

from __future__ import annotations

import re
import shutil

import pytest
from tests.conftest import ROOT
from tests.doc_commands import Command, commands, fault_of, pages
from tests.overlay import make_overlay

PAGES = pages()
#: Pages that a test of ``make test`` follows word for word.
FOLLOWED = {
    ROOT / "docs" / "bring-your-own-study.md": "tests/test_own_study.py",
    **dict.fromkeys((ROOT / "docs" / "tutorials").glob("*.md"), "tests/docs/test_pages.py"),
    ROOT / "docs" / "tutorials" / "my-model.md": "tests/test_tutorial.py",
}
#: What no test runs as it is written, and why; all else is run by ``make docs-check``.
NOT_RUN = {
    r"^make ": "takes minutes to days; its target is there",
    r"^python -m tests\.(?!bench\.adapting --w)": "takes minutes to days; tests/bench/test_small_forms.py",
    r"SAFEEqualiserUserData|eq_contributions|\bsafe-\w+": "files that may not be passed on; tests/popeq_data",
    r"\b(RUN|NAME|HERE)\b|microsoft/|openai:|\.gguf\b": "a name, a model or a server that the reader has",
    r"challenge|my-blob|verify out$": "the tutorials run these steps with other names",
    r"prompts\.csv|settings\.csv|mushra\.csv": "files of the reader; tests/popeq_data imports such",
    r"^popeq (tune |run (lora|icl))": "takes minutes to hours; smaller ones are in tests/popeq_llm",
}


def of(page) -> list[Command]:
    return list(commands(page))


def reason(command: Command) -> str | None:
    """Why a command is not run as it is written, or None if it is."""
    text = " ".join(command.words)
    return next((why for pattern, why in NOT_RUN.items() if re.search(pattern, text)), None)


def runnable(page) -> list[Command]:
    return [] if page in FOLLOWED else [c for c in of(page) if c.words[0] != "make" and reason(c) is None]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_every_command_of_a_page_has_names_options_and_arguments_that_exist(page):
    faults = [f"{command}: {fault}" for command in of(page) if (fault := fault_of(command))]
    assert faults == []


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("popeq", "rnu", "prior"), "no command rnu"),
        (("popeq", "leaderboard"), "without the command"),
        (("popeq", "run", "prior", "--sed", "1"), "No such option"),
        (("popeq", "run", "prior", "--seed", "one"), "is not a valid integer"),
        (("popeq", "compare", "prior"), "Missing argument"),
        (("popeq", "leaderboard", "show", "--format", "pdf"), "is not one of"),
        (("popeq", "data", "import", "csv", "prompts.csv"), "Missing argument"),
        (("make", "tset"), "no target tset"),
        (("python", "-m", "tests.bench.nothing"), "no module"),
        (("python", "-m", "tests.bench.claims", "--nothing"), "no option --nothing"),
    ],
)
def test_a_wrong_command_is_found(words, fault):
    assert fault in str(fault_of(Command(ROOT / "README.md", words)))


def test_a_command_is_found_in_every_form(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\npip install x && popeq run prior \\\n  --jobs 2 | head    # popeq\n```\n"
        "```sh\nX=1 popeq verify out\n```\n"
        "1. a list\n\n   ```sh\n   popeq list\n   ```\n```yaml\n- run: make test\n```\n"
        "```python\npopeq.run('prior')\n```\n```sh\npython -m tests.bench.ranks --worlds 3\n```\n"
    )
    assert [" ".join(c.words) for c in of(page)] == [
        "popeq run prior --jobs 2",
        "popeq verify out",
        "popeq list",
        "make test",
        "python -m tests.bench.ranks --worlds 3",
    ]


def test_no_reason_is_left_over():
    texts = [" ".join(c.words) for page in PAGES if page not in FOLLOWED for c in of(page)]
    assert [p for p in NOT_RUN if not any(re.search(p, text) for text in texts)] == []


def test_most_commands_are_run_as_they_are_written():
    every = [c for page in PAGES for c in of(page) if c.words[0] == "popeq"]
    run = [c for c in every if c.page in FOLLOWED or reason(c) is None]
    assert len(run) >= 0.6 * len(every)


@pytest.mark.docs
@pytest.mark.parametrize(
    "page", [p for p in PAGES if runnable(p)], ids=lambda p: p.relative_to(ROOT).as_posix()
)
def test_the_commands_of_a_page_run(page, tmp_path):
    """One after another, in a folder with the committed boards, as in a clone."""
    shutil.copytree(ROOT / "leaderboard" / "results", tmp_path / "leaderboard" / "results")
    (tmp_path / "docs" / "img").mkdir(parents=True)
    overlay = make_overlay(tmp_path / "env")
    overlay.env["PYTHONPATH"] = str(ROOT)
    if page == ROOT / "docs" / "baselines.md":
        overlay.run("popeq run prior --dataset simulated-120", tmp_path)  # its board is of the demo's runs
    for command in runnable(page):
        quoted = " ".join(f"'{word}'" if " " in word else word for word in command.words)
        result = overlay.run(quoted, tmp_path, timeout_s=3000)
        assert result.returncode == 0, (str(command), result.stdout[-2000:], result.stderr[-2000:])


def test_every_picture_has_the_command_that_makes_it():
    """The name of a picture's file is in a command of the same page."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", text):
            path = (page.parent / target).resolve()
            name = path.relative_to(ROOT).as_posix()
            made = rf"(popeq|python -m|chromium --headless)[^\n`]*{re.escape(path.name)}"
            assert path.is_file(), f"{page.name}: {target} is not there"
            assert re.search(made, text), f"{page.name}: {name} has no command that writes it"
