"""The review page in Markdown: the verdict first, every gate with its number, the digits that an approver types."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.load import load_recipe
from flows.review import review
from tasks.results import (
    Adapter,
    Artifact,
    Candidate,
    CheckedData,
    Count,
    Evaluation,
    GateResult,
    Metric,
    Outcome,
    Prepared,
    RawData,
    Report,
    ScrubbedData,
    Side,
    Split,
    Verdict,
)


def file(name: str, sha256: str = "ab" * 32) -> Artifact:
    return Artifact(path=f"stage/key/{name}", sha256=sha256, bytes=1)


def outcome(*, passed: bool) -> Outcome:
    side = Side(rows=file("rows.parquet"), n_rows=1200, n_groups=3, labels=())
    raw = RawData(key="raw", rows=(), rejected=file("rejected"), n_rows=1300, n_rejected=7, reasons=(), sources=())
    clean = ScrubbedData(
        key="clean", rows=(), rejected=file("rejected"), n_rows=1300, n_rejected=0, reasons=(),
        entities=(Count(name="PERSON", count=40), Count(name="IBAN_CODE", count=2)), rows_with_entities=30,
    )  # fmt: skip
    checked = CheckedData(
        key="checked", rows=(), rejected=file("rejected"), report=file("report.json"), n_rows=1250, n_rejected=50,
        reasons=(), expectations_passed=1, expectations_failed=0, refusals=(),
    )  # fmt: skip
    split = Split(key="split", train=side, validation=side, test=side)
    gate = GateResult(
        metric="accuracy", arm="tuned", min=0.9, max=None, value=0.92 if passed else 0.8996, passed=passed, reason="…"
    )
    return Outcome(
        prepared=Prepared(key="split", raw=raw, clean=clean, checked=checked, split=split),
        adapter=Adapter(
            key="train", files=(file("adapter_model.safetensors", "cd" * 32),), history=file("history.jsonl"), steps=1,
            best_step=1, train_tokens=1, train_loss=1.0, eval_loss=None,
        ),
        evaluation=Evaluation(
            key="evaluate", predictions=file("predictions.parquet"), report=file("report.json"), n_rows=1200,
            metrics=(Metric(arm="base", name="accuracy", value=0.5), Metric(arm="tuned", name="accuracy", value=0.92)),
        ),
        verdict=Verdict(key="judge", passed=passed, gates=(gate,)),
        page=Report(key="report", page=file("report.html")),
        candidate=Candidate(
            key="register", note=file("candidate.json"), name="demo-candidates", version="4", is_challenger=passed,
            model_uri="models:/m-1", run_id="run-1",
        ),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("passed", "first", "gate"),
    [
        (True, "# Passed: demo-candidates version 4", "| ✓ passed | accuracy | tuned | 0.920 | at least 0.9 |"),
        (False, "# Refused: demo-candidates version 4", "| ✗ **refused** | accuracy | tuned | 0.8996 | at least 0.9 |"),
    ],
)
def test_the_verdict_comes_first_and_each_gate_tells_its_number(passed: bool, first: str, gate: str) -> None:
    lines = review(load_recipe(Path("demo")), outcome(passed=passed), "sqlite:///mlflow.db").splitlines()
    assert lines[0] == first
    assert gate in lines


def test_it_says_what_an_approver_types_and_what_became_of_the_rows() -> None:
    text = review(load_recipe(Path("demo")), outcome(passed=True), "http://mlflow:5000")
    assert "| Accuracy | 0.500 | 0.920 | +0.420 |" in text
    assert "Adapter `cdcdcdcdcdcd`" in text
    assert "42 personal values taken out of 30 rows" in text
    assert "MLflow run `run-1` of http://mlflow:5000" in text


def test_where_a_browser_finds_the_run_it_is_a_link() -> None:
    page = "http://mlflow:5000/#/experiments/1/runs/run-1"
    text = review(load_recipe(Path("demo")), outcome(passed=True), "http://mlflow:5000", page)
    assert f"MLflow run [`run-1`]({page}) of http://mlflow:5000, with report.html" in text
