"""How sure a figure is: intervals, one-sided tests of a bound, and the rows that would settle it. Pure and seeded.

Rows are weighed anew at random many times, all arms alike, so that arms on the same rows are compared row by row:
the Bayesian bootstrap (D. Rubin, 1981), whose weights never make a rare class vanish.

A share, or the difference of two, gets one row more, the worst that could have come: N. Gaffke's bound (2005; see
E. Learned-Miller and P. Thomas, "A New Confidence Interval for the Mean of a Bounded Random Variable", 2019). For
yes and no it is exactly that of C. Clopper and E. Pearson (1934), so that ten right answers out of ten prove little.
Where two arms of yes and no are asked which is better, the test is Q. McNemar's (1947), exact.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tasks.evaluate.statistics import Floats, Statistic, mean_of, resampled, total

RESAMPLES = 4000
POWER = 0.8  # `rows_needed` are so many that the bound is settled eight times in ten
_CHUNK_CELLS = 2_000_000  # weights held at once
_MAX_ROWS = 10_000_000


class Noise(NamedTuple):
    """A figure, or the difference of two, under the noise of its rows.

    `lows` and `highs` (RESAMPLES,) are what it might as well have been, with the worst and the best row more where
    figures have a scale that ends, `ends`; they are the same numbers where it does not. `yes_or_no`: each row is one of
    the two; then `signs` counts, of a difference, the rows that only the one arm has, and only the other.
    """

    value: float
    n_rows: int
    lows: Floats
    highs: Floats
    ends: tuple[float, float] | None
    yes_or_no: bool = False
    signs: tuple[int, int] | None = None

    def interval(self, confidence: float) -> tuple[float, float]:
        """The two ends that hold the truth with this confidence."""
        rest = (1 - confidence) / 2
        low, high = float(np.quantile(self.lows, rest)), float(np.quantile(self.highs, 1 - rest))
        return min(low, self.value), max(high, self.value)

    def against_min(self, bound: float) -> tuple[float, float]:
        """How likely such rows are where the truth is below the bound, and where it is not: two one-sided p-values."""
        if self.signs is not None and bound == 0:
            return _sign_test(*self.signs)
        return _share(self.lows < bound), _share(self.highs >= bound)

    def against_max(self, bound: float) -> tuple[float, float]:
        """The same for a bound from above."""
        if self.signs is not None and bound == 0:
            return _sign_test(*reversed(self.signs))
        return _share(self.highs > bound), _share(self.lows <= bound)

    def rows_needed(self, bound: float, alpha: float) -> int | None:
        """So many rows, of the kind of these, would settle the bound at this level eight times in ten.

        The usual sum for a one-sided test: ((z(1 - alpha) spread at the bound + z(power) spread) / distance)², and for
        shares 1 / distance more, for they come in whole rows (J. Fleiss et al., "Statistical Methods for Rates and
        Proportions", 2003, 2.6 and 4.2). None where the figure stands so close that no number of rows is of use.
        """
        from scipy.stats import norm

        distance = abs(self.value - bound)
        spread = float(np.std((self.lows + self.highs) / 2)) * math.sqrt(self.n_rows)
        if distance == 0 or not math.isfinite(spread):
            return None
        single_share = self.yes_or_no and self.signs is None
        at_bound = math.sqrt(max(0.0, bound * (1 - bound))) if single_share else spread
        needed = ((norm.ppf(1 - alpha) * at_bound + norm.ppf(POWER) * spread) / distance) ** 2
        needed += 0 if self.ends is None else 1 / distance
        return None if needed > _MAX_ROWS else max(self.n_rows + 1, math.ceil(needed))


def noise_of(statistic: Statistic, other: Statistic | None = None, rows: Sequence[int] | None = None) -> Noise:
    """The noise of a figure, or of its difference to that of another arm on the same rows.

    Args:
        rows: only these; all by default.
    """
    one, two = _only(statistic, rows), None if other is None else _only(other, rows)
    n_rows = one.rows.shape[0]
    ends = _ends(one, two)
    if two is None:
        lows, highs = _redrawn(one, ends)
        return Noise(total(one), n_rows, lows, highs, ends, _is_yes_or_no(one))
    value = total(one) - total(two)
    if ends is None:
        lows = _redrawn(one, None)[0] - _redrawn(two, None)[0]
        return Noise(value, n_rows, lows, lows, None)
    # of two plain means the row-wise differences, whose mean is the difference of the means
    lows, highs = _redrawn(mean_of(one.rows[:, 0] - two.rows[:, 0]), ends)
    both = _is_yes_or_no(one) and _is_yes_or_no(two)
    return Noise(value, n_rows, lows, highs, ends, both, _signs(one, two) if both else None)


def holm(p_values: Sequence[float]) -> list[float]:
    """S. Holm's adjustment (1979), in the given order: so many claims at once are right together as one would be."""
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    adjusted, highest = [0.0] * len(p_values), 0.0
    for place, index in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[index]))
        adjusted[index] = highest
    return adjusted


def _only(statistic: Statistic, rows: Sequence[int] | None) -> Statistic:
    return statistic if rows is None else statistic._replace(rows=statistic.rows[list(rows)])


def _redrawn(statistic: Statistic, ends: tuple[float, float] | None) -> tuple[Floats, Floats]:
    """The figure under each of the random weights; twice, with the worst and the best row more, where there are."""
    n_rows = statistic.rows.shape[0]
    lows, highs = np.empty(RESAMPLES), np.empty(RESAMPLES)
    size = max(1, _CHUNK_CELLS // (n_rows + 1))
    for start in range(0, RESAMPLES, size):
        weights = _weights(n_rows, start, min(size, RESAMPLES - start))
        part = slice(start, start + len(weights))
        if ends is None:
            lows[part] = highs[part] = resampled(statistic, weights[:, :n_rows])
            continue
        sums, more = weights[:, :n_rows] @ statistic.rows, weights[:, n_rows]
        lows[part] = (sums[:, 0] + more * ends[0]) / (sums[:, 1] + more)
        highs[part] = (sums[:, 0] + more * ends[1]) / (sums[:, 1] + more)
    return lows, highs


@lru_cache(maxsize=8)
def _weights(n_rows: int, start: int, count: int) -> Floats:
    """Random weights (count, n_rows + 1) of mean 1: the same for every figure over so many rows, so that arms pair."""
    generator = np.random.default_rng([n_rows, start])
    return generator.standard_exponential((count, n_rows + 1))


def _ends(one: Statistic, two: Statistic | None) -> tuple[float, float] | None:
    """The ends of the scale of a figure, or of the difference of two; None where one has none."""
    if one.ends is None or two is None:
        return one.ends
    return None if two.ends is None else (one.ends[0] - two.ends[1], one.ends[1] - two.ends[0])


def _is_yes_or_no(statistic: Statistic) -> bool:
    return statistic.ends == (0, 1) and bool(np.all((statistic.rows[:, 0] == 0) | (statistic.rows[:, 0] == 1)))


def _signs(one: Statistic, two: Statistic) -> tuple[int, int]:
    """Rows that only the first arm has, and only the second."""
    difference = one.rows[:, 0] - two.rows[:, 0]
    return int(np.sum(difference > 0)), int(np.sum(difference < 0))


def _sign_test(wins: int, losses: int) -> tuple[float, float]:
    """Exact McNemar: the chance of as many wins, and of as few, where a win is as likely as a loss."""
    from scipy.stats import binom

    return float(binom.sf(wins - 1, wins + losses, 0.5)), float(binom.cdf(wins, wins + losses, 0.5))


def _share(hits: np.ndarray) -> float:
    # the sample itself counts as one draw, so that no p-value is zero (A. Davison and D. Hinkley, 1997, 4.2)
    return (1 + int(np.count_nonzero(hits))) / (1 + hits.size)
