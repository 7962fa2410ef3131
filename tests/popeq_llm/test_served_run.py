"""Whole runs with a served model: a prompt that fails costs its own answers only, and the key is nowhere."""

from __future__ import annotations

import json

import pytest
from tests.conftest import stored_text
from tests.popeq_llm.fake_server import FakeServer, is_probe, serving

import popeq as package
from popeq.board.redraw import redraw
from popeq.board.thrown_away import FLAGGED
from popeq.caches import canonical
from popeq.dataset_folder import read_dataset
from popeq.locks import Lock
from popeq.protocol import DEFAULT_PROTOCOL
from popeq.runs.attempt import Attempt
from popeq.runs.create import create_run
from popeq.runs.packed import PACKED
from popeq.runs.plan import make_plans
from popeq.runs.record import AnswerRecord
from popeq.runs.settings import DEFAULT_SETTINGS
from popeq.site.build import build_site

KEY = "sk-popeq-1234567890-never-to-be-seen"


def only_run(folder):
    (found,) = folder.glob("*-icl-zero-????????")
    return found


def test_a_failing_prompt_is_named_the_others_are_kept_and_the_next_run_draws_what_is_missing(
    popeq, small, tmp_path
):
    def about(number):
        return lambda _k, body: "400" if f"number {number}" in body["messages"][-1]["content"] else None

    with serving(FakeServer(fault=about(9), prose=lambda seed: "no" if seed % 7 == 0 else None)) as server:
        command = ["run", "icl-zero", "--dataset", small, "--model", "openai:fake", "--base-url", server.url]

        def env(name):
            return {"OPENAI_API_KEY": KEY, "POPEQ_CACHE": str(tmp_path / name)}

        failed = popeq(*command, "--runs", "runs", env=env("cache"))
        assert failed.returncode == 1
        said = [line for line in failed.stdout.splitlines() if "error:" in line]
        assert len(said) == 1
        assert f"prompt 'p09': fake at {server.url} (" in said[0]
        assert "refuses the request with status 400" in said[0]
        run = only_run(tmp_path / "runs")
        record = json.loads((run / "run.json").read_text())
        assert (record["status"], record["prompts_done"], record["prompts"]) == ("failed", 3, 4)
        assert [f["message"] for f in record["failures"]] == [said[0].split("error: ", 1)[1]]
        assert {p.stem for p in (run / "partial").glob("*.csv")} == {"p08", "p10", "p11"}

        server.fault = lambda _k, _body: None
        before = len(server.bodies)
        resumed = popeq(*command, "--runs", "runs", env=env("cache"))
        assert resumed.returncode == 0, resumed.stdout + resumed.stderr
        paid = [b for b in server.bodies[before:] if not is_probe(b)]
        assert paid
        assert all("number 9" in b["messages"][-1]["content"] for b in paid)
        clean = popeq(*command, "--runs", "clean", env=env("other"))
        assert clean.returncode == 0
        given = [only_run(tmp_path / name) / PACKED for name in ("runs", "clean")]
        assert given[0].read_bytes() == given[1].read_bytes()
        assert len(list(stored_text(given[0].parent).splitlines())) == 1 + 4 * 660
        explained = [json.loads(line) for line in (run / "explanations.jsonl").read_text().splitlines()]
        for line in explained:
            asked = [b for b in server.bodies if not is_probe(b) and line["text"] == canonical(b["messages"])]
            drawn = sum({b["seed"]: b.get("n", 1) for b in asked}.values())
            assert line["rejected"] == drawn - 660 > 0
            assert line["rejected_share"] == (drawn - 660) / drawn
        for path in tmp_path.rglob("*"):
            assert not path.is_file() or KEY.encode() not in path.read_bytes(), path
        assert KEY not in "".join(r.stdout + r.stderr for r in (failed, resumed, clean))


FIRST, SECOND = ({"model": f"weights-{i}", "system_fingerprint": f"fp_{i}"} for i in (1, 2))


def run_at(server, data, tmp_path, **more):
    """A run on a small data set, in this process but for the worker's."""
    options = {"model": "openai:fake", "base_url": server.url}
    (run,) = package.run("icl-zero", data, options=options, runs_dir=tmp_path / "runs", **more)
    return run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("POPEQ_CACHE", str(tmp_path / "cache"))


def test_fresh_asks_again_and_the_run_says_who_answered(small, tmp_path, popeq_inside):
    with serving(FakeServer(says=FIRST)) as server:
        first = run_at(server, small, tmp_path)
        paid = sum(not is_probe(b) for b in server.bodies)
        assert first.record.answered_by == "weights-1, system_fingerprint fp_1"
        assert first.record.cache_since is None
        server.says = SECOND
        assert run_at(server, small, tmp_path).folder == first.folder, "complete already"
        second = run_at(server, small, tmp_path, fresh=True)
        assert sum(not is_probe(b) for b in server.bodies) == 2 * paid
        assert second.record.answered_by == "weights-2, system_fingerprint fp_2"
        assert second.record.cache_since
        assert second.record.model == "fake (weights-2, system_fingerprint fp_2)"
        server.says = {}
        run_at(server, small, tmp_path, fresh=True)
        assert sum(not is_probe(b) for b in server.bodies) == 3 * paid, "also where nothing is said"
        server.says = SECOND
        data = read_dataset(small)
        assert redraw(second, data).problem == ""
        assert sum(not is_probe(b) for b in server.bodies) == 4 * paid, (
            "reproduced by the server, not the cache"
        )
        assert redraw(first, data).problem == (
            "weights-1, system_fingerprint fp_1 answered it, and weights-2, system_fingerprint fp_2 answers "
            "now"
        )
    shown = popeq_inside("show", first.folder).stdout
    assert "answered_by: weights-1, system_fingerprint fp_1" in shown
    assert "answers: 2,640 drawn, 0 rejected (0.0%), 0 cut off" in shown
    board = package.leaderboard([first, second], small)
    assert sorted(entry.label for entry in board.entries) == [
        f"icl-zero (weights-{i}, system_fingerprint fp_{i})" for i in (1, 2)
    ]
    (entry,) = package.leaderboard(runs_dir=tmp_path / "runs", dataset=small).entries
    assert len(entry.runs) == 1, "of a folder the newest alone"


def test_a_run_ends_when_another_model_answers_and_does_not_go_on_with_it(small, tmp_path):
    swapped = []

    def swaps(_number, body):
        if "number 10" in body["messages"][-1]["content"]:
            swapped.append(1)
            server.says = SECOND
        return

    with serving(FakeServer(says=FIRST, fault=swaps)) as server:
        failed = run_at(server, small, tmp_path, batch_size=1)
        assert swapped
        assert failed.record.status == "failed"
        (failure,) = failed.record.failures
        assert "another model answers than before" in failure.message
        assert failed.record.answered_by == "weights-1, system_fingerprint fp_1"
        done = failed.record.prompts_done
        assert 0 < done < 4

        server.fault = lambda _number, _body: None
        again = run_at(server, small, tmp_path)
        assert (again.record.status, again.record.prompts_done) == ("failed", done)
        (failure,) = again.record.failures
        assert failure.message == (
            "answers of two models are not mixed: weights-1, system_fingerprint fp_1 answered before, "
            "weights-2, system_fingerprint fp_2 answers now; --fresh begins again"
        )
        server.says = FIRST
        assert run_at(server, small, tmp_path).record.status == "complete"


def test_folds_that_two_models_answered_are_not_one_run(small, tmp_path):
    options = {"model": "openai:fake", "base_url": "http://127.0.0.1:9/v1"}
    (plan,) = make_plans(["icl-zero"], read_dataset(small), DEFAULT_PROTOCOL, [1], options)
    run = create_run(plan, tmp_path / "other")
    for prompt_id, who in zip(plan.dataset.test_ids, ("a", "a", "a", "b"), strict=True):
        (run.partial / f"{prompt_id}.csv").write_text(f"{prompt_id},0,1.0,1.0\n")
        said = {"prompt_id": prompt_id, "drawn": 3, "rejected": 1, "answered_by": who}
        (run.partial / f"{prompt_id}.json").write_text(json.dumps(said) + "\n")
    with Lock(tmp_path / "lock") as lock:
        ended = Attempt(plan, run, lock, DEFAULT_SETTINGS).finish()
    assert ended.record.status == "failed"
    assert "a answered before, b answers now" in ended.record.failures[0].message
    assert ended.record.answers == AnswerRecord(drawn=12, rejected=4)


def test_what_was_thrown_away_is_on_the_board_and_on_its_pages(small, tmp_path):
    wrong = {"much": 3, "little": 40}
    runs = []
    for name, every in wrong.items():
        with serving(FakeServer(says=FIRST, prose=lambda s, k=every: "no" if s % k == 0 else None)) as server:
            runs.append(run_at(server, small, tmp_path / name))
    for run in runs:
        lines = [json.loads(line) for line in (run.folder / "explanations.jsonl").read_text().splitlines()]
        assert run.record.answers.drawn == sum(line["drawn"] for line in lines)
        assert run.record.answers.rejected == sum(line["rejected"] for line in lines) > 0
    much, little = (run.record.answers.rejected_share for run in runs)
    assert little < FLAGGED < much
    board = package.leaderboard(runs, small)
    table = board.table[board.table["rank"] > 0]
    assert sorted(bool(flags) for flags in table["flags"]) == [False, True]
    assert f"{much:.1%} of its answers were thrown away" in " ".join(table["flags"])
    notes = [note for note in board.notes if "thrown away" in note]
    assert len(notes) == 3, "one for each row, and a warning"
    assert any(f"({little:.1%}) did not have the form" in note for note in notes)
    site = build_site(runs, tmp_path / "site", small)
    pages = [page.read_text() for page in site.rglob("*.html")]
    assert any(">flagged</span>" in page and "thrown away" in page for page in pages)
    assert any(f"rejected ({little:.1%})" in page for page in pages)
