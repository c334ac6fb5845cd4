"""Figures as a person reads them."""

from typing import Any

import pytest

from conf.schema import DATA_METRICS, MAIN_METRICS, METRICS, PEOPLE_METRICS, PROBE_METRICS, TUNED_METRICS
from tasks.report import wording
from tasks.results import GateResult, Verdict
from tests.tasks.report.finished import Run


def gate(
    value: float | None, *, low: float | None = None, high: float | None = None, against: str | None = None, **more: Any
) -> GateResult:
    given = {
        "metric": "accuracy", "arm": "tuned", "against": against, "slice": None, "worst": None, "min": low, "max": high,
        "value": value, "low": None, "high": None, "confidence": None, "state": "failed", "rows_needed": None,
        "overridable": True, "reason": "r",
    }  # fmt: skip
    return GateResult.model_validate({**given, **more})


def test_every_metric_of_the_schema_has_a_title_and_an_explanation() -> None:
    names = {*DATA_METRICS, *PEOPLE_METRICS, *TUNED_METRICS, *(name for task in METRICS.values() for name in task)}
    for metric in names:
        assert wording.meaning(metric).explains, metric


def test_a_part_of_a_metric_reads_in_the_same_way_as_the_whole() -> None:
    for metric in PROBE_METRICS:
        assert wording.meaning(metric).title != metric
    part, whole = wording.meaning("forgetting_accuracy.code"), wording.meaning("forgetting_accuracy")
    assert (part.title, part.better, part.unit) == ("Other abilities: code", whole.better, whole.unit)


def test_every_task_has_a_figure_that_stands_for_all() -> None:
    for metrics in METRICS.values():
        assert set(MAIN_METRICS) & set(metrics)


@pytest.mark.parametrize(
    ("metric", "low", "high", "told"),
    [
        ("accuracy", 0.01, 0.2, "better"),
        ("accuracy", -0.2, -0.01, "worse"),
        ("accuracy", -0.01, 0.2, "open"),
        ("accuracy", 0.0, 0.2, "open"),
        ("perplexity", -37.0, -36.0, "better"),
        ("unsafe_rate", 0.01, 0.02, "worse"),
        ("generated_tokens_per_row", -40.0, -39.0, "changed"),
        ("a_metric_from_elsewhere", 0.1, 0.9, "changed"),
        ("accuracy", None, None, "open"),
    ],
)
def test_a_difference_says_nothing_where_its_interval_holds_zero(
    metric: str, low: float | None, high: float | None, told: str
) -> None:
    assert wording.told(metric, low, high) == told


@pytest.mark.parametrize(
    ("metric", "value", "text"),
    [
        ("accuracy", 0.91249, "0.912"),
        ("perplexity", 1.1264, "1.13"),
        ("perplexity", 38.44, "38.4"),
        ("perplexity", 12345.6, "12,346"),
        ("latency_seconds_per_row", 0.1834, "0.183 s"),
        ("accuracy", -0.25, "−0.250"),  # noqa: RUF001
        ("perplexity", float("inf"), "inf"),
        ("accuracy", None, "not measured"),
    ],
)
def test_a_figure_has_the_digits_that_matter(metric: str, value: float | None, text: str) -> None:
    assert wording.figure(metric, value) == text


def test_a_value_just_below_its_bound_is_not_rounded_onto_it() -> None:
    assert wording.measured(gate(0.8996, low=0.9)) == "0.8996"
    assert wording.measured(gate(0.90004, high=0.9)) == "0.90004"
    assert wording.measured(gate(0.9, low=0.9)) == "0.900"
    assert wording.measured(gate(0.9, low=0.5, against="base")) == "+0.900"


def test_a_bound_says_at_least_at_most_or_both() -> None:
    assert wording.bound(gate(0.5, low=0.9)) == "at least 0.9"
    assert wording.bound(gate(0.5, high=2)) == "at most 2"
    assert wording.bound(gate(0.5, low=0.1, high=0.9)) == "0.1 to 0.9"


def test_the_headline_counts_what_failed_and_what_is_open() -> None:
    passed, failed = gate(1, low=0.5, state="passed"), gate(0.1, low=0.5)
    unclear = gate(0.51, low=0.5, state="inconclusive")
    assert wording.headline((passed, passed)) == "All 2 gates passed."
    assert wording.headline((passed, failed)) == "Of 2 gates 1 failed."
    assert wording.headline((passed, failed, unclear)) == "Of 3 gates 1 failed and 1 is inconclusive."
    assert wording.headline((passed,)) == "The one gate passed."
    assert wording.headline(()) == "There was no gate to pass."


def test_what_refuses_stands_first_in_the_order_of_the_recipe() -> None:
    gates = [gate(1, low=low, state=state) for low, state in ((1, "passed"), (2, "inconclusive"), (3, "failed"))]
    gates.append(gate(1, low=4, state="failed"))
    assert [one.min for one in wording.worst_first(tuple(gates))] == [3, 4, 2, 1]


def with_gates(*gates: GateResult, run: Run) -> Verdict:
    return run.verdict.model_copy(update={"gates": gates})


def test_the_rows_that_settle_a_verdict_are_those_of_its_hungriest_gate(first_run: Run) -> None:
    few, many = (gate(0.5, low=0.4, state="inconclusive", rows_needed=n) for n in (400, 1200))
    at_the_bound = gate(0.4, low=0.4, state="inconclusive")
    failed = gate(0.1, low=0.4, rows_needed=None)
    assert wording.settles(with_gates(few, many, failed, run=first_run)) == 1200
    assert wording.settles(with_gates(few, at_the_bound, run=first_run)) is None
    assert wording.settles(with_gates(failed, run=first_run)) is None


def test_a_kind_of_failure_has_a_name_and_a_meaning_and_an_unknown_one_its_own_name() -> None:
    assert wording.failure("wrong_label") == ("Wrong label", "another of the allowed values")
    assert wording.failure("some_thing") == ("some thing", "")


def test_a_duration_reads_like_a_clock() -> None:
    assert [wording.duration(s) for s in (0.4, 7, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]
