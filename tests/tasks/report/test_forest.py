"""Rows of a forest plot, read as the XML that a browser gets."""

import math
import re
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.report import forest
from tasks.report.answers import Estimate
from tasks.report.forest import MARGIN, WIDTH, Scale
from tasks.results import GateResult

FINITE = st.floats(-1e6, 1e6)


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314  # our own text


def found(svg: str, tag: str, css: str) -> list[ET.Element]:
    return [e for e in parsed(svg).iter() if e.tag.endswith(f"}}{tag}") and css in (e.get("class") or "").split()]


def title(svg: str) -> str:
    return next(e.text or "" for e in parsed(svg).iter() if e.tag.endswith("}title"))


def gate(**values: Any) -> GateResult:
    given: dict[str, Any] = {
        "metric": "accuracy", "arm": "tuned", "against": None, "slice": None, "worst": None, "min": 0.9, "max": None,
        "value": 0.95, "low": 0.92, "high": 0.97, "confidence": 0.95, "state": "passed", "rows_needed": None,
        "overridable": True, "reason": "r",
    }  # fmt: skip
    return GateResult.model_validate({**given, **values})


def number(element: ET.Element, name: str) -> float:
    return float(element.get(name, "nan"))


def test_a_gate_shades_what_it_lets_pass_and_draws_its_bound_between() -> None:
    (shade,) = found(forest.gate(gate()), "rect", "allowed")
    (bound,) = found(forest.gate(gate()), "line", "bound")
    assert number(shade, "x") == number(bound, "x1")
    assert number(shade, "x") + number(shade, "width") == WIDTH - MARGIN
    (shade,) = found(forest.gate(gate(min=None, max=0.99)), "rect", "allowed")
    (bound,) = found(forest.gate(gate(min=None, max=0.99)), "line", "bound")
    assert number(shade, "x") == MARGIN
    assert number(shade, "x") + number(shade, "width") == pytest.approx(number(bound, "x1"))


def test_a_gate_of_two_bounds_shades_what_lies_between_them() -> None:
    svg = forest.gate(gate(min=0.9, max=0.99))
    (shade,) = found(svg, "rect", "allowed")
    first, last = (number(line, "x1") for line in found(svg, "line", "bound"))
    assert (number(shade, "x"), number(shade, "x") + number(shade, "width")) == pytest.approx((first, last))


@pytest.mark.parametrize(
    ("values", "inside"),
    [({"value": 0.95, "low": 0.92, "high": 0.97}, True), ({"value": 0.85, "low": 0.8, "high": 0.88}, False)],
)
def test_a_figure_that_holds_stands_on_the_shaded_side(values: dict[str, float], inside: bool) -> None:
    svg = forest.gate(gate(**values))
    (point,), (bound,) = found(svg, "circle", "point"), found(svg, "line", "bound")
    assert (number(point, "cx") > number(bound, "x1")) == inside


@pytest.mark.parametrize("state", ["passed", "failed", "inconclusive"])
def test_a_drawing_tells_its_state_by_a_class_and_its_numbers_in_words(state: str) -> None:
    svg = forest.gate(gate(state=state))
    assert f"is-{state}" in (parsed(svg).get("class") or "")
    assert title(svg) == "0.950, between 0.920 and 0.970; asked: at least 0.9"


def test_a_figure_that_was_not_measured_has_its_bound_and_no_mark() -> None:
    svg = forest.gate(gate(value=None, low=None, high=None, state="failed"))
    assert found(svg, "line", "bound")
    assert not found(svg, "circle", "point")
    assert title(svg) == "not measured; asked: at least 0.9"


def test_a_figure_whose_noise_is_not_known_has_no_line() -> None:
    svg = forest.gate(gate(low=None, high=None, confidence=None))
    assert found(svg, "circle", "point")
    assert not found(svg, "path", "between")


def test_the_bound_is_labelled_and_the_ends_of_the_scale_only_where_there_is_room() -> None:
    labels = [e.text for e in parsed(forest.gate(gate())).iter() if e.tag.endswith("}text")]
    assert "0.9" in labels
    assert len(labels) == 2  # the bound stands near the left end


@pytest.mark.parametrize(
    ("metric", "low", "high", "says"),
    [
        ("accuracy", 0.01, 0.05, "is-better"),
        ("perplexity", 0.01, 0.05, "is-worse"),
        ("generated_tokens_per_row", 0.01, 0.05, "is-changed"),
        ("accuracy", -0.01, 0.05, "is-open"),
    ],
)
def test_a_difference_takes_its_colour_from_what_its_interval_says(
    metric: str, low: float, high: float, says: str
) -> None:
    svg = forest.difference(metric, Estimate(value=0.02, low=low, high=high), Scale(-0.1, 0.1))
    assert says in (parsed(svg).get("class") or "")


def test_rows_of_one_scale_have_their_zero_in_one_place() -> None:
    scale = Scale(-0.2, 0.6)
    rows = [forest.difference("accuracy", Estimate(value=v, low=v - 0.1, high=v + 0.1), scale) for v in (0.0, 0.4)]
    assert len({number(found(svg, "line", "zero")[0], "x1") for svg in rows}) == 1


def test_each_arm_has_a_shape_of_its_own_and_the_tuned_one_stands_last() -> None:
    estimates = {name: Estimate(value=0.5, low=0.4, high=0.6) for name in ("tuned", "base", "prompted", "champion")}
    svg = forest.arms("accuracy", estimates, Scale(0, 1))
    groups = [e.get("class") for e in parsed(svg) if e.tag.endswith("}g")]
    assert groups == ["of-base", "of-prompted", "of-champion", "of-tuned"]
    shapes = [re.sub(r"[\d.,-]+", "", forest.key(name)) for name in (*estimates, "served")]
    assert len(set(shapes)) == 5
    assert title(svg).startswith("base 0.500, between 0.400 and 0.600; prompted")


@given(st.lists(FINITE, min_size=1, max_size=8))
def test_a_scale_holds_every_value_it_was_made_over(values: list[float]) -> None:
    scale = Scale.over(values)
    assert scale.low < scale.high
    assert all(scale.low <= value <= scale.high for value in values)
    assert all(MARGIN <= scale.x(value) <= WIDTH - MARGIN for value in values)
    ordered = sorted(values)
    assert [scale.x(value) for value in ordered] == sorted(scale.x(value) for value in ordered)


@given(st.lists(FINITE, min_size=1, max_size=8))
def test_an_axis_has_a_few_round_ticks_within_its_scale(values: list[float]) -> None:
    scale = Scale.over(values)
    ticks = scale.ticks()
    assert 1 <= len(ticks) <= 6
    room = 1e-6 * (scale.high - scale.low)
    assert all(scale.low - room <= tick <= scale.high + room for tick in ticks)
    assert "<svg" in forest.axis(scale)


def test_a_scale_of_a_share_does_not_go_beyond_what_is_possible() -> None:
    assert Scale.over([0.9, 1.0], (0.0, 1.0)).high == 1.0
    assert Scale.over([0.02, 0.3], (0.0, 1.0)).low == 0.0


@pytest.mark.parametrize("values", [[], [None], [math.nan], [math.inf]])
def test_a_scale_over_nothing_is_one_all_the_same(values: list[float | None]) -> None:
    assert Scale.over(values) == (0.0, 1.0)
