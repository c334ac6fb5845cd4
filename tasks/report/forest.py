"""Rows of a forest plot, each a small inline SVG: an estimate, its interval, and what it is held against.

Rows that share a scale stand under each other in a table, with the scale's axis above them. Colours are classes of the
page's style sheet, and no colour says anything that a shape or a word beside it does not. The same figures always give
the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Self
from xml.sax.saxutils import escape, quoteattr

from tasks.report import wording
from tasks.report.answers import Estimate
from tasks.results import GateResult

WIDTH = 260  # of the drawing; its margins keep marks at an end of the scale whole
MARGIN = 12
ROW = 22  # height of what a gate lets pass
TALL = 36  # height of a difference: the zero lines of rows nearly meet
LINE = 11  # height of one arm of several in a row
AXIS = 18
CLEAR = 52  # between two labels


class Scale(NamedTuple):
    """The values at the left and the right end."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float | None], limits: tuple[float, float] | None = None) -> Self:
        """A scale that holds all the values with some room, and does not go beyond the limits of what is possible."""
        found = [value for value in values if value is not None and math.isfinite(value)]
        if not found:
            return cls(0.0, 1.0)
        low, high = min(found), max(found)
        room = 0.12 * (high - low) or 0.1 * abs(high) or 0.1
        low, high = low - room, high + room
        if limits is not None:
            low, high = max(low, min(limits[0], *found)), min(high, max(limits[1], *found))
        return cls(low, high)

    def x(self, value: float) -> float:
        """Where a value stands."""
        share = (value - self.low) / (self.high - self.low)
        return round(MARGIN + (WIDTH - 2 * MARGIN) * min(1.0, max(0.0, share)), 1)

    def ticks(self) -> list[float]:
        """Three to six round values."""
        rough = (self.high - self.low) / 4
        power = 10.0 ** math.floor(math.log10(rough))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def limits_of(metric: str, *, difference: bool = False) -> tuple[float, float] | None:
    """The ends of what is possible: those of a share, or of the difference of two."""
    if wording.meaning(metric).unit != "fraction":
        return None
    return (-1.0, 1.0) if difference else (0.0, 1.0)


def axis(scale: Scale) -> str:
    """The values that the rows below stand under."""
    ticks = scale.ticks()
    marks = "".join(
        f'<line class="tick" x1="{scale.x(tick)}" x2="{scale.x(tick)}" y1="{AXIS - 4}" y2="{AXIS}"/>'
        f'<text x="{scale.x(tick)}" y="{AXIS - 7}">{_label(tick)}</text>'
        for tick in ticks
    )
    line = f'<line class="tick" x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{AXIS}" y2="{AXIS}"/>'
    return f'<svg class="forest" viewBox="0 0 {WIDTH} {AXIS}" aria-hidden="true">{line}{marks}</svg>'


def gate(result: GateResult) -> str:
    """A gate's figure and interval, and shaded what the gate lets pass; on a scale of its own."""
    limits = limits_of(result.metric, difference=result.against is not None)
    scale = Scale.over((result.value, result.low, result.high, result.min, result.max), limits)
    low = MARGIN if result.min is None else scale.x(result.min)
    high = WIDTH - MARGIN if result.max is None else scale.x(result.max)
    shade = f'<rect class="allowed" x="{low}" y="1" width="{max(0.0, round(high - low, 1))}" height="{ROW - 2}"/>'
    bounds = "".join(
        f'<line class="bound" x1="{scale.x(bound)}" x2="{scale.x(bound)}" y1="0" y2="{ROW + 2}"/>'
        for bound in (result.min, result.max)
        if bound is not None
    )
    estimate = Estimate(value=result.value, low=result.low, high=result.high)
    mark = _mark("tuned", estimate, scale, ROW / 2)
    ends = _labels(scale, [bound for bound in (result.min, result.max) if bound is not None], ROW + 12)
    words = f"{_words(result.metric, estimate)}; asked: {wording.bound(result)}"
    return _svg(shade + bounds + mark + ends, ROW + 16, words, result.state)


def _labels(scale: Scale, bounds: Sequence[float], y: float) -> str:
    """The bounds in the reader's ink, and the ends of the scale where they do not run into a bound's value."""
    asked = "".join(
        f'<text class="asked" x="{min(max(scale.x(bound), MARGIN + 6), WIDTH - MARGIN - 6)}" y="{y}">'
        f"{_label(bound)}</text>"
        for bound in bounds
    )
    ends = "".join(
        f'<text class="{css}" x="{x}" y="{y}">{_label(value)}</text>'
        for css, x, value in (("first", MARGIN, scale.low), ("last", WIDTH - MARGIN, scale.high))
        if all(abs(scale.x(bound) - x) > CLEAR for bound in bounds)
    )
    return asked + ends


def difference(metric: str, estimate: Estimate, scale: Scale, *, labelled: bool = False) -> str:
    """Tuned minus another arm, against zero; `labelled` where the scale is this row's own."""
    middle, bottom = (12.0, TALL - 14) if labelled else (TALL / 2, TALL)
    zero = f'<line class="zero" x1="{scale.x(0)}" x2="{scale.x(0)}" y1="0" y2="{bottom}"/>'
    labels = _labels(scale, [0.0], TALL - 3) if labelled else ""
    told = wording.told(metric, estimate.low, estimate.high)
    return _svg(zero + _mark("tuned", estimate, scale, middle) + labels, TALL, _words(metric, estimate), told)


def arms(metric: str, estimates: Mapping[str, Estimate], scale: Scale) -> str:
    """Several arms on the same rows, one below the other, in the order of `wording.ARMS`, the tuned one last."""
    names = [name for name in wording.in_order(estimates) if name != "tuned"]
    names += ["tuned"] if "tuned" in estimates else []
    marks = "".join(
        f"<g class={quoteattr(f'of-{name}')}>{_mark(name, estimates[name], scale, LINE * (place + 0.5) + 1)}</g>"
        for place, name in enumerate(names)
    )
    words = "; ".join(f"{name} {_words(metric, estimates[name])}" for name in names)
    return _svg(marks, LINE * len(names) + 2, words)


def key(name: str) -> str:
    """The mark of an arm, for a legend."""
    estimate = Estimate(value=0.5, low=0.0, high=1.0)
    mark = _mark(name, estimate, Scale(-4.5, 5.5), 6)
    css = quoteattr(f"key of-{name}")
    return f'<svg class={css} viewBox="{WIDTH / 2 - 17} 0 34 12" aria-hidden="true">{mark}</svg>'


def _mark(name: str, estimate: Estimate, scale: Scale, y: float) -> str:
    """The interval as a line with ends, the estimate as the arm's own shape."""
    parts = []
    if estimate.low is not None and estimate.high is not None:
        low, high = scale.x(estimate.low), scale.x(estimate.high)
        parts.append(f'<path class="between" d="M{low} {y - 3}v6M{low} {y}H{high}M{high} {y - 3}v6"/>')
    if estimate.value is not None:
        parts.append(_shape(name, scale.x(estimate.value), y))
    return "".join(parts)


def _shape(name: str, x: float, y: float) -> str:
    if name == "tuned":
        return f'<circle class="point" cx="{x}" cy="{y}" r="4"/>'
    if name == "base":
        return f'<circle class="point hollow" cx="{x}" cy="{y}" r="3.5"/>'
    corners: dict[str, Sequence[tuple[float, float]]] = {
        "champion": ((0, -4.5), (4.5, 0), (0, 4.5), (-4.5, 0)),
        "prompted": ((0, -4), (4, 3.5), (-4, 3.5)),
    }
    square = ((-3.5, -3.5), (3.5, -3.5), (3.5, 3.5), (-3.5, 3.5))
    points = " ".join(f"{round(x + dx, 1)},{round(y + dy, 1)}" for dx, dy in corners.get(name, square))
    return f'<polygon class="point" points="{points}"/>'


def _words(metric: str, estimate: Estimate) -> str:
    between = wording.interval(metric, estimate.low, estimate.high)
    return wording.figure(metric, estimate.value) + (f", between {between}".replace(" to ", " and ") if between else "")


def _label(value: float) -> str:
    """A value of the scale in few digits."""
    size = abs(value)
    digits = 3 if size < 0.1 else 2 if size < 10 else 1 if size < 100 else 0
    text = f"{value:,.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text in ("-0", "") else text.replace("-", wording.MINUS)


def _svg(content: str, height: float, words: str, state: str = "") -> str:
    css = f"forest is-{state}" if state else "forest"
    return (
        f'<svg class="{css}" viewBox="0 0 {WIDTH} {height}" role="img" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(words)}</title>{content}</svg>"
    )
