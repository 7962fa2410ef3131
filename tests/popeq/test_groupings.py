"""Tables split by any grouping of the prompts that a data set names, from its files to the site."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pandas as pd
import pytest

import popeq as api
from popeq.dataset_folder import read_dataset, write_dataset
from popeq.errors import InvalidInputError, UsageError
from popeq.metrics import HEADLINE
from popeq.sealing import seal
from popeq.tuning.view import tuning_view
from tests.conftest import write_small_dataset

SEEN = ["seen", "seen", "seen", "seen", "seen", "seen", "unseen", "unseen"]


def with_groupings(folder: Path, prompts: int = 16, *, folds: bool = False, **columns: list[str]) -> Path:
    """A small data set with more columns, their cells those of the test prompts (with folds, of all)."""
    write_small_dataset(folder, prompts=prompts, folds=folds)
    frame = pd.read_csv(folder / "prompts.csv", dtype=str)
    for name, cells in columns.items():
        frame[name] = [""] * (prompts - len(cells)) + cells
    frame.to_csv(folder / "prompts.csv", index=False)
    with (folder / "dataset.toml").open("a") as card:
        card.write(f"groupings = {json.dumps(list(columns))}\n")
    return folder


def problems(folder: Path) -> list[str]:
    with pytest.raises(InvalidInputError) as caught:
        read_dataset(folder)
    return [str(p) for p in caught.value.problems]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of eight test prompts with two groupings, one of them with one group, and two runs."""
    folder = tmp_path_factory.mktemp("groupings")
    data = with_groupings(folder / "data", seen=SEEN, wording=["named"] * 8)
    api.run(["prior", "random"], data, runs_dir=folder / "runs")
    return folder


def test_groupings_are_columns_of_the_prompts_and_no_predictor_sees_them(made):
    data = read_dataset(made / "data")
    frame = data.prompts.set_index("prompt_id")
    assert frame.loc["p14", "seen"] == "unseen"
    assert frame.loc["p00", "seen"] is None
    assert data.groupings == ("category", "seen", "wording")
    prompt = data.unlabelled(["p14"])[0]
    assert "unseen" not in repr(prompt)
    assert not {"seen", "wording", "basis"} & set(vars(prompt))


def test_the_revision_depends_on_groupings_that_the_card_names_and_on_no_order(tmp_path):
    plain = read_dataset(write_small_dataset(tmp_path / "plain", prompts=16)).revision
    one = read_dataset(with_groupings(tmp_path / "one", seen=SEEN)).revision
    both = read_dataset(with_groupings(tmp_path / "both", seen=SEEN, part=SEEN)).revision
    turned = read_dataset(with_groupings(tmp_path / "turned", part=SEEN, seen=SEEN)).revision
    other = read_dataset(with_groupings(tmp_path / "other", seen=[*SEEN[1:], "seen"])).revision
    renamed = read_dataset(with_groupings(tmp_path / "renamed", known=SEEN)).revision
    assert both == turned
    assert len({plain, one, both, other, renamed}) == 5


def test_data_sets_without_groupings_keep_their_revisions():
    found = {name: api.load_dataset(name).revision[:12] for name in ("simulated-120", "simulated-120-b")}
    assert found == {"simulated-120": "20d2b95be214", "simulated-120-b": "51f58a262450"}


def test_what_is_written_or_sealed_has_them_and_a_card_without_does_not_say_so(made, tmp_path):
    data = read_dataset(made / "data")
    written = write_dataset(data, tmp_path / "written", "")
    assert written.revision == data.revision
    sealed = seal(data, tmp_path / "sealed", tmp_path / "answers.csv")
    assert sealed.groupings == ("category", "seen", "wording")
    pd.testing.assert_frame_equal(sealed.prompts, data.prompts)
    plain = write_dataset(read_dataset(write_small_dataset(tmp_path / "plain")), tmp_path / "out", "")
    assert "groupings" not in tomllib.loads((tmp_path / "out" / "dataset.toml").read_text())
    assert plain.card.groupings == ()


def test_columns_and_card_must_agree(tmp_path):
    folder = with_groupings(tmp_path / "data", seen=SEEN)
    edit(folder / "dataset.toml", '["seen"]', '["part"]')
    assert problems(folder)[0] == "prompts.csv, row 1, column part: the column is missing"
    assert problems(folder)[1].startswith("prompts.csv, row 1, column seen: unknown column")
    assert len(problems(folder)) == 2
    edit(folder / "dataset.toml", 'groupings = ["part"]', 'groupings = ["seen"]\nlicense = "MIT"')
    assert problems(folder) == ["dataset.toml, column license: extra inputs are not permitted"]


def test_a_tested_prompt_needs_a_group_and_others_do_not(tmp_path):
    folder = with_groupings(tmp_path / "split", seen=["", *SEEN[1:]])
    assert problems(folder) == ["prompts.csv, row 10, column seen: is empty"]
    folder = with_groupings(tmp_path / "folds", 12, folds=True, seen=SEEN)
    assert problems(folder) == [f"prompts.csv, row {i}, column seen: is empty" for i in range(2, 6)]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ('["text"]', "'text' is a column of prompts.csv already"),
        ('["Basis"]', "'Basis' is a column of prompts.csv already"),
        ('["seen", "seen"]', "'seen' is a column of prompts.csv already"),
        ('["with space"]', "'with space' is not a letter and"),
        ('[""]', "'' is not a letter and"),
    ],
)
def test_a_grouping_has_a_name_of_its_own(tmp_path, names, said):
    folder = with_groupings(tmp_path / "data", seen=SEEN)
    edit(folder / "dataset.toml", '["seen"]', names)
    (found,) = problems(folder)
    assert found.startswith(f"dataset.toml, column groupings: value error, {said}")


def test_a_board_by_a_grouping_has_the_means_of_its_prompts(made, popeq_inside):
    board = api.leaderboard(runs_dir=made / "runs", by="seen")
    assert board.table.columns[0] == "seen"
    scores = api.score(next((made / "runs").glob("*-prior-*"))).set_index("prompt_id")[HEADLINE]
    seen = read_dataset(made / "data").prompts.set_index("prompt_id")["seen"]
    found = board.table[board.table["predictor"] == "prior"].set_index("seen")[f"{HEADLINE}_mean"]
    expected = scores.groupby(seen.loc[scores.index]).mean()
    assert found.to_dict() == pytest.approx(expected.to_dict())
    assert list(found.index) == ["seen", "unseen"]
    assert any(note.startswith("unseen: 2 prompts, too few") for note in board.notes)
    for words in (
        ("leaderboard", "show", "--runs", made / "runs"),
        ("compare", "prior", "random", "--runs", made / "runs"),
        ("show", next((made / "runs").glob("*-prior-*"))),
        ("ceiling", made / "data"),
        ("ablate", "prior", "--runs", made / "runs"),
        ("power", "prior", "random", "--runs", made / "runs"),
    ):
        printed = popeq_inside(*words, "--by", "seen", "--format", "csv")
        assert printed.returncode == 0, printed.stderr
        assert re.match("seen,", printed.stdout), words
        assert re.search("^unseen,", printed.stdout, re.MULTILINE), words


def test_what_is_no_grouping_is_one_line_that_names_those_there_are(made, popeq_inside):
    printed = popeq_inside("leaderboard", "show", "--runs", made / "runs", "--by", "basis")
    assert printed.returncode == 2
    assert printed.stderr == (
        "popeq: small: tables can be split by category, seen or wording, not by 'basis', because some "
        "tested prompts have none\n"
    )
    for study in (
        lambda: api.ceiling(made / "data", by="colour"),
        lambda: api.compare("prior", "random", runs_dir=made / "runs", by="colour"),
        lambda: api.ablate(runs_dir=made / "runs", by="colour"),
    ):
        with pytest.raises(UsageError, match=r"split by category, seen or wording, not by 'colour'$"):
            study()


def test_a_wrong_grouping_is_refused_before_anything_is_scored(made, monkeypatch):
    monkeypatch.setattr("popeq.lookup.make_entries", lambda *_, **__: pytest.fail("runs were scored"))
    with pytest.raises(UsageError, match="not by 'colour'"):
        api.leaderboard(runs_dir=made / "runs", by="colour")


def test_a_grouping_with_the_name_of_a_tables_column_is_refused(tmp_path):
    data = with_groupings(tmp_path / "data", rank=SEEN)
    (run,) = api.run("prior", data, runs_dir=tmp_path / "runs")
    with pytest.raises(UsageError, match="this table has a column 'rank' of its own"):
        api.leaderboard([run], by="rank")
    assert list(api.ceiling(data, by="rank").table.columns[:2]) == ["rank", "line"]


def test_the_site_has_a_table_for_each_grouping_with_more_than_one_group(made, tmp_path):
    out = api.build_site([], tmp_path / "site", runs_dir=made / "runs")
    for page in (out / "index.html", *(out / "method").iterdir()):
        assert re.findall(r"<h\d>By (\w+)</h\d>", page.read_text()) == ["seen"]
    index = (out / "index.html").read_text()
    assert index.count("2 prompts; too few prompts") == 1
    part = index[index.index("By seen") :]
    mean = api.leaderboard(runs_dir=made / "runs", by="seen").table.set_index(["seen", "predictor"])
    shown = re.search(r"<bdi>prior</bdi></th><td class=\"num\">([\d.]+)<", part)
    assert float(shown[1]) == pytest.approx(mean.loc[("seen", "prior"), f"{HEADLINE}_mean"], abs=0.005)


def test_data_show_says_the_groups(made, popeq_inside):
    printed = popeq_inside("data", "show", made / "data").stdout
    assert "Tables can be split by category, seen, wording." in printed
    assert "p15  [test, colour, unseen, named, 5 listeners]" in printed
    assert "p00  [train, colour, 5 listeners]" in printed


def test_a_search_that_tests_prompts_without_a_group_cannot_be_split_by_it(made):
    assert tuning_view(read_dataset(made / "data")).groupings == ("category",)


def test_the_csv_importer_keeps_the_columns_that_are_named(tmp_path, popeq_inside):
    own = with_groupings(tmp_path / "own", 12, folds=True, seen=["a"] * 6 + ["b"] * 6, part=["c"] * 12)
    files = own / "prompts.csv", own / "responses.csv"
    both = ("--grouping", "seen", "--grouping", "part")
    printed = popeq_inside("data", "import", "csv", *files, *both, "-o", tmp_path / "out")
    assert printed.returncode == 0, printed.stderr
    assert read_dataset(tmp_path / "out").revision == read_dataset(own).revision
    refused = popeq_inside("data", "import", "csv", *files, "--grouping", "seen", "-o", tmp_path / "no")
    assert refused.returncode == 2
    assert "prompts.csv, row 1, column part: unknown column" in refused.stderr
    refused = popeq_inside("data", "import", "csv", *files, "--grouping", "text", "-o", tmp_path / "no")
    assert refused.stderr.startswith("popeq: import csv: --grouping: 'text' is a column")
    unseen = popeq_inside("data", "import", "csv", *files, *both, "--unseen-people", "-o", tmp_path / "b")
    assert unseen.returncode == 0, unseen.stderr
    divided = read_dataset(tmp_path / "b").prompts
    assert set(divided[divided["prompt_id"].str.startswith("p00")]["seen"]) == {"a"}
    assert not (tmp_path / "no").exists()
