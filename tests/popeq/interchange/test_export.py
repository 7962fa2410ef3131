"""Runs in the formats of others: what is written fits their schemas, and says what the board says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import yaml
from huggingface_hub import parse_eval_result_entries
from tests import conftest
from tests.conftest import ROOT, write_small_dataset
from tests.popeq.cli.test_hostile_text import predictions

import popeq
from popeq.board.leaderboard import build
from popeq.dataset_folder import read_dataset
from popeq.interchange.every_eval_ever import write_every_eval_ever
from popeq.interchange.results import Origin, Result, portable, scored_results
from popeq.lookup import entries_of
from popeq.metrics import HEADLINE, SCORES
from popeq.runs.card import Card
from popeq.runs.folder import find_runs
from popeq.runs.submission import run_from_predictions

BOARD = ROOT / "leaderboard" / "results" / "simulated-120"
CARD = Card(authors=["Ada"], contact="ada@example.org", model="some-org/some-model", training_data="nothing")


def schema() -> dict[str, Any]:
    """The published schema 0.3.0, which is read from beside the checkout and is no part of the project."""
    path = conftest.SHARED.parent / "schemas" / "every-eval-ever.schema.json"
    if not path.exists():
        pytest.skip("the schema of Every Eval Ever is not beside the checkout")
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert found["version"] == "0.3.0"
    return found


@pytest.fixture(scope="module")
def committed() -> list[Path]:
    """Folders of a run without a model and of one with a language model, of the committed board."""
    runs = {
        (r.record.predictor.name, r.record.seed): r for r in find_runs(BOARD)[0] if "1.5b" in r.record.model
    }
    prior = next(r for r in find_runs(BOARD)[0] if r.record.predictor.name == "prior" and r.record.seed == 1)
    return [prior.folder, runs["icl-rag", 0].folder]


@pytest.fixture(scope="module")
def sent(tmp_path_factory) -> Path:
    """Folder of runs with one that somebody sent, of a small data set with another box."""
    folder = tmp_path_factory.mktemp("sent")
    small = write_small_dataset(folder / "small", prompts=20)
    with (small / "dataset.toml").open("a") as card:
        card.write("[space]\nx_db = [-6.0, 6.0]\ny_db = [-8.0, 8.0]\n")
    file = predictions(folder / "p.csv", 1)
    run_from_predictions(file, read_dataset(small), "mine", card=CARD, runs_dir=folder / "runs")
    return folder / "runs"


@pytest.fixture(scope="module")
def committed_results(committed) -> list[Result]:
    return scored_results(committed, None)[0]


@pytest.fixture(scope="module")
def sent_results(sent) -> list[Result]:
    return scored_results([sent], None)[0]


def exported(results: list[Result], folder: Path, origin: Origin | None = None) -> list[dict[str, Any]]:
    written = write_every_eval_ever(results, folder, origin or Origin())
    return [json.loads(path.read_text(encoding="utf-8")) for path in written]


def test_every_eval_ever_fits_the_schema(committed_results, sent_results, tmp_path):
    validator = jsonschema.Draft7Validator(schema())
    contents = exported(committed_results, tmp_path / "a") + exported(sent_results, tmp_path / "b")
    contents += exported(
        sent_results, tmp_path / "c", Origin("an org", "third_party", "me/small", "https://x.example")
    )
    assert len(contents) == 4
    for content in contents:
        assert [error.message for error in validator.iter_errors(content)] == []
        less = {key: value for key, value in content.items() if key != "model_info"}
        assert not validator.is_valid(less)


def test_the_numbers_are_those_of_the_board(committed, committed_results, tmp_path):
    contents = exported(committed_results, tmp_path)
    for folder, content in zip(committed, contents, strict=True):
        scorer, entries, _ = entries_of([folder])
        table = build(entries, scorer, lines=[]).table.iloc[0]
        scores = popeq.score(folder)
        found = {r["metric_config"]["metric_id"]: r["score_details"] for r in content["evaluation_results"]}
        assert set(found) == {f"popeq.{score}" for score in SCORES}
        for score in SCORES:
            details = found[f"popeq.{score}"]
            assert details["score"] == pytest.approx(np.mean(scores[score]), abs=1e-9)
            assert details["uncertainty"]["num_samples"] == 30
            assert details["uncertainty"]["standard_deviation"] == pytest.approx(
                np.std(scores[score], ddof=1)
            )
            assert float(details["details"]["median_db"]) == pytest.approx(np.median(scores[score]))
        for score in (HEADLINE, "kantorovich"):
            interval = found[f"popeq.{score}"]["uncertainty"]["confidence_interval"]
            assert interval["lower"] == pytest.approx(table[f"{score}_mean_low"], abs=1e-9)
            assert interval["upper"] == pytest.approx(table[f"{score}_mean_high"], abs=1e-9)
            assert interval["confidence_level"] == 0.95
        assert float(found[f"popeq.{HEADLINE}"]["details"]["coverage"]) == pytest.approx(table["coverage"])


def test_what_popeq_knows_is_in_its_field_and_nothing_else(committed_results, tmp_path):
    prior, asked = exported(committed_results, tmp_path)
    assert prior["model_info"]["id"] == "popeq/prior"
    assert prior["model_info"]["additional_details"]["model_availability"] == "unknown"
    assert "quantisation" not in prior["model_info"]["additional_details"]
    model = asked["model_info"]
    assert (model["name"], model["id"]) == ("qwen2.5-coder-1.5b-instruct",) * 2
    assert "developer" not in model
    assert model["additional_details"]["quantisation"] == "Q4_K_M"
    assert model["additional_details"]["model_identity"].startswith("sha256:cc324af0")
    assert model["additional_details"]["predictor"] == "icl-rag"
    assert model["additional_details"]["deployment_type"] == "self_deployed"
    source = asked["source_metadata"]
    assert source["source_organization_name"] == "unknown"
    assert (source["evaluator_relationship"], source["additional_details"]["trust"]) == ("other", "drawn")
    for content, temperature in ((prior, None), (asked, 1.0)):
        for result in content["evaluation_results"]:
            data, metric = result["source_data"], result["metric_config"]
            assert data["dataset_name"] == "simulated-120 (simulated)"
            assert data["source_type"] == "other"
            assert data["additional_details"]["simulated"] == "true"
            assert data["additional_details"]["revision"].startswith("20d2b95be214")
            assert "simulated listeners" in metric["evaluation_description"]
            assert (metric["lower_is_better"], metric["metric_unit"]) == (True, "dB")
            assert metric["metric_parameters"]["protocol"] == 2
            assert metric["max_score"] == pytest.approx(12 * 2**0.5)
            assert metric["min_score"] <= result["score_details"]["score"] <= metric["max_score"]
            generation = result["generation_config"]
            assert generation["generation_args"].get("temperature") == temperature
            assert generation["additional_details"]["seed"] == ("1" if content is prior else "0")


def test_a_run_that_somebody_sent_says_so(sent_results, tmp_path):
    (content,) = exported(sent_results, tmp_path, Origin("an org", "third_party", "me/small"))
    model, source = content["model_info"], content["source_metadata"]
    assert (model["id"], model["developer"]) == ("some-org/some-model", "some-org")
    assert model["additional_details"]["deployment_type"] == "unknown"
    assert source["additional_details"]["trust"] == "scored"
    assert source["additional_details"]["submitted_by"] == "Ada"
    assert (source["source_organization_name"], source["evaluator_relationship"]) == ("an org", "third_party")
    result = content["evaluation_results"][0]
    assert result["source_data"]["hf_repo"] == "me/small"
    assert result["source_data"]["sample_ids"] == [f"p{i:02d}" for i in range(8, 20)]
    assert result["metric_config"]["max_score"] == pytest.approx((12**2 + 16**2) ** 0.5)
    (file,) = tmp_path.rglob("*.json")
    assert file.parent == tmp_path / "data" / "small" / "some-org" / "some-model"
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", file.stem)
    exported(sent_results, tmp_path)
    assert [*tmp_path.rglob("*.json")] == [file]


def test_eval_results_are_what_the_hub_reads(committed, tmp_path, popeq_inside):
    out = tmp_path / "out"
    call = ("export", *committed, out, "--to", "eval-results", "--hub-dataset", "me/simulated-120")
    result = popeq_inside(*call, "--source-url", "https://x.example/board")
    assert result.returncode == 0, result.stderr
    assert "left out: prior has no model" in result.stdout
    (file,) = out.rglob("*.yaml")
    assert file.parent == out / "qwen2.5-coder-1.5b-instruct" / ".eval_results"
    entries = parse_eval_result_entries(yaml.safe_load(file.read_text(encoding="utf-8")))
    assert [entry.task_id for entry in entries] == list(SCORES)
    scores = popeq.score(committed[1])
    for entry in entries:
        assert entry.dataset_id == "me/simulated-120"
        assert entry.value == pytest.approx(scores[entry.task_id].mean(), abs=1e-9)
        assert entry.date == "2026-11-29T15:38:43+00:00"
        assert entry.source_url == "https://x.example/board"
        assert (entry.dataset_revision, entry.verify_token) == (None, None)
        for part in (
            "simulated listeners",
            "Q4_K_M",
            "lower is better",
            "95 % interval",
            "trust: drawn",
            "seed 0",
        ):
            assert part in entry.notes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--to", "eval-results"], "needs --hub-dataset"),
        (["--to", "eval-results", "--hub-dataset", "a/b"], "none of these runs has a model"),
        (
            ["--to", "eval-results", "--hub-dataset", "a/b", "--organization", "x"],
            "have no place in eval-results",
        ),
        (["--to", "every-eval-ever", "--hub-dataset", "me"], "--hub-dataset 'me' must be OWNER/NAME"),
        (["--to", "eval-results", "--hub-dataset", "a/b/c"], "--hub-dataset 'a/b/c' must be OWNER/NAME"),
        (["--to", "eval-results", "--hub-dataset", "../b"], "--hub-dataset '../b' must be OWNER/NAME"),
        (["--to", "eval-results", "--hub-dataset", "https://x/y"], "must be OWNER/NAME"),
        (
            ["--to", "every-eval-ever", "--source-url", "x.example"],
            "--source-url 'x.example' must be an http:// or https:// address",
        ),
        (["--to", "every-eval-ever", "--source-url", "javascript:1"], "must be an http:// or https://"),
    ],
)
def test_what_cannot_be_exported_is_one_line(committed, tmp_path, popeq_inside, arguments, message):
    result = popeq_inside("export", committed[0], tmp_path / "out", *arguments)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert message in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("form", ["every-eval-ever", "eval-results"])
def test_nothing_is_written_among_runs(committed, sent, popeq_inside, form):
    (run,) = (path.parent for path in sent.glob("*/run.json"))
    for output, what in ((run, "is a run"), (sent, "holds runs")):
        before = sorted(sent.rglob("*"))
        result = popeq_inside("export", committed[1], output, "--to", form, "--hub-dataset", "a/b")
        assert (result.returncode, result.stderr.count("\n")) == (2, 1)
        assert f"DIR is missing: the last argument is where files are written, and {output} {what}" in (
            result.stderr
        )
        assert sorted(sent.rglob("*")) == before


def test_a_folder_that_cannot_be_made_is_one_line(committed, tmp_path, popeq_inside):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "data").write_text("")
    result = popeq_inside("export", committed[0], tmp_path / "out", "--to", "every-eval-ever")
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "cannot be created" in result.stderr


@pytest.mark.parametrize("name", ["..", "../x", "a/b", "", ".hidden", "\x1b[2J", "x" * 300, "-rf"])
def test_names_of_files_are_portable(name):
    made = portable(name)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", made)
