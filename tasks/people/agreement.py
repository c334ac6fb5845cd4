"""How far reviewers agree: Krippendorff's alpha for ordinal scores. Pure.

K. Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section D: several observers, any metric, missing
values. 1 is full agreement, 0 what chance would give, below 0 disagreement by system.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import product


def ordinal_alpha(units: Iterable[Sequence[int]]) -> float | None:
    """Alpha of the scores that each unit was given, by whomever; a unit with one score says nothing and is left out.

    None where alpha is not defined: no unit has two scores, or all scores are the same, so that nobody can tell whether
    the reviewers look at the answers.
    """
    pairable = [Counter(scores) for scores in units if len(scores) > 1]
    totals: Counter[int] = sum(pairable, Counter())
    if len(totals) < 2:
        return None
    observed = sum(_disagreement(unit, totals) / (unit.total() - 1) for unit in pairable)
    expected = _disagreement(totals, totals) / (totals.total() - 1)
    return 1 - observed / expected


def _disagreement(counts: Counter[int], totals: Mapping[int, int]) -> float:
    """The squared differences of all ordered pairs of the scores that `counts` holds."""
    return sum(counts[a] * counts[b] * _difference(a, b, totals) for a, b in product(counts, counts))


def _difference(a: int, b: int, totals: Mapping[int, int]) -> float:
    """The ordinal metric: how many scores lie between two values, half of those at both ends counted, squared."""
    low, high = sorted((a, b))
    between = sum(count for value, count in totals.items() if low <= value <= high)
    return (between - (totals[low] + totals[high]) / 2) ** 2
