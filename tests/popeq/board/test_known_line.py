"""The line of what knows the words: shown where an installed plugin names the generator, and nowhere else."""

from __future__ import annotations

import dataclasses
import re
import shutil
import sys

import numpy as np
import pytest

import popeq as package
from popeq.board.scoring import Scorer
from popeq.contract import DatasetSpec
from popeq.errors import RunError
from popeq.metrics import HEADLINE, SCORES
from popeq.plugins import registry

NAME = "[knows the words]"
OTHERS = ["[training responses]", "[perfect predictor]", "[fresh panel of 11]"]
SOURCE = """
import numpy as np

CENTRE = 1.0

def draws(prompt_ids, n, seed):
    print("drawn")
    rng = np.random.default_rng([seed, len(prompt_ids)])
    return np.clip(rng.normal(CENTRE, 2.0, (len(prompt_ids), n, 2)), -6, 6)

def outside(prompt_ids, n, seed):
    return np.full((len(prompt_ids), n, 2), 6.5)

def wrong_shape(prompt_ids, n, seed):
    return np.zeros((len(prompt_ids), n))

def fails(prompt_ids, n, seed):
    raise KeyError("p99")
"""


@pytest.fixture
def generator(tmp_path, monkeypatch):
    """The source file of a generator that can be imported as ``generator_of_small``."""
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))
    (tmp_path / "code").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    file = tmp_path / "code" / "generator_of_small.py"
    file.write_text(SOURCE)
    yield file
    sys.modules.pop("generator_of_small", None)


@pytest.fixture
def announce(monkeypatch, finished):
    """Announce a folder as a data set whose generator is a function of that module."""

    def call(function: str = "draws", folder=finished.data) -> None:
        spec = DatasetSpec("known-small", "for tests", folder, known=f"generator_of_small:{function}")
        monkeypatch.setitem(registry().datasets, spec.name, spec)

    return call


def lines(board) -> list[str]:
    return [name for name in board.table["predictor"] if name.startswith("[")]


@pytest.mark.usefixtures("generator")
def test_the_line_has_the_scores_of_the_generators_draws(finished, announce, tmp_path):
    board = package.leaderboard([finished.runs["prior"]])
    assert lines(board) == OTHERS
    (tmp_path / "link").symlink_to(finished.data)
    announce(folder=tmp_path / "link")
    board = package.leaderboard([finished.runs["prior"]])
    assert lines(board) == [OTHERS[0], NAME, *OTHERS[1:]]
    data = package.load_dataset(finished.data)
    scorer = Scorer(data, finished.runs["prior"].record.protocol)
    import generator_of_small

    points = generator_of_small.draws(data.test_ids, scorer.protocol.n_samples, 0)
    row = board.table.set_index("predictor").loc[NAME]
    for name in SCORES:
        expected = np.mean([t.score(p).values[name] for t, p in zip(scorer.targets, points, strict=True)])
        assert row[f"{name}_mean"] == pytest.approx(expected), name
    assert row[f"{HEADLINE}_mean_low"] < row[f"{HEADLINE}_mean"] < row[f"{HEADLINE}_mean_high"]
    assert any("knows the words: drawn from the generator's population" in note for note in board.notes)


@pytest.mark.usefixtures("generator")
def test_studies_site_and_tables_by_category_have_it(finished, announce, tmp_path):
    announce()
    study = package.ceiling(finished.data)
    assert study.table["line"].tolist()[0] == "knows the words"
    study.picture(tmp_path / "ceiling.svg")
    assert "knows the words (measured)" in (tmp_path / "ceiling.svg").read_text()
    board = package.leaderboard([finished.runs["prior"]], by="category")
    assert lines(board)[1] == NAME
    site = package.build_site([finished.runs["prior"]], tmp_path / "site")
    index = (site / "index.html").read_text()
    assert re.search(r'<span class="key known">knows the words [\d.]+ dB</span>', index)


@pytest.mark.usefixtures("generator")
def test_no_file_of_a_data_set_makes_popeq_import_code(finished, announce, tmp_path):
    """A copy of the folder is somebody's files: the plugin does not stand for it."""
    announce()
    copy = shutil.copytree(finished.data, tmp_path / "copy")
    assert lines(package.leaderboard([finished.runs["prior"]], copy)) == OTHERS
    with (copy / "dataset.toml").open("a") as card:
        card.write('known = "generator_of_small:draws"\n')
    with pytest.raises(package.errors.InvalidInputError, match="column known: extra inputs"):
        package.load_dataset(copy)
    assert "generator_of_small" not in sys.modules


@pytest.mark.usefixtures("generator")
def test_a_view_of_the_folder_has_the_line_too(finished, announce):
    announce()
    data = package.load_dataset(finished.data)
    gone = data.prompts["prompt_id"].isin(["p00", "p01"])
    view = dataclasses.replace(data, prompts=data.prompts[~gone].reset_index(drop=True))
    view = dataclasses.replace(
        view, responses=data.responses[~data.responses["prompt_id"].isin(["p00", "p01"])]
    )
    assert package.ceiling(view).table["line"].tolist()[0] == "knows the words"
    assert "knows the words" not in set(package.ceiling(dataclasses.replace(view, folder=None)).table["line"])


@pytest.mark.usefixtures("generator")
def test_it_needs_no_number_of_listeners(finished, announce, tmp_path):
    folder = shutil.copytree(finished.data, tmp_path / "few")
    rows = (folder / "responses.csv").read_text().splitlines()
    (folder / "responses.csv").write_text("\n".join(r for r in rows if ",l3," not in r and ",l4," not in r))
    announce(folder=folder)
    (run,) = package.run("random", folder, runs_dir=tmp_path / "runs")
    board = package.leaderboard([run])
    assert lines(board) == [OTHERS[0], NAME]
    assert any("No estimated reference lines" in note for note in board.notes)


def test_the_line_is_kept_until_the_generators_code_changes(finished, announce, generator, capsys):
    announce()

    def drawn(**options) -> tuple[bool, float]:
        capsys.readouterr()
        table = package.leaderboard([finished.runs["prior"]], **options).table.set_index("predictor")
        return "drawn" in capsys.readouterr().out, table.loc[NAME, f"{HEADLINE}_mean"]

    first = drawn()
    assert first[0]
    assert drawn() == (False, first[1])
    assert drawn(keep=False) == first
    generator.write_text(SOURCE.replace("CENTRE = 1.0", "CENTRE = -3.0"))
    sys.modules.pop("generator_of_small")
    changed = drawn()
    assert changed[0]
    assert changed[1] != first[1]


@pytest.mark.usefixtures("generator")
@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("outside", r"gave points of shape \(4, 660, 2\); needs \(4, 660, 2\), finite and inside the space"),
        ("wrong_shape", r"gave points of shape \(4, 660\); needs"),
        ("fails", "KeyError: 'p99'"),
        ("absent", "AttributeError: .*absent"),
    ],
)
def test_a_generator_that_fails_is_one_line(finished, announce, function, said):
    announce(function)
    with pytest.raises(RunError, match=f"^generator_of_small:{function}, generator of small: {said}"):
        package.leaderboard([finished.runs["prior"]])
