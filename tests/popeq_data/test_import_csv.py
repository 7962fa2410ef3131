"""Your own two CSV files, and how the plugin announces its importers."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import popeq_data
from popeq.dataset_folder import write_dataset
from popeq.errors import InvalidInputError, UsageError
from popeq.space import Space
from popeq_data.importers.options import CsvOptions
from popeq_data.importers.plain_csv import import_csv

PROMPTS = [
    ["prompt_id", "text", "category", "fold"],
    ["p1", "make it warm", "word", 0],
    ["p2", "more bass", "word", 1],
]
RESPONSES = [
    ["prompt_id", "listener_id", "x_db", "y_db"],
    ["p1", "ann@example.org", 1.5, -9],
    ["p1", "bob@example.org", 0, 2],
    ["p2", "ann@example.org", -0.5, 1],
    ["p2", "bob@example.org", 2, 6],
]


@pytest.fixture
def files(write_csv):
    return write_csv(PROMPTS, "mine.csv"), write_csv(RESPONSES, "theirs.csv")


def test_card_clipping_and_report(files, tmp_path):
    card = {"name": "my-set", "title": "Mine", "licence": "CC0-1.0", "citation": "Me", "simulated": True}
    chosen = CsvOptions(**card, outside="clip")
    result = import_csv(*files, chosen)
    card = result.dataset.card
    assert (card.name, card.title, card.licence, card.citation) == ("my-set", "Mine", "CC0-1.0", "Me")
    assert card.simulated
    assert result.dataset.points("p1").tolist() == [[1.5, -6.0], [0.0, 2.0]]
    assert result.report["share of responses clipped"] == 0.25
    assert (result.report["prompts"], result.report["listeners"], result.report["responses kept"]) == (
        2,
        2,
        4,
    )
    assert result.report["responses moved to the edge of the box"] == {
        "y_db": "1 of 4, by 3 dB on average and 3 dB at most"
    }
    assert "y_db: 1 of 4, by 3 dB" in result.readme("csv")
    written = write_dataset(result.dataset, tmp_path / "out", "card")
    assert written.revision == result.dataset.revision
    assert written.space.high.tolist() == [6.0, 6.0]


def test_points_outside_are_refused_with_both_remedies(files):
    with pytest.raises(UsageError) as caught:
        import_csv(*files, CsvOptions())
    line = str(caught.value)
    assert "theirs.csv: 25.0% of the responses (1 of 4) are outside the box [-6, 6] x [-6, 6] dB" in line
    assert "0 on x_db and 1 on y_db; the farthest is -9 of y_db in row 2" in line
    assert "give --box -9,9 to keep them all, or --outside clip" in line
    assert "\n" not in line
    kept = import_csv(*files, CsvOptions(box="-9,9"))
    assert kept.dataset.points("p1").tolist() == [[1.5, -9.0], [0.0, 2.0]]
    assert kept.dataset.space == Space(-9, 9, -9, 9)
    assert "responses moved to the edge of the box" not in kept.report


def test_the_plane_is_chosen_by_axis_with_its_step_and_curves(files, tmp_path):
    chosen = CsvOptions(box="-10,10", box_y=(-9, 6), step=0.5, curves="beosonic")
    written = write_dataset(import_csv(*files, chosen).dataset, tmp_path / "out", "card")
    assert written.space == Space(-10, 10, -9, 6, 0.5, "beosonic")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"box": "6,-6"}, "needs LOW,HIGH in dB, the lower first, not 6,-6"),
        ({"box": "6"}, "needs LOW,HIGH, two numbers such as -12,12, not '6'"),
        ({"box_x": "1,2,3"}, "needs LOW,HIGH, two numbers"),
        ({"step": 0.7}, "--box and --step: step_db 0.7 does not divide the box: -6 of x_db"),
        ({"box_y": "-5.5,6", "step": 1}, "--box and --step: step_db 1 does not divide the box: -5.5 of y_db"),
        (
            {"curves": "beosonics"},
            "--curves: no pair of curves is called 'beosonics'; did you mean 'beosonic'?",
        ),
        ({"curves": "shelves:9"}, "--curves: curves 'shelves:9'"),
        ({"grouping": ("text",)}, "--grouping: 'text' is a column of prompts.csv already"),
    ],
)
def test_a_plane_that_cannot_be_is_one_line(files, options, message):
    with pytest.raises((UsageError, ValidationError)) as caught:
        import_csv(*files, CsvOptions(**options))
    assert message in str(caught.value)


def test_ratios_become_decibels(write_csv):
    rows = [["p1", "ann", 2, 1], ["p2", "ann", 0.5, 1.5]]
    files = write_csv(PROMPTS, "mine.csv"), write_csv([RESPONSES[0], *rows], "theirs.csv")
    data = import_csv(*files, CsvOptions(unit="ratio", box="-12,12")).dataset
    np.testing.assert_allclose(data.points("p1"), [[20 * np.log10(2), 0.0]])
    np.testing.assert_allclose(data.points("p2"), [[-20 * np.log10(2), 20 * np.log10(1.5)]])
    write_csv([RESPONSES[0], *rows, ["p2", "bob", 0, 1]], "theirs.csv")
    with pytest.raises(InvalidInputError, match="row 4, column x_db: 0 is not a ratio above 0"):
        import_csv(*files, CsvOptions(unit="ratio"))


def tried(prompts, responses, **options):
    """The data set, or why there is none."""
    try:
        return import_csv(prompts, responses, CsvOptions(**options)).dataset, ""
    except UsageError as error:
        return None, str(error)


def formatted(value: float, decimals: int, mark: str) -> str:
    return f"{value:.{decimals}f}".replace(".", mark)


@given(
    values=st.lists(st.tuples(*[st.integers(-120_000, 120_000)] * 2), min_size=4, max_size=12),
    decimals=st.integers(0, 4),
    form=st.sampled_from([(",", "."), (";", ","), (";", "."), ("\t", ","), ("|", ".")]),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    asked=st.booleans(),
)
@settings(max_examples=60)
def test_every_point_is_the_files_unless_it_was_asked_otherwise(
    tmp_path_factory, values, decimals, form, encoding, line_end, asked
):
    """Whatever the file's form, each imported point is its own number; else the file is refused."""
    folder = tmp_path_factory.mktemp("any")
    separator, mark = form
    cells = [[formatted(v / 1e4, decimals, mark) for v in pair] for pair in values]
    rows = [[f"p{i % 2 + 1}", f"l{i}", *pair] for i, pair in enumerate(cells)]
    prompts, responses = folder / "prompts.csv", folder / "responses.csv"
    for path, table in ((prompts, PROMPTS), (responses, [RESPONSES[0], *rows])):
        lines = [separator.join(map(str, row)) + line_end for row in table]
        path.write_bytes("".join(lines).encode(encoding))
    wanted = {f"l{i}": [float(c.replace(",", ".")) for c in pair] for i, pair in enumerate(cells)}
    outside = np.abs(list(wanted.values())).max() > 6
    chosen = {"decimal": mark} if asked else {}
    data, refusal = tried(prompts, responses, **chosen)
    if "--decimal" in refusal:
        assert not asked
        assert form != (",", ".")
        return
    assert bool(refusal) == outside
    if refusal:
        box = re.search(r"--box (\S+)", refusal)[1]
        data, refusal = tried(prompts, responses, **chosen, box=box)
        assert not refusal
    found = {
        listener: [x, y]
        for listener, x, y in data.responses[["listener_id", "x_db", "y_db"]].itertuples(index=False)
    }
    assert found == wanted


def test_listeners_can_be_hashed(files):
    once, again, other = (
        import_csv(*files, CsvOptions(hash_listeners=True, salt=salt, outside="clip")).dataset.responses
        for salt in ("a", "a", "")
    )
    assert once.equals(again)
    assert not set(once["listener_id"]) & set(other["listener_id"])
    assert not once["listener_id"].str.contains("@").any()


def test_problems_name_the_users_own_files(write_csv):
    prompts = write_csv([*PROMPTS, ["p1", "", "word", "x"]], "mine.csv")
    responses = write_csv([*RESPONSES, ["p3", "eve", "loud", 1]], "theirs.csv")
    with pytest.raises(InvalidInputError) as caught:
        import_csv(prompts, responses, CsvOptions())
    found = {(p.file, p.row, p.column) for p in caught.value.problems}
    mine, theirs = str(prompts), str(responses)
    assert {(mine, 4, "prompt_id"), (mine, 4, "text"), (mine, 4, "fold"), (theirs, 6, "x_db")} <= found


def test_missing_files_and_folders_are_refused(files, tmp_path):
    with pytest.raises(InvalidInputError, match="the file is missing"):
        import_csv(tmp_path / "none.csv", files[1], CsvOptions())
    with pytest.raises(InvalidInputError, match="is a folder"):
        import_csv(files[0], tmp_path, CsvOptions())


def test_importers_are_announced_and_load():
    specs = {spec.name: spec for spec in popeq_data.popeq_importers()}
    assert set(specs) == {"safe", "socialeq", "csv", "bands"}
    for spec in specs.values():
        assert callable(spec.load())
        assert spec.parameters().model_dump()
        assert all(f.description for f in spec.parameters.model_fields.values())
    assert specs["csv"].files == ("PROMPTS", "RESPONSES")


def test_panels_are_announced():
    assert {d.name: d.path.name for d in popeq_data.popeq_datasets()} == {
        "simulated-1200": "data",
        "simulated-1200-b": "panel_b",
        "simulated-120": "data",
        "simulated-120-b": "panel_b",
    }


def test_announcing_imports_nothing_heavy():
    heavy = "{'pandas', 'scipy', 'pyarrow', 'matplotlib', 'torch'}"
    code = f"import sys, popeq_data; popeq_data.popeq_importers(); assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, env={"PYTHONPATH": ":".join(sys.path)})
