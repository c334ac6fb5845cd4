"""How sure a figure is: intervals, one-sided tests of a bound, and the rows that would settle it. Pure and seeded.

Rows are weighed anew at random many times, all arms alike, so that arms on the same rows are compared row by row:
the Bayesian bootstrap (D. Rubin, 1981), whose weights never make a rare class vanish. Rows of one group, which are no
independent evidence, are weighed together.

A figure whose scale ends, or the difference of two, gets one row more, the worst that could have come. Of a share this
is N. Gaffke's bound (2005; see E. Learned-Miller and P. Thomas, "A New Confidence Interval for the Mean of a Bounded
Random Variable", 2019), and for yes and no exactly that of C. Clopper and E. Pearson (1934), so that ten right answers
out of ten prove little. Of figures of classes, BLEU and chrF it is the same thought (`statistics.extremes`).
A share of yes and no is held against a bound by the binomial test, which that is without the chance of the weights;
where two arms of yes and no are asked which is better, the test is Q. McNemar's (1947): both exact, so that they tell
chances that no number of resamples would. Both are of rows that stand alone, without groups.

Means and perplexities whose scale has no end get the bootstrap-t instead (P. Hall, "Theoretical Comparison of Bootstrap
Confidence Intervals", 1988): each resample's distance is told in units of its own spread, since a few rows seldom hold
the long tail that they come from. So does the gap between the means of two sides, whose rows are drawn together as one
sample of both. Of ten log-normal rows it is wrong one time in eight where it says one in twenty, and
the Bayesian bootstrap one in five.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tasks.evaluate.statistics import Floats, Statistic, extremes, grouped, halves_of, mean_of, resampled, scale, total

RESAMPLES = 4000
POWER = 0.8  # `rows_needed` are so many that the bound is settled eight times in ten
_CHUNK_CELLS = 2_000_000  # weights held at once
_MAX_ROWS = 10_000_000
_ROUNDING = 1e-9
_FAR = 1000.0  # spreads: of a resample whose rows are all alike, of which nothing tells how far it is


class Noise(NamedTuple):
    """A figure, or the difference of two, under the noise of its rows.

    `lows` and `highs` (RESAMPLES,) are what it might as well have been, with the worst and the best row more where
    figures have a scale that ends, `ends`; they are the same numbers where it does not. `n_rows` are groups where rows
    have some. `yes_or_no`: each row is one of the two; then `n_yes` is, of one arm, how many rows are yes, and `signs`
    counts, of a difference, the rows that only the one arm has, and only the other.
    """

    value: float
    n_rows: int
    lows: Floats
    highs: Floats
    ends: tuple[float, float] | None
    yes_or_no: bool = False
    signs: tuple[int, int] | None = None
    n_yes: int | None = None

    @property
    def is_unknown(self) -> bool:
        """Whether nothing tells how far the truth may be: all rows are alike, and the figure has no scale that ends."""
        return self.ends is None and bool(np.ptp(self.lows) <= _ROUNDING * abs(self.value))

    def interval(self, confidence: float) -> tuple[float, float]:
        """The two ends that hold the truth with this confidence."""
        rest = (1 - confidence) / 2
        low, high = float(np.quantile(self.lows, rest)), float(np.quantile(self.highs, 1 - rest))
        return min(low, self.value), max(high, self.value)

    def against_min(self, bound: float) -> tuple[float, float]:
        """How likely such rows are where the truth is below the bound, and where it is not: two one-sided p-values."""
        if self.is_unknown:
            return 1.0, 1.0
        if self.signs is not None and bound == 0:
            return _sign_test(*self.signs)
        if self.n_yes is not None and 0 < bound < 1:
            return _binomial_test(self.n_yes, self.n_rows, bound)
        return _share(self.lows < bound), _share(self.highs >= bound)

    def against_max(self, bound: float) -> tuple[float, float]:
        """The same for a bound from above."""
        if self.is_unknown:
            return 1.0, 1.0
        if self.signs is not None and bound == 0:
            return _sign_test(*reversed(self.signs))
        if self.n_yes is not None and 0 < bound < 1:
            return _binomial_test(self.n_rows - self.n_yes, self.n_rows, 1 - bound)
        return _share(self.highs > bound), _share(self.lows <= bound)

    def least_p(self, bound: float) -> float:
        """The p-value that a test of this bound never falls below, however many rows there are."""
        exact = bound == 0 if self.signs is not None else self.n_yes is not None and 0 < bound < 1
        return 0.0 if exact else 1 / (1 + RESAMPLES)

    def rows_needed(self, bound: float, alpha: float) -> int | None:
        """So many rows, of the kind of these, would settle the bound at this level eight times in ten.

        The usual sum for a one-sided test: ((z(1 - alpha) spread at the bound + z(power) spread) / distance)², and for
        shares 1 / distance more, for they come in whole rows (J. Fleiss et al., "Statistical Methods for Rates and
        Proportions", 2003, 2.6 and 4.2). None where the figure stands so close that no number of rows is of use.
        """
        from scipy.stats import norm

        distance = abs(self.value - bound)
        spread = self._spread() * math.sqrt(self.n_rows)
        if distance == 0 or self.is_unknown or not math.isfinite(spread):
            return None
        single_share = self.yes_or_no and self.signs is None
        at_bound = math.sqrt(max(0.0, bound * (1 - bound))) if single_share else spread
        needed = ((norm.ppf(1 - alpha) * at_bound + norm.ppf(POWER) * spread) / distance) ** 2
        needed += 0 if self.ends is None else 1 / distance
        return None if needed > _MAX_ROWS else max(self.n_rows + 1, math.ceil(needed))

    def _spread(self) -> float:
        """The standard error; where the tails have no end by what lies in the middle, as far as a normal one would."""
        middle = (self.lows + self.highs) / 2
        if self.ends is not None:
            return float(np.std(middle))
        low, high = np.quantile(middle, (0.1587, 0.8413))
        return float(high - low) / 2


def noise_of(
    statistic: Statistic,
    other: Statistic | None = None,
    rows: Sequence[int] | None = None,
    groups: Sequence[int] | None = None,
) -> Noise:
    """The noise of a figure, or of its difference to that of another arm on the same rows.

    Args:
        rows: only these; all by default.
        groups: the number of each row's group. Rows of one group, a customer's, are as like as they are: the noise is
            that of groups, each weighed as a whole.
    """
    one, two = _only(statistic, rows), None if other is None else _only(other, rows)
    ends, together = _ends(one, two), _that_share(groups, rows)
    if two is None:
        drawn = _drawn(one, together)
        lows, highs = _redrawn(drawn)
        whole = together is None and _is_yes_or_no(one)
        return Noise(total(one), drawn.rows.shape[0], lows, highs, ends, whole, n_yes=_yes(one) if whole else None)
    value = total(one) - total(two)
    if one.kind == "mean" and ends is not None:
        # of two plain means the row-wise differences, whose mean is the difference of the means
        drawn = _drawn(mean_of(one.rows[:, 0] - two.rows[:, 0], ends=ends), together)
        lows, highs = _redrawn(drawn)
        # of groups not: which of two is better for more of them says nothing of how much, and the mean is of rows
        both = together is None and _is_yes_or_no(one) and _is_yes_or_no(two)
        return Noise(value, drawn.rows.shape[0], lows, highs, ends, both, _signs(drawn) if both else None)
    drawn, against = _drawn(one, together), _drawn(two, together)
    if ends is None:
        plausible = _studentized(drawn, against)
        return Noise(value, drawn.rows.shape[0], plausible, plausible, None)
    ours, theirs = _redrawn(drawn), _redrawn(against)  # under the same weights: each row stays beside itself
    return Noise(value, drawn.rows.shape[0], ours[0] - theirs[1], ours[1] - theirs[0], ends)


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


def _that_share(groups: Sequence[int] | None, rows: Sequence[int] | None) -> Sequence[int] | None:
    """The groups of these rows, or None where every row is alone in its own."""
    mine = groups if groups is None or rows is None else [groups[row] for row in rows]
    return None if mine is None or len(set(mine)) == len(mine) else mine


def _drawn(statistic: Statistic, groups: Sequence[int] | None) -> Statistic:
    """What is drawn anew: rows, or groups of them."""
    return statistic if groups is None else grouped(statistic, groups)


def _redrawn(statistic: Statistic) -> tuple[Floats, Floats]:
    """The figure under each of the random weights, with the worst row more and with the best; see the module."""
    n_rows, more = statistic.rows.shape[0], extremes(statistic)
    if more is None:
        plausible = _studentized(*(halves_of(statistic) if statistic.kind == "mean_gap" else (statistic,)))
        return plausible, plausible
    lows, highs = np.empty(RESAMPLES), np.empty(RESAMPLES)
    size = max(1, _CHUNK_CELLS // (n_rows + 1))
    for start in range(0, RESAMPLES, size):
        weights = _weights(n_rows, start, min(size, RESAMPLES - start))
        part = slice(start, start + len(weights))
        lows[part], highs[part] = resampled(statistic, weights, *more)
    return lows, highs


def _studentized(*arms: Statistic) -> Floats:
    """What a mean or a perplexity, or the difference of two, might as well have been (RESAMPLES,): the bootstrap-t."""
    rows = np.hstack([arm.rows for arm in arms])
    n_rows, n_parts = rows.shape
    squares = (rows[:, :, None] * rows[:, None, :]).reshape(n_rows, -1)
    (value,), (slope,) = _linear(rows.sum(axis=0)[None], arms)
    spread = math.sqrt(float(np.sum((rows @ slope) ** 2)))
    units: list[Floats] = []
    size = max(1, _CHUNK_CELLS // n_rows)
    for start in range(0, RESAMPLES, size):
        counts = _counts(n_rows, start, min(size, RESAMPLES - start))
        figures, slopes = _linear(counts @ rows, arms)
        moments = (counts @ squares).reshape(-1, n_parts, n_parts)
        spreads = np.sqrt(np.maximum(0.0, np.einsum("ri,rij,rj->r", slopes, moments, slopes)))
        away = figures - value
        known = spreads > _ROUNDING * spread
        units.append(np.where(known, away / np.where(known, spreads, 1.0), _FAR * np.sign(away)))
    plausible: Floats = value - spread * np.clip(np.nan_to_num(np.concatenate(units)), -_FAR, _FAR)
    with np.errstate(over="ignore"):
        return np.exp(plausible) if _on_log_scale(arms) else plausible


def _linear(sums: Floats, arms: Sequence[Statistic]) -> tuple[Floats, Floats]:
    """The figure of sums of rows (resamples, parts), and its slopes along these sums, by which each row sways it.

    The figure is the first arm's less the second's; of one perplexity alone its logarithm, which is less skewed.
    """
    figures, slopes = np.zeros(len(sums)), np.zeros_like(sums)
    for place, arm in enumerate(arms):
        values, weights = sums[:, 2 * place], sums[:, 2 * place + 1]
        weights = np.where(weights > 0, weights, np.nan)
        means = values / weights
        with np.errstate(over="ignore"):
            scores = np.exp(means) if arm.kind == "exp_mean" and not _on_log_scale(arms) else means
        sign = -1.0 if place else 1.0
        steep = sign * (np.ones_like(means) if scores is means else scores) / weights
        figures = figures + sign * scores
        slopes[:, 2 * place], slopes[:, 2 * place + 1] = steep, -steep * means
    return figures, slopes


def _on_log_scale(arms: Sequence[Statistic]) -> bool:
    return len(arms) == 1 and arms[0].kind == "exp_mean"


@lru_cache(maxsize=8)
def _counts(n_rows: int, start: int, count: int) -> Floats:
    """How often each row is drawn (count, n_rows), with replacement: the same for every figure over so many rows."""
    drawn = np.random.default_rng([n_rows, start]).integers(0, n_rows, (count, n_rows))
    cells = drawn + n_rows * np.arange(count)[:, None]
    return np.bincount(cells.ravel(), minlength=count * n_rows).reshape(count, n_rows).astype(np.float64)


@lru_cache(maxsize=8)
def _weights(n_rows: int, start: int, count: int) -> Floats:
    """Random weights (count, n_rows + 1) of mean 1: the same for every figure over so many rows, so that arms pair."""
    generator = np.random.default_rng([n_rows, start])
    return generator.standard_exponential((count, n_rows + 1))


def _ends(one: Statistic, two: Statistic | None) -> tuple[float, float] | None:
    """The ends of the scale of a figure, or of the difference of two; None where one has none."""
    ours = scale(one)
    if ours is None or two is None:
        return ours
    theirs = scale(two)
    return None if theirs is None else (ours[0] - theirs[1], ours[1] - theirs[0])


def _is_yes_or_no(statistic: Statistic) -> bool:
    return (
        statistic.kind == "mean"
        and statistic.ends == (0, 1)
        and bool(np.all((statistic.rows[:, 0] == 0) | (statistic.rows[:, 0] == 1)))
    )


def _yes(share: Statistic) -> int | None:
    """Rows that are yes; None where some are not measured."""
    return int(share.rows[:, 0].sum()) if bool(np.all(share.rows[:, 1] == 1)) else None


def _signs(difference: Statistic) -> tuple[int, int]:
    """Rows that only the first arm has, and only the second."""
    return int(np.sum(difference.rows[:, 0] > 0)), int(np.sum(difference.rows[:, 0] < 0))


def _sign_test(wins: int, losses: int) -> tuple[float, float]:
    """Exact McNemar: the chance of as many wins, and of as few, where a win is as likely as a loss."""
    from scipy.stats import binom

    return float(binom.sf(wins - 1, wins + losses, 0.5)), float(binom.cdf(wins, wins + losses, 0.5))


def _binomial_test(count: int, of: int, bound: float) -> tuple[float, float]:
    """The chance of as many, and of as few, where each is yes with the chance that the bound says."""
    from scipy.stats import binom

    return float(binom.sf(count - 1, of, bound)), float(binom.cdf(count, of, bound))


def _share(hits: np.ndarray) -> float:
    # the sample itself counts as one draw, so that no p-value is zero (A. Davison and D. Hinkley, 1997, 4.2)
    return (1 + int(np.count_nonzero(hits))) / (1 + hits.size)
