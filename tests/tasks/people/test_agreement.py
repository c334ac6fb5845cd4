"""Krippendorff's alpha, against the published example and another implementation."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.people import agreement
from tasks.people.agreement import ordinal_alpha

# Krippendorff (2011), section D: four observers, twelve units, missing values
PUBLISHED = (
    (1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None),
    (1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3),
    (None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None),
    (1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None),
)
UNITS = [[score for score in unit if score is not None] for unit in zip(*PUBLISHED, strict=True)]


def test_it_is_the_published_ordinal_value() -> None:
    assert ordinal_alpha(UNITS) == pytest.approx(0.815, abs=5e-4)


def test_with_the_nominal_and_the_interval_metric_it_is_the_published_values_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(agreement, "_difference", lambda a, b, _totals: float(a != b))
    assert ordinal_alpha(UNITS) == pytest.approx(0.743, abs=5e-4)
    monkeypatch.setattr(agreement, "_difference", lambda a, b, _totals: float((a - b) ** 2))
    assert ordinal_alpha(UNITS) == pytest.approx(0.849, abs=5e-4)


def test_full_agreement_is_one_and_swapped_scores_are_below_chance() -> None:
    assert ordinal_alpha([[1, 1], [3, 3], [5, 5]]) == 1
    worst = ordinal_alpha([[1, 5], [5, 1], [1, 5]])
    assert worst is not None
    assert worst < 0


def test_a_near_miss_agrees_more_than_a_far_one() -> None:
    near = ordinal_alpha([[1, 1], [2, 2], [3, 3], [4, 4], [4, 5]])
    far = ordinal_alpha([[1, 1], [2, 2], [3, 3], [4, 4], [1, 5]])
    assert near is not None
    assert far is not None
    assert near > far


@pytest.mark.parametrize("units", [[], [[3]], [[3], [4], [5]], [[5, 5], [5, 5, 5]], [[5, 5], [1]]])
def test_without_two_scores_on_an_answer_or_with_all_scores_the_same_it_is_not_defined(units: list[list[int]]) -> None:
    assert ordinal_alpha(units) is None


def test_the_order_of_reviewers_and_of_answers_does_not_matter() -> None:
    turned = [list(reversed(unit)) for unit in reversed(UNITS)]
    assert ordinal_alpha(turned) == pytest.approx(ordinal_alpha(UNITS))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.integers(1, 5), max_size=4), min_size=1, max_size=12))
def test_nltk_says_the_same_given_the_same_metric(units: list[list[int]]) -> None:
    from nltk.metrics.agreement import AnnotationTask

    ours = ordinal_alpha(units)
    totals: dict[int, int] = defaultdict(int)
    for unit in units:
        for score in unit if len(unit) > 1 else ():
            totals[score] += 1
    if len(totals) < 2:
        assert ours is None
        return

    def metric(a: int, b: int) -> float:
        low, high = min(a, b), max(a, b)
        return (sum(totals[score] for score in range(low, high + 1)) - (totals[low] + totals[high]) / 2) ** 2

    said: list[tuple[Any, ...]] = [
        (reviewer, str(number), score) for number, unit in enumerate(units) for reviewer, score in enumerate(unit)
    ]
    assert ours == pytest.approx(AnnotationTask(said, distance=metric).alpha())
