"""Whole runs with a served model: a prompt that fails costs its own answers only, and the key is nowhere."""

from __future__ import annotations

import json

from fake_server import FakeServer, is_probe, serving
from tests.conftest import stored_text

from popeq.caches import canonical
from popeq.runs.packed import PACKED

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
