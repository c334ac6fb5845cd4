"""The gates: every way to pass, every way to refuse, and nothing that passes unmeasured."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conf.schema import Gate
from tasks.artifacts import Store
from tasks.judge import decide, judge
from tasks.results import Artifact, Count, Evaluation, Metric, Recall, ScrubbedData, Verdict

FILE = Artifact(path="evaluate/k/f", sha256="0" * 64, bytes=1)


def evaluation(**values: tuple[float | None, float | None]) -> Evaluation:
    """An evaluation with `name=(base, tuned)`."""
    return Evaluation(
        key="k",
        predictions=FILE,
        report=FILE,
        n_rows=10,
        metrics=tuple(
            Metric(arm=arm, name=name, value=value)
            for name, pair in values.items()
            for arm, value in zip(("base", "tuned"), pair, strict=True)
            if value is not None
        ),
    )


CLEAN = ScrubbedData(
    key="c",
    rows=(FILE,),
    rejected=FILE,
    n_rows=10,
    n_rejected=0,
    reasons=(),
    entities=(),
    rows_with_entities=0,
    canaries=(Recall(entity="AGE", planted=10, found=6), Recall(entity="PERSON", planted=30, found=30)),
    second_look=(Count(name="PERSON", count=20), Count(name="PHONE_NUMBER", count=3)),
    n_looked_at=500,
)
UNPROVEN = CLEAN.model_copy(update={"canaries": (), "second_look": (), "n_looked_at": 0})
MEASURED = evaluation(exact_match=(0.1, 0.412), latency_seconds_per_row=(0.5, 0.75), only_tuned=(None, 1.0))


@pytest.mark.parametrize(
    ("gate", "passed", "reason"),
    [
        (Gate(metric="exact_match", min=0.4), True, "exact_match of tuned 0.412 is at least 0.400"),
        (Gate(metric="exact_match", min=0.412), True, "exact_match of tuned 0.412 is at least 0.412"),
        (Gate(metric="exact_match", min=0.5), False, "exact_match of tuned 0.412 is below 0.500"),
        (Gate(metric="exact_match", arm="base", max=0.2), True, "exact_match of base 0.100 is at most 0.200"),
        (Gate(metric="exact_match", max=0.4), False, "exact_match of tuned 0.412 is above 0.400"),
        (
            Gate(metric="exact_match", min=0.4, max=0.5),
            True,
            "exact_match of tuned 0.412 is at least 0.400 and at most 0.500",
        ),
        (Gate(metric="exact_match", min=0.1, max=0.2), False, "exact_match of tuned 0.412 is above 0.200"),
        (
            Gate(metric="exact_match", arm="difference", min=0.3),
            True,
            "exact_match, tuned minus base, 0.312 is at least 0.300",
        ),
        (
            Gate(metric="latency_seconds_per_row", arm="difference", max=0.1),
            False,
            "latency_seconds_per_row, tuned minus base, 0.250 is above 0.100",
        ),
        (Gate(metric="schema_valid", min=0.0), False, "schema_valid is missing: refused"),
        (Gate(metric="only_tuned", arm="base", max=9), False, "only_tuned is missing: refused"),
        (Gate(metric="only_tuned", arm="difference", max=9), False, "only_tuned is missing: refused"),
    ],
)
def test_each_gate_is_held_against_its_figure_and_says_so(gate: Gate, passed: bool, reason: str) -> None:
    (result,) = decide(MEASURED, CLEAN, (gate,))
    assert (result.passed, result.reason) == (passed, reason)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("arm", ["tuned", "difference"])
def test_a_figure_that_is_not_a_finite_number_refuses(value: float, arm: str) -> None:
    gate = Gate.model_validate({"metric": "perplexity", "arm": arm, "min": -1e9, "max": None})
    (result,) = decide(evaluation(perplexity=(1.0, value)), CLEAN, (gate,))
    assert not result.passed
    assert result.value is None
    assert result.reason == "perplexity is missing: refused"


@pytest.mark.parametrize(
    ("metric", "bound", "passed", "value"),
    [
        ("canary_recall", {"min": 0.9}, True, 0.9),
        ("canary_recall", {"min": 0.95}, False, 0.9),
        ("worst_canary_recall", {"min": 0.7}, False, 0.6),
        ("second_look", {"max": 6.0}, True, 6.0),
        ("second_look", {"max": 0.0}, False, 6.0),
        ("second_look_names", {"max": 50.0}, True, 40.0),
    ],
)
def test_a_gate_on_the_data_looks_at_the_scrubbed_rows(
    metric: str, bound: dict[str, float], passed: bool, value: float
) -> None:
    gate = Gate.model_validate({"metric": metric, "arm": "data", **bound})
    (result,) = decide(MEASURED, CLEAN, (gate,))
    assert (result.passed, result.value) == (passed, value)


@pytest.mark.parametrize(
    "metric", ["canary_recall", "worst_canary_recall", "second_look", "second_look_names", "exact_match"]
)
def test_what_was_not_measured_of_the_data_refuses(metric: str) -> None:
    (result,) = decide(MEASURED, UNPROVEN, (Gate.model_validate({"metric": metric, "arm": "data", "max": 1e9}),))
    assert (result.passed, result.reason) == (False, f"{metric} is missing: refused")


def test_a_miss_by_a_hair_shows_the_digits_that_tell_the_numbers_apart() -> None:
    (result,) = decide(evaluation(accuracy=(0.0, 0.89996)), CLEAN, (Gate(metric="accuracy", min=0.9),))
    assert result.reason == "accuracy of tuned 0.89996 is below 0.90000"


def test_results_stand_in_the_order_of_the_gates_with_their_numbers() -> None:
    gates = (Gate(metric="exact_match", min=0.9), Gate(metric="nothing", max=1.0))
    first, second = decide(MEASURED, CLEAN, gates)
    assert (first.metric, first.arm, first.min, first.max, first.value) == ("exact_match", "tuned", 0.9, None, 0.412)
    assert (second.metric, second.value) == ("nothing", None)


def verdict(tmp_path: Path, *gates: Gate) -> Verdict:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    with store.writing("judge", "k") as workspace:
        result = judge(MEASURED, CLEAN, gates, workspace=workspace)
        store.commit(workspace, result, {})
    assert store.find("judge", "k", Verdict) == result
    return result


def test_the_verdict_passes_when_every_gate_does(tmp_path: Path) -> None:
    result = verdict(tmp_path, Gate(metric="exact_match", min=0.4), Gate(metric="exact_match", max=0.5))
    assert result.passed
    assert [gate.reason for gate in result.gates if not gate.passed] == []
    assert result.parents == (MEASURED.digest, CLEAN.digest)


def test_one_gate_that_refuses_fails_the_verdict_and_is_named(tmp_path: Path) -> None:
    result = verdict(tmp_path, Gate(metric="exact_match", min=0.4), Gate(metric="valid_json", min=0.5))
    assert not result.passed
    assert [gate.reason for gate in result.gates if not gate.passed] == ["valid_json is missing: refused"]


def test_a_recipe_without_gates_passes_with_an_empty_list(tmp_path: Path) -> None:
    result = verdict(tmp_path)
    assert result.passed
    assert result.gates == ()


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_a_gate_passes_exactly_when_its_bound_holds(value: float, bound: float) -> None:
    measured = evaluation(score=(0.0, value))
    at_least, at_most = decide(measured, CLEAN, (Gate(metric="score", min=bound), Gate(metric="score", max=bound)))
    assert at_least.passed == (value >= bound)
    assert at_most.passed == (value <= bound)
    assert all(str(result.metric) in result.reason for result in (at_least, at_most))
