"""Whatever a run, a card, a data set, a file's name or a library's error says: no command lets it act."""

from __future__ import annotations

import json
import logging
import sys
import tomllib
import unicodedata
import warnings
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import tomli_w
from pydantic import Field
from tests.conftest import ROOT, write_small_dataset

import popeq as package
from popeq.cli import popeq as program
from popeq.contract import Parameters, PredictorSpec
from popeq.output import make_messages_plain, say
from popeq.plugins import registry
from popeq.protocol import PROTOCOL_2
from popeq.runs.folder import RECORD, Run
from popeq.runs.spec import RunSpec
from popeq.runs.submission import run_from_predictions
from popeq.terminal import Bar

#: Clear the screen, a link, a title, a carriage return, direction marks, one-byte controls, a tag character.
HOSTILE = "\x1b[2J\x1b]8;;http://evil.example\x07x\x1b\\\r\u202e\u2066\x9b31m\u2028\x08\U000e0041"
#: The same as far as names of files go.
NAMED = HOSTILE.replace("/", "")
BOLD = "bold\x1b[1m"


def acting(text: str) -> list[str]:
    """The characters of a text that a terminal would obey."""
    kinds = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return [repr(c) for c in text if c != "\n" and unicodedata.category(c) in kinds]


def predictions(path: Path, seed: int) -> Path:
    lines = ["prompt_id,sample,x_db,y_db"]
    for number, prompt_id in enumerate(f"p{i:02d}" for i in range(8, 20)):
        for i in range(PROTOCOL_2.n_samples):
            lines.append(f"{prompt_id},{i},{(i * 7 + number + seed) % 11 - 5},{(i * 3 + seed) % 9 - 4}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def forged(run: Run, **changes: object) -> Run:
    """A run with other words in its record and the key that belongs to them."""
    raw = json.loads((run.folder / RECORD).read_text(encoding="utf-8"))
    raw["predictor"] |= {
        "name": f"{raw['predictor']['name']} {HOSTILE}",
        "source": f"source {HOSTILE}",
        "parameters": {f"size {HOSTILE}": f"large {HOSTILE}"},
        "described": {"model": f"model {HOSTILE}", "parameters": 10**6, f"x {HOSTILE}": HOSTILE},
        "identity": {f"model {HOSTILE}": f"sha256:{HOSTILE}"},
    }
    raw |= {"origin": "drawn", "command": f"popeq run {HOSTILE}", **changes}
    raw["environment"]["packages"] = {f"numpy {HOSTILE}": HOSTILE}
    raw["key"] = RunSpec.model_validate({n: raw[n] for n in RunSpec.model_fields}).expected_key
    (run.folder / RECORD).write_text(json.dumps(raw), encoding="utf-8")
    return Run.open(run.folder)


class Place:
    """A hostile data set, hostile runs on it, and the words by which commands are called."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = write_small_dataset(folder / f"data {NAMED}", prompts=20)
        card = tomllib.loads((self.data / "dataset.toml").read_text(encoding="utf-8"))
        card |= {key: f"{key} {HOSTILE}" for key in ("version", "title", "licence", "citation")}
        card["groupings"] = ["where"]
        (self.data / "dataset.toml").write_text(tomli_w.dumps(card), encoding="utf-8")
        cell = '"' + HOSTILE.replace("\r", "") + '"'
        header, *rows = (self.data / "prompts.csv").read_text(encoding="utf-8").splitlines()
        rows = [row.replace("make it", f"make {HOSTILE} it").replace("\r", "") for row in rows]
        rows = [row.replace(",colour,", f",{cell},") + f",{cell}" for row in rows]
        (self.data / "prompts.csv").write_text("\n".join([f"{header},where", *rows]) + "\n", "utf-8")
        answers = (self.data / "responses.csv").read_text(encoding="utf-8").replace(",l0,", f",{cell},")
        (self.data / "responses.csv").write_text(answers, encoding="utf-8")
        people = [f"{name},{cell}" for name in (cell, "l1", "l2")] + ["l3,two", "l4,two"]
        (self.data / "listeners.csv").write_text("\n".join(["listener_id,group", *people]) + "\n", "utf-8")
        loaded = package.load_dataset(self.data)
        self.runs = folder / f"runs {NAMED}"
        made = [
            run_from_predictions(
                predictions(folder / f"{n}.csv", n), loaded, name, protocol=PROTOCOL_2, runs_dir=self.runs
            )[0]
            for n, name in enumerate(("one", "two", "three"))
        ]
        self.first, self.second = (forged(run) for run in made[:2])
        failure = {"stage": HOSTILE, "kind": "error", "message": HOSTILE, "detail": HOSTILE}
        forged(made[2], status="failed", failures=[failure], prompts_done=1)
        (self.runs / f"broken {NAMED}").mkdir()
        (self.runs / f"broken {NAMED}" / RECORD).write_text(f'{{"a": {HOSTILE}', encoding="utf-8")
        self.file = folder / f"file {NAMED}"
        self.file.write_text(f"{HOSTILE},{HOSTILE}\n{HOSTILE}\n", encoding="utf-8")
        self.card = folder / f"card {NAMED}.json"
        self.card.write_text(json.dumps({HOSTILE: HOSTILE, "authors": [HOSTILE]}), encoding="utf-8")

    def calls(self) -> dict[str, list[list[object]]]:
        """For each command the arguments that it is called with."""
        data, file, out = self.data, self.file, self.folder / f"out {NAMED}"
        a, b, here = self.first.folder, self.second.folder, ["--runs", self.runs]
        forms = [["--format", form] for form in ("text", "markdown", "csv", "json")]
        on = ["--dataset", data]
        return {
            "ablate": [[a, b, *on], [HOSTILE]],
            "ask": [
                [HOSTILE, "-p", "prior", *on],
                [HOSTILE, "-p", "prior", *on, "--json"],
                ["x", "-p", HOSTILE],
            ],
            "ceiling": [[data], [HOSTILE], [data, "--by", "where"]],
            "check": [[HOSTILE], ["prior", "-o", f"{HOSTILE}=1"]],
            "compare": [
                *([a, b, *on, *form] for form in forms),
                [HOSTILE, HOSTILE],
                [a, b, *on, "--by", "where"],
            ],
            "data export": [
                [data, self.folder / f"hub {NAMED}", "--to", "hub", "--creator", HOSTILE],
                [HOSTILE, out, "--to", "hub"],
            ],
            "data import bands": [[file, "-o", out]],
            "data import csv": [[file, file, "-o", out]],
            "data import safe": [[file, "-o", out]],
            "data import socialeq": [[file, "-o", out]],
            "data list": [[]],
            "data seal": [[data, "-o", self.folder / f"sealed {NAMED}", "--answers", self.folder / NAMED]],
            "data show": [[data], [data, "p08"], [data, HOSTILE], [HOSTILE]],
            "data validate": [[data], [file], [self.folder]],
            "demo": [["-p", HOSTILE, "--port", "0"]],
            "export": [
                [self.runs, self.folder / f"eee {NAMED}", "--to", "every-eval-ever", *on],
                [self.runs, self.folder / NAMED, "--to", "eval-results", *on, "--hub-dataset", HOSTILE],
                [self.runs, self.folder / NAMED, "--to", "eval-results", *on, "--hub-dataset", "me/x"],
                [HOSTILE, out, "--to", "every-eval-ever"],
            ],
            "features": [[self.runs]],
            "leaderboard build": [[self.runs, *on, "-o", self.folder / f"site {NAMED}"]],
            "leaderboard judge": [["--base", HOSTILE, "--repository", ROOT], ["--repository", self.data]],
            "leaderboard sign": [[self.runs, *on], [self.runs, *on, "--owner", HOSTILE]],
            "leaderboard show": [
                *([self.runs, *on, *form] for form in forms),
                [self.runs, *on, "--wide"],
                [self.runs, *on, "--by", "group"],
                [self.runs, *on, "--by", "where"],
                [self.runs, *on, "--with", "rendered_mmd"],
                [HOSTILE],
            ],
            "learn": [[HOSTILE, "--train", "1"]],
            "list": [[], ["bad"], [BOLD], [HOSTILE]],
            "listening-test analyse": [[file, "--plan", file]],
            "listening-test export": [[a, "--track", file, "-o", out]],
            "models": [[], ["--convert", HOSTILE]],
            "new": [[HOSTILE]],
            "personal": [[a, *on, "--own", "1"], [HOSTILE], ["--dataset", HOSTILE, "--other", HOSTILE]],
            "power": [[a, b, *on]],
            "regress": [[a, b, *on], [a, b, *on, "--json"], [HOSTILE, HOSTILE]],
            "render": [[file, out, "--at", "0,0"], [file, out]],
            "run": [
                [HOSTILE, *on],
                ["prior", *on, *here],
                ["prior", "-o", f"{HOSTILE}=1"],
                ["prior", "--x\x1b"],
            ],
            "score": [
                [file, *on, "--name", HOSTILE],
                [self.folder / "0.csv", *on, "--name", "x", "--meta", self.card],
            ],
            "schema": [[HOSTILE]],
            "show": [
                *([a, *on, *form] for form in forms),
                [a, *on, "--by", "where"],
                [a, *on, "--with", "rendered_mmd"],
                [HOSTILE],
            ],
            "sizes": [[a, b, *on], [HOSTILE]],
            "submit": [[a, "--card", self.card], [a, *on]],
            "sweep": [[file]],
            "transfer": [[a, "--to", data], [HOSTILE, "--to", data, *on, "--adapt", "1"]],
            "tune": [[HOSTILE], ["prior", "-o", f"{HOSTILE}=1"]],
            "verify": [[self.runs, *on], [HOSTILE]],
        }


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Place:
    return Place(tmp_path_factory.mktemp("hostile"))


class Options(Parameters):
    size: str = Field(HOSTILE, description=f"size {HOSTILE}")


@pytest.fixture
def plugins(monkeypatch):
    """Plugins with hostile names, summaries and errors."""
    found = registry()
    spec = PredictorSpec("bad", f"summary {HOSTILE}", "x:Y", parameters=Options)
    monkeypatch.setitem(found.predictors, BOLD, spec)
    monkeypatch.setitem(found.predictors, "bad", spec)
    monkeypatch.setattr(found, "warnings", [f"plugin {HOSTILE}: not loaded: {HOSTILE}"])


def leaves(command: click.Command, path: str = "", above: click.Context | None = None) -> Iterator[str]:
    """The names of all commands that do something, those of plugins too."""
    context = click.Context(command, parent=above)
    if not isinstance(command, click.Group):
        yield path
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        assert inner is not None
        yield from leaves(inner, f"{path} {name}".strip(), context)


COMMANDS = sorted(leaves(program))


def test_every_command_is_called(place):
    assert sorted(place.calls()) == COMMANDS, "give new commands arguments in Place.calls"


# Without torch 'popeq models' says what to install, and nothing that was given to it.
@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=pytest.mark.models) if c == "models" else c for c in COMMANDS]
)
@pytest.mark.usefixtures("plugins")
def test_nothing_that_a_command_prints_acts_on_the_terminal(place, popeq_inside, command, monkeypatch):
    monkeypatch.setattr(sys, "stdin", open("/dev/null", encoding="utf-8"))  # noqa: SIM115, PTH123
    seen = 0
    for arguments in [["--help"], *place.calls()[command]]:
        result = popeq_inside(*command.split(), *arguments)
        for stream in (result.stdout, result.stderr):
            assert acting(stream) == [], (arguments, stream)
            seen += stream.count("\\x1b") + stream.count("\\u001b")
        assert "Traceback" not in result.stderr
    assert seen, "nothing hostile came as far as the terminal"


@pytest.mark.usefixtures("plugins")
def test_the_list_of_commands_is_plain(popeq_inside):
    assert acting(popeq_inside("--help").stdout) == []
    assert acting(popeq_inside("run", "bad", "--help").stdout) == []
    assert acting(popeq_inside(HOSTILE).stderr) == []


def test_what_is_said_on_a_line_stays_on_it(capsys):
    say("a\nb", "c\r\nd")
    assert capsys.readouterr().out == "a b\nc\\x0d d\n"


def test_warnings_log_lines_and_tracebacks_of_libraries_are_plain(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    factory = logging.getLogRecordFactory()
    try:
        make_messages_plain()
        record = logging.getLogger("x").makeRecord("x", logging.WARNING, "", 0, "%s", (HOSTILE,), None)
    finally:
        logging.setLogRecordFactory(factory)
    assert acting(logging.getLogRecordFactory() and record.getMessage()) == []
    assert acting(warnings.formatwarning(HOSTILE, UserWarning, "f", 1)) == []
    sys.excepthook(ValueError, ValueError(HOSTILE), None)
    err = capsys.readouterr().err
    assert err.startswith("ValueError: ")
    assert acting(err) == []


def test_the_bar_shows_names_as_text(monkeypatch, capsys):
    with Bar("prompts", 3, above=lambda: f"table {HOSTILE}") as bar:
        bar.say(f"a predictor {HOSTILE}")
        described = bar.tasks[0].description
        (above, *_) = bar.get_renderables()
    assert acting(described) == []
    assert acting(str(above)) == []


def test_nothing_else_prints():
    """``click.echo`` and ``print`` are called in popeq.output, and in modules that are run as programs."""
    programs = {"statistics.py", "make_words.py", "worker.py", "server.py", "imports.py"}
    for folder in ("benchmark", "plugins", "datasets"):
        for file in (ROOT / folder).rglob("*.py"):
            text = file.read_text(encoding="utf-8")
            if file.name == "output.py" or file.name in programs:
                continue
            for call in ("click.echo", "click.secho", " print(", "stdout.write", "stderr.write"):
                assert call not in text, f"{file}: {call}; use popeq.output.say"
