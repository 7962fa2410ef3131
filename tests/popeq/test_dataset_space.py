"""The box, the step and the pair of curves of a data set: read, checked, kept, and drawn as they are."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from popeq.dataset_folder import read_dataset, write_dataset
from popeq.drawing import axis_labels, corner_texts, picture, terminal_plot
from popeq.errors import InvalidInputError
from popeq.space import PLANE, Space
from tests.conftest import write_small_dataset


def with_space(folder, space: str):
    card = folder / "dataset.toml"
    card.write_text(f"{card.read_text()}[space]\n{space}\n")
    return folder


@pytest.fixture
def one_sided(tmp_path):
    """Settings in [0, 10] x [-3, 3] in steps of half a dB, of the shelves at 300 and 3000 Hz."""
    folder = write_small_dataset(tmp_path / "one-sided")
    responses = pd.read_csv(folder / "responses.csv")
    responses["x_db"] = np.abs(responses["x_db"])
    responses["y_db"] /= 2
    responses.to_csv(folder / "responses.csv", index=False)
    return with_space(folder, 'x_db = [0, 10]\ny_db = [-3, 3]\nstep_db = 0.5\ncurves = "shelves:300:3000"')


def test_a_data_set_has_its_own_space_and_keeps_it(one_sided, tmp_path):
    data = read_dataset(one_sided)
    assert data.space == Space(0, 10, -3, 3, 0.5, "shelves:300:3000")
    again = write_dataset(data, tmp_path / "again", "# again\n")
    assert again.space == data.space
    assert again.revision == data.revision


def test_step_and_curves_are_part_of_the_revision_and_their_defaults_are_not(tmp_path):
    plain = read_dataset(write_small_dataset(tmp_path / "plain"))
    assert plain.space == PLANE
    revisions = {plain.revision}
    for name, space in (
        ("usual", 'step_db = 0.1\ncurves = "orthogonal"'),
        ("step", "step_db = 0.5"),
        ("curves", 'curves = "beosonic"'),
    ):
        revisions.add(read_dataset(with_space(write_small_dataset(tmp_path / name), space)).revision)
    assert len(revisions) == 3


@pytest.mark.parametrize(
    ("space", "says"),
    [
        ("x_db = [6, -6]", "dataset.toml, column space.x_db: value error, needs two numbers"),
        ("y_db = [6, 6]", "dataset.toml, column space.y_db: value error, needs two numbers"),
        ("step_db = 0.7", "step_db 0.7 does not divide the box: -6 of x_db is not a multiple of it"),
        ("y_db = [-6.05, 6.05]\nstep_db = 0.1", "-6.05 of y_db is not a multiple of it"),
        ("x_db = [0.01, 0.05]", "no multiple of step_db 0.1 lies in the box; name a smaller step_db"),
        ("step_db = 0", "column space.step_db: input should be greater than or equal to 0.000001"),
        ('curves = "beosonik"', "no pair of curves is called 'beosonik'; did you mean 'beosonic'?"),
        ('curves = "shelves:300"', "write 'shelves:LOW:HIGH'"),
        ('curves = "../x"', "column space.curves: string should match pattern"),
    ],
)
def test_a_space_that_cannot_be_is_a_line(tmp_path, space, says):
    folder = with_space(write_small_dataset(tmp_path / "small"), space)
    with pytest.raises(InvalidInputError) as caught:
        read_dataset(folder)
    lines = [str(p) for p in caught.value.problems if says in str(p)]
    assert len(lines) == 1
    assert "\n" not in lines[0]


def test_a_box_with_the_default_step_may_have_any_bounds(tmp_path):
    folder = with_space(write_small_dataset(tmp_path / "small"), "x_db = [-6.37, 6.5]")
    assert read_dataset(folder).space.steps()[0] == range(-63, 66)


def test_a_plot_has_the_boxs_own_ticks_names_and_zero_lines(one_sided):
    data = read_dataset(one_sided)
    text = terminal_plot(data, "p09")
    assert axis_labels(data.space) == ("smile x (dB)", "tilt y (dB)")
    lines = text.splitlines()
    rows = [line for line in lines if "│" in line]
    assert [line.split("│")[0].strip() for line in (rows[0], rows[10], rows[20])] == ["3", "0", "-3"]
    assert rows[10].count("·") > 40  # y = 0 is inside
    assert all("·" not in row for i, row in enumerate(rows) if i != 10)  # x = 0 is the edge
    assert next(line for line in lines if line.split() == ["0", "5", "10"])
    assert sum(c == "o" or c.isdigit() for row in rows for c in row.split("│")[1]) >= 3


def test_corners_are_named_where_zero_is_inside():
    assert corner_texts(Space(-12, 12, -12, 12, 0.5, "beosonic"))[1, 0] == "bass alone up"
    assert corner_texts(Space(0, 10, -3, 3)) == {}


def test_a_picture_of_a_one_sided_box_is_drawn(one_sided, tmp_path):
    picture(read_dataset(one_sided), "p09", tmp_path / "p09.svg")
    assert (tmp_path / "p09.svg").read_text().count("<path") > 10
