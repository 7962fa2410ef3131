"""A small site with everything on it, hostile strings included, built once for all test processes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.popeq.board.conftest import Finished, finished

import popeq
from popeq.locks import Lock
from popeq.metrics import HEADLINE

__all__ = ["finished"]

HOSTILE = [
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "=cmd|' /C calc'!A0",
    "safe\u202egnp.exe",
    "\x1b[31mred",
    "'\"><svg onload=alert(1)>{{ 7*7 }}",
    "long" * 2500,
]


class Site(NamedTuple):
    folder: Path
    runs: Path
    data: Path


def disguise(run: Path, number: int, text: str) -> None:
    """Give a copied run somebody else's name, parameters, model and card; every string is hostile."""
    record = json.loads((run / "run.json").read_text())
    record["origin"] = "submitted"
    record["predictor"] |= {"name": text, "source": text, "parameters": {text[:50]: text}}
    record["predictor"]["described"] = {"model": text, text: [text], "parameters": text}
    record["command"] = text
    record["key"] = f"{number:064d}"
    record["environment"]["packages"] = {text[:50]: text}
    (run / "run.json").write_text(json.dumps(record))
    card = {"authors": ["A <b>", "</title>"], "contact": "a@b.example", "kind": "other"}
    card |= {"model": "<i>model</i>", "model_parameters": 3_800_000_000}
    card |= {"training_data": "all of </textarea><script>alert(1)</script>", "notes": "<!-- -->"}
    card |= {"links": ["https://example.org/paper?a=1&b=%3Cscript%3E"]}
    (run / "card.json").write_text(json.dumps(card))


def make_site(finished: Finished, root: Path) -> Site:
    runs = root / "runs"
    for run in finished.runs_dir.iterdir():
        if (run / "run.json").exists():
            shutil.copytree(run, runs / run.name)
    template = finished.runs["random"].folder
    for number, text in enumerate(HOSTILE):
        disguise(Path(shutil.copytree(template, runs / f"hostile-{number}")), number, text)
    claim = {"method": "<b>great</b>", "dataset": "small", "scores": {f"{HEADLINE}_median": 0.01}}
    card = {"authors": ["B"], "contact": "b@b.example", "training_data": "secret", "claim": claim}
    (runs / "claimed").mkdir()
    (runs / "claimed" / "card.json").write_text(json.dumps(card | {"trust": "self-reported"}))
    return Site(popeq.build_site([runs], root / "site", finished.data), runs, finished.data)


@pytest.fixture(scope="session")
def site(finished: Finished, tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Site:
    """The site, its runs and its data; shared by the test processes, so nobody may change it."""
    if worker_id == "master":
        return make_site(finished, tmp_path_factory.mktemp("site"))
    shared = tmp_path_factory.getbasetemp().parent
    with Lock(shared / "site.lock"):
        place = shared / "site.json"
        if place.exists():
            return Site(*map(Path, json.loads(place.read_text())))
        made = make_site(finished, tmp_path_factory.mktemp("site"))
        place.write_text(json.dumps([str(path) for path in made]))
        return made
