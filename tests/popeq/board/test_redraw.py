"""popeq verify --redraw: the same predictions, or why not; and where that is kept."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

import popeq as package
from popeq.board.redraw import redraw
from popeq.board.signed import BOARD, Board, note_reproduced, read_board
from popeq.board.trust import trust_of
from popeq.errors import RunError
from popeq.runs.folder import Run


@pytest.fixture
def copy(finished, tmp_path):
    """A run in a folder of runs of its own."""
    run = finished.runs["prior"]
    return Run.open(shutil.copytree(run.folder, tmp_path / "runs" / run.folder.name))


@pytest.fixture(scope="module")
def dataset(finished):
    return package.load_dataset(finished.data)


def test_a_seeded_predictor_is_reproduced_and_that_is_kept_beside_the_run(copy, dataset):
    found = redraw(copy, dataset)
    assert (found.problem, found.note) == ("", "")
    assert found.entry.same_code
    assert trust_of(copy) == "scored"
    note_reproduced(copy, found.entry)
    assert trust_of(copy) == "reproduced"
    assert not (copy.folder / BOARD).exists()
    board = package.leaderboard(dataset=dataset, runs_dir=copy.folder.parent)
    assert board.entries[0].trust == "reproduced"
    note_reproduced(copy, None)
    assert trust_of(copy) == "scored"


def test_the_label_is_lost_with_the_predictions_and_cannot_be_carried_by_a_run(copy, dataset, finished):
    note_reproduced(copy, redraw(copy, dataset).entry)
    path = copy.predictions_file
    path.write_bytes(path.read_bytes() + b"\n")
    assert trust_of(Run.open(copy.folder)) == "scored"
    shutil.copy(copy.folder.parent / BOARD, copy.folder / BOARD)
    (copy.folder.parent / BOARD).unlink()
    shutil.copy(finished.runs["prior"].predictions_file, path)
    assert trust_of(Run.open(copy.folder)) == "scored", "a file inside the run says nothing"


def test_a_run_whose_key_does_not_fit_is_not_reproduced(copy, dataset):
    note_reproduced(copy, redraw(copy, dataset).entry)
    raw = json.loads((copy.folder / "run.json").read_text())
    raw["predictor"]["source"] = "popeq 9"
    (copy.folder / "run.json").write_text(json.dumps(raw))
    assert trust_of(Run.open(copy.folder)) == "scored"


def test_other_predictions_are_counted(copy, dataset):
    class Moved(Run):
        def samples(self, prompt_ids, space=dataset.space):
            points = super().samples(prompt_ids, space).copy()
            points[0, :3] = np.nextafter(points[0, :3], 0)
            return points

    found = redraw(Moved(copy.folder, copy.record), dataset)
    assert found.problem.startswith("3 of 2640 samples differ, by up to ")
    assert found.entry is None


def test_what_cannot_be_drawn_again_is_said(copy, dataset):
    def with_predictor(**changes):
        predictor = copy.record.predictor.model_copy(update=changes)
        return Run(copy.folder, copy.record.model_copy(update={"predictor": predictor}))

    assert "no predictor is called" in redraw(with_predictor(name="nobodys"), dataset).problem
    extra = redraw(with_predictor(parameters={"more": 1}), dataset).problem
    assert "could not be drawn again" in extra
    lost = redraw(with_predictor(identity={"model": "sha256:00"}), dataset).problem
    assert lost.startswith("model was sha256:00 and is not here; if it is a folder, give it with -o model=")
    sent = Run(copy.folder, copy.record.model_copy(update={"origin": "submitted"}))
    assert "popeq did not draw it" in redraw(sent, dataset).problem


def test_other_code_is_said_and_old_runs_can_be_reproduced(copy, dataset):
    edited = copy.record.predictor.code.model_copy(update={"sha256": "0" * 64, "files": {"a/b.py": "0"}})
    for code, says in ((None, "does not say which code drew it"), (edited, "a/b.py")):
        predictor = copy.record.predictor.model_copy(update={"code": code})
        other = Run(copy.folder, copy.record.model_copy(update={"predictor": predictor}))
        found = redraw(other, dataset)
        assert found.problem == ""
        assert says in found.note
        assert not found.entry.same_code


def test_a_broken_file_beside_the_runs_is_one_clear_line(copy):
    path = copy.folder.parent / BOARD
    assert read_board(copy.folder.parent) == Board()
    for content in ("{", '{"schema_version": 2}', '{"runs": {"a": 1}}', '{"protocol": {}}'):
        path.write_text(content)
        with pytest.raises(RunError, match=r"board\.json: cannot be read: .") as caught:
            read_board(copy.folder.parent)
        assert "\n" not in str(caught.value)
        path.unlink()
    path.symlink_to("/dev/zero")
    with pytest.raises(RunError, match=r"board\.json: cannot be read: is a link"):
        read_board(copy.folder.parent)


def test_the_command_says_what_it_did(popeq, copy, finished):
    result = popeq("verify", copy.folder, "--redraw", "--dataset", finished.data, "--format", "json")
    assert result.returncode == 0, result.stderr
    (row,) = json.loads(result.stdout)["rows"]
    assert (row["reproduced"], row["trust"]) == ("yes", "reproduced")
    assert popeq("verify", copy.folder, "-o", "a=b").returncode == 2
