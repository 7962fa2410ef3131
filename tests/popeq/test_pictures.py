"""Pictures of many methods with long names: every text can be read."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import popeq
from popeq.drawing import picture
from popeq.studies.study import Study, name_beside, name_lines
from tests.conftest import write_small_dataset
from tests.pictures import problems, texts

pytestmark = pytest.mark.usefixtures("readable_pictures")
LONG = "predictor-of-a-family (model=some-language-model-{}-instruct-q4_k_m.gguf, epochs=10)"


@pytest.mark.parametrize("methods", [1, 10, 30])
@pytest.mark.parametrize("alike", [True, False])
def test_names_beside_a_picture_are_apart(methods, alike, tmp_path):
    rng = np.random.default_rng(methods)
    values = np.full(methods, 2.0) if alike else np.sort(rng.normal(2.5, 0.05, methods)) + 1.0
    names = [LONG.format(i) for i in range(methods)]

    def draw(axes):
        axes.scatter(values, values)
        axes.set(xlim=(0, 5), ylim=(0, 5), xlabel="here (dB)", ylabel="there (dB)")
        name_beside(axes, [(n, v, v) for n, v in zip(names, values, strict=True)])

    study = Study("The same predictions against " + "a data set " * 10, pd.DataFrame(), (), draw)
    study.picture(tmp_path / "a.svg")
    written = [name for name, _ in texts(study.figure()) if name.startswith("predictor")]
    assert len(set(written)) == methods


def test_long_legends_and_lines_are_apart(tmp_path):
    def draw(axes):
        for i in range(14):
            axes.plot([0, 1], [i, i + 1], label=LONG.format(i))
        axes.set(xlabel="size", ylabel="score")
        name_lines(axes, {"prior": 3.0, "training responses": 3.01, "random": 3.02})

    Study("A title", pd.DataFrame(), (), draw).picture(tmp_path / "a.png")


def test_the_check_finds_what_it_is_for():
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4, 3))
    axes = figure.add_subplot()
    axes.set_title("a title that is longer than the picture is wide " * 3)
    axes.annotate("one", (0.5, 0.5))
    axes.annotate("other", (0.5, 0.51))
    found = problems(figure)
    assert any("cut off" in problem for problem in found)
    assert any("'one' is over 'other'" in problem for problem in found)


def test_a_long_sentence_is_shown_in_whole_lines(tmp_path):
    folder = write_small_dataset(tmp_path / "data")
    prompts = (folder / "prompts.csv").read_text()
    (folder / "prompts.csv").write_text(
        prompts.replace("sound like", "sound $like " + "a long $ evening " * 20)
    )
    data = popeq.load_dataset(folder)
    for name in ("a.png", "a.svg"):
        picture(data, "p08", tmp_path / name)
