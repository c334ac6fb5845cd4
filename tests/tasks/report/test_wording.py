"""Figures as a person reads them."""

import pytest

from conf.schema import METRICS
from tasks.report import wording
from tasks.results import GateResult


def gate(value: float | None, *, low: float | None = None, high: float | None = None, arm: str = "tuned") -> GateResult:
    return GateResult.model_validate(
        {"metric": "accuracy", "arm": arm, "min": low, "max": high, "value": value, "passed": False, "reason": "r"}
    )


def test_every_metric_of_the_schema_has_a_title_and_an_explanation() -> None:
    for metrics in METRICS.values():
        for metric in metrics:
            assert wording.meaning(metric).explains, metric


@pytest.mark.parametrize(
    ("metric", "base", "tuned", "change"),
    [
        ("accuracy", 0.1, 0.9, "better"),
        ("accuracy", 0.9, 0.1, "worse"),
        ("perplexity", 38.4, 1.1, "better"),
        ("latency_seconds_per_row", 0.18, 0.19, "worse"),
        ("generated_tokens_per_row", 60.0, 20.0, "changed"),
        ("exact_match", 0.5, 0.5, "same"),
        ("exact_match", None, 0.5, "unknown"),
        ("a_metric_from_elsewhere", 0.1, 0.9, "changed"),
    ],
)
def test_lower_is_better_only_for_perplexity_and_latency(
    metric: str, base: float | None, tuned: float | None, change: str
) -> None:
    assert wording.change(metric, base, tuned) == change


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


def test_a_difference_carries_its_sign_and_is_empty_where_an_arm_is_missing() -> None:
    assert wording.difference("accuracy", 0.1, 0.9) == "+0.800"
    assert wording.difference("accuracy", 0.9, 0.1) == "−0.800"  # noqa: RUF001
    assert wording.difference("accuracy", None, 0.9) == ""


def test_a_value_just_below_its_bound_is_not_rounded_onto_it() -> None:
    assert wording.measured(gate(0.8996, low=0.9)) == "0.8996"
    assert wording.measured(gate(0.90004, high=0.9)) == "0.90004"
    assert wording.measured(gate(0.9, low=0.9)) == "0.900"


def test_a_bound_says_at_least_at_most_or_both() -> None:
    assert wording.bound(gate(0.5, low=0.9)) == "at least 0.9"
    assert wording.bound(gate(0.5, high=2)) == "at most 2"
    assert wording.bound(gate(0.5, low=0.1, high=0.9)) == "0.1 to 0.9"


def test_the_headline_counts_the_gates_that_refused() -> None:
    passed = gate(1, low=0.5).model_copy(update={"passed": True})
    assert wording.headline((passed, passed)) == "All 2 gates passed."
    assert wording.headline((passed, gate(0.1, low=0.5))) == "1 of 2 gates refused."
    assert wording.headline((passed,)) == "The one gate passed."
    assert wording.headline(()) == "There was no gate to pass."


def test_a_duration_reads_like_a_clock() -> None:
    assert [wording.duration(s) for s in (0.4, 7, 750, 3723)] == ["0:00", "0:07", "12:30", "1:02:03"]
