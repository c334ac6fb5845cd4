"""What a metric is made of: numbers of each row, and the figure as a function of their sums. Never sees a text.

So any part of the rows, and any resample of them, has its figure by one matrix product: `weights @ rows` are the sums
where `weights` says how often each row is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
# (rows, parts): Floats, or a scipy.sparse.csr_array where nearly all is zero, as with a class a free text
Rows = Any
Kind = Literal[
    "mean", "exp_mean", "mean_gap", "macro_f1", "macro_precision", "macro_recall", "weighted_f1", "bleu", "chrf"
]

BLEU_ORDER = 4  # n-grams of words
CHRF_ORDER = 6  # n-grams of characters
CHRF_BETA = 2  # how much more recall counts than precision
_SUMS_AT_ONCE = 4_000_000  # 32 MB
_OF_CLASSES = ("macro_f1", "macro_precision", "macro_recall", "weighted_f1")


class Statistic(NamedTuple):
    """What a metric is made of: numbers of each row, summed over rows, and how a figure follows from the sums.

    Attributes:
        kind: which parts a row has, and what their sums mean (`figure`).
        rows: (rows, parts).
        ends: of a mean, between which each row's value must lie: (0, 1) for a share. None where nothing is known.
        groups: of the macro figures, the number of classes of each field; the figure is the mean over the fields of
            each field's macro figure. Empty: all classes are of one field.
    """

    kind: Kind
    rows: Rows
    groups: tuple[int, ...] = ()
    ends: tuple[float, float] | None = None


def figure(kind: Kind, sums: Floats, groups: tuple[int, ...] = ()) -> Floats:
    """What sums over rows mean: (..., parts) -> (...). NaN where nothing is measured.

    The parts, in order:
        mean: values, weights. A row with weight 0 is not measured.
        exp_mean: values, weights; exp of their ratio, e.g. nats and tokens for the perplexity.
        mean_gap: values, weights, values, weights; the ratio of the first two less that of the others. A row has parts
            of one side alone, and zeros for the other.
        macro_f1, macro_precision, macro_recall, weighted_f1: of each class rows that expect and got it, rows that got
            it, and rows that expect it. A class that no row expects or got does not count.
        bleu: n-grams of words that match, of 1 to 4 words; all of the answers; words of the answers and of the
            references; rows. Papineni et al. 2002, smoothed like mteval-v13a, 0 to 100: sacrebleu.corpus_bleu.
        chrf: of 1 to 6 characters n-grams of the answers, of the references, and matches; rows. Popović 2015, beta 2,
            0 to 100: sacrebleu.corpus_chrf.
    """
    if kind == "bleu":
        return _bleu(sums)
    if kind == "chrf":
        return _chrf(sums)
    if kind == "mean_gap":
        return _mean(sums[..., :2]) - _mean(sums[..., 2:])
    if kind in ("mean", "exp_mean"):
        return _mean(sums) if kind == "mean" else _exp(_mean(sums))
    return _of_classes(kind, sums, groups)


def total(statistic: Statistic) -> float:
    """The figure over all rows."""
    sums = np.asarray(statistic.rows.sum(axis=0), dtype=np.float64)
    return float(figure(statistic.kind, sums, statistic.groups))


def resampled(statistic: Statistic, weights: Floats, *more: Floats) -> Floats:
    """The figure of each resample, with each of some rows more.

    Args:
        weights: (resamples, rows + 1): how often each row is taken, and at last the row more.
        more: each a row (parts,) that none of the statistic's is.

    Returns:
        (rows in `more`, resamples).
    """
    n_rows, step = statistic.rows.shape[0], max(1, _SUMS_AT_ONCE // max(1, statistic.rows.shape[1]))
    parts: list[Floats] = []
    for start in range(0, len(weights), step):
        some = weights[start : start + step]
        sums = np.asarray(some[:, :n_rows] @ statistic.rows)
        with_more = [sums + some[:, n_rows:] * row for row in more]
        parts.append(np.stack([figure(statistic.kind, one, statistic.groups) for one in with_more]))
    return np.concatenate(parts, axis=1)


def grouped(statistic: Statistic, groups: Sequence[int]) -> Statistic:
    """The sums of each group of rows as one row: groups (rows,), the number of each row's -> (groups, parts)."""
    from scipy import sparse

    numbers, place = np.unique(np.asarray(groups), return_inverse=True)
    members = sparse.csr_array((np.ones(len(place)), (place, np.arange(len(place)))), shape=(len(numbers), len(place)))
    return statistic._replace(rows=members @ statistic.rows)


def scale(statistic: Statistic) -> tuple[float, float] | None:
    """Between which two ends the figure lies; None where it has none, or they are of no use."""
    if statistic.kind in ("bleu", "chrf"):
        return 0.0, 100.0
    return (0.0, 1.0) if statistic.kind in _OF_CLASSES else statistic.ends


def extremes(statistic: Statistic) -> tuple[Floats, Floats] | None:
    """The row more that would do the figure most harm, and the one that would do it most good: (parts,) each.

    Of classes, in each field: a row of the rarest class that is taken for the next, for of a rare one each row counts
    most; and a right one of the rarest. Of BLEU and chrF an answer of mean length without a match, and one that is the
    reference. Where rows are groups it is one of mean size. None where `scale` is.
    """
    ends = scale(statistic)
    if ends is None:
        return None
    if statistic.kind in ("bleu", "chrf"):
        return _of_mean_length(statistic)
    if statistic.kind not in _OF_CLASSES:
        size = float(np.mean(statistic.rows[:, 1]))
        return size * np.array([ends[0], 1.0]), size * np.array([ends[1], 1.0])
    classes = np.asarray(statistic.rows.sum(axis=0), dtype=np.float64).reshape(-1, 3)
    worst, best = np.zeros_like(classes), np.zeros_like(classes)
    starts = np.cumsum((0, *(statistic.groups or (len(classes),))))
    for start, end in pairwise(starts.tolist()):
        seen = start + np.flatnonzero(classes[start:end, 1:].sum(axis=1))
        if seen.size:
            rarest, *others = seen[np.argsort(classes[seen, 1:].sum(axis=1), kind="stable")]
            size = classes[start:end, 2].sum() / statistic.rows.shape[0]
            worst[rarest, 2], worst[others[0] if others else rarest, 1] = size, size
            best[rarest] = size
    return worst.ravel(), best.ravel()


def _of_mean_length(statistic: Statistic) -> tuple[Floats, Floats]:
    """An answer of mean length of which nothing matches, and a reference of mean length as its own answer."""
    mean = np.asarray(statistic.rows.mean(axis=0), dtype=np.float64)
    worst, best = mean.copy(), mean.copy()
    if statistic.kind == "bleu":
        worst[:BLEU_ORDER], best[:BLEU_ORDER] = 0.0, mean[BLEU_ORDER : 2 * BLEU_ORDER]
        best[2 * BLEU_ORDER + 1] = mean[2 * BLEU_ORDER]  # as long as its reference
        return worst, best
    orders = 3 * CHRF_ORDER
    worst[2:orders:3] = 0.0
    best[0:orders:3] = best[2:orders:3] = mean[1:orders:3]
    return worst, best


def mean_of(
    values: Sequence[float], weights: Sequence[float] | None = None, *, ends: tuple[float, float] | None = None
) -> Statistic:
    """The mean of a number a row; with weights, the sum of the values over that of the weights."""
    rows = np.ones((len(values), 2))
    rows[:, 0] = values
    if weights is not None:
        rows[:, 1] = weights
    return Statistic("mean", rows, ends=ends)


def gap_of(one: Statistic, two: Statistic) -> Statistic:
    """The mean over some rows less that over others: each row of either is a row of the gap."""
    n_rows = one.rows.shape[0]
    rows = np.zeros((n_rows + two.rows.shape[0], 4))
    rows[:n_rows, :2], rows[n_rows:, 2:] = one.rows, two.rows
    return Statistic("mean_gap", rows)


def halves_of(gap: Statistic) -> tuple[Statistic, Statistic]:
    """The two means that a gap is the difference of, beside each other on the rows of both."""
    return Statistic("mean", gap.rows[:, :2]), Statistic("mean", gap.rows[:, 2:])


def share_of(values: Sequence[float]) -> Statistic:
    """The mean of a number between 0 and 1 a row, most often of yes and no."""
    return mean_of(values, ends=(0.0, 1.0))


def classes_of(expected: Sequence[int], answered: Sequence[int], n_classes: int) -> Rows:
    """The parts of the macro figures of one field, 3 a class: matches, rows that got it, rows that expect it.

    Args:
        expected: the class of each row.
        answered: the class that each row got; -1 for what is no class.
        n_classes: classes are 0 to n_classes - 1.
    """
    from scipy import sparse

    wanted, given = np.asarray(expected, dtype=np.int64), np.asarray(answered, dtype=np.int64)
    row = np.arange(len(wanted))
    match, known = wanted == given, given >= 0
    rows = np.concatenate([row[match], row[known], row])
    columns = np.concatenate([3 * wanted[match], 3 * given[known] + 1, 3 * wanted + 2])
    ones = np.ones(len(rows))
    return sparse.csr_array((ones, (rows, columns)), shape=(len(wanted), 3 * n_classes))


def beside(fields: Sequence[Rows]) -> Rows:
    """The parts of several fields beside each other; `groups` of the statistic tells them apart."""
    from scipy import sparse

    return sparse.hstack(fields, format="csr")


def _ratio(part: Floats, whole: Floats, empty: float) -> Floats:
    """`part` over `whole`, and `empty` where there is no whole."""
    there = whole > 0
    ratio: Floats = np.where(there, part / np.where(there, whole, 1.0), empty)
    return ratio


def _mean(sums: Floats) -> Floats:
    return _ratio(sums[..., 0], sums[..., 1], np.nan)


def _exp(values: Floats) -> Floats:
    with np.errstate(over="ignore"):  # infinite is what it is, and no figure
        return np.exp(values)


def _of_classes(kind: Kind, sums: Floats, groups: tuple[int, ...]) -> Floats:
    classes = sums.reshape(*sums.shape[:-1], -1, 3)
    hits, given, support = classes[..., 0], classes[..., 1], classes[..., 2]
    if kind == "macro_precision":
        scores = _ratio(hits, given, 0.0)
    elif kind == "macro_recall":
        scores = _ratio(hits, support, 0.0)
    else:
        scores = _ratio(2 * hits, given + support, 0.0)
    weights = support if kind == "weighted_f1" else (given + support > 0).astype(np.float64)
    ends = np.cumsum(groups or (scores.shape[-1],))
    fields = [
        _ratio((scores * weights)[..., start:end].sum(axis=-1), weights[..., start:end].sum(axis=-1), np.nan)
        for start, end in zip((0, *ends[:-1]), ends, strict=True)
    ]
    over_fields: Floats = np.mean(np.stack(fields), axis=0)
    return over_fields


def _bleu(sums: Floats) -> Floats:
    matches, ngrams = sums[..., :BLEU_ORDER], sums[..., BLEU_ORDER : 2 * BLEU_ORDER]
    answers, references, rows = (sums[..., 2 * BLEU_ORDER + part] for part in range(3))
    # mteval-v13a: the k-th length without a match counts as half of the one before, from 1/2 match on
    smoothed = np.where(matches > 0, matches, 0.5 ** np.cumsum(matches == 0, axis=-1))
    scored = np.asarray((ngrams > 0).all(axis=-1) & (matches > 0).any(axis=-1))
    precisions = np.where(scored[..., None], smoothed / np.where(ngrams > 0, ngrams, 1.0), 1.0)
    brevity = np.exp(np.minimum(0.0, 1.0 - _ratio(references, answers, 1.0)))
    score = np.where(scored, 100 * brevity * np.exp(np.log(precisions).mean(axis=-1)), 0.0)
    return np.where(rows > 0, score, np.nan)


def _chrf(sums: Floats) -> Floats:
    parts = sums[..., : 3 * CHRF_ORDER].reshape(*sums.shape[:-1], CHRF_ORDER, 3)
    answers, references, matches = parts[..., 0], parts[..., 1], parts[..., 2]
    measured = (answers > 0) & (references > 0)
    orders = measured.sum(axis=-1).astype(np.float64)
    precision, recall = (
        _ratio((measured * _ratio(matches, counts, 0.0)).sum(axis=-1), orders, 0.0) for counts in (answers, references)
    )
    factor = CHRF_BETA**2
    score = 100 * _ratio((1 + factor) * precision * recall, factor * precision + recall, 0.0)
    return np.where(sums[..., 3 * CHRF_ORDER] > 0, score, np.nan)
