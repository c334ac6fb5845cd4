"""Answers that are one of a closed set of labels."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.evaluate.metrics.shared import (
    Scores,
    class_rows,
    confusion,
    f1_by_class,
    figures,
    normalise,
    public,
)
from tasks.evaluate.statistics import Statistic, share_of


def classification(answers: Sequence[str], expected: Sequence[str], labels: Sequence[str]) -> Scores:
    """Exact matches of labels, read without regard to case and spacing (`normalise`)."""
    closed = {normalise(label) for label in labels}
    wanted = [normalise(text) for text in expected]
    given = [normalise(text) for text in answers]
    correct = tuple(a == b for a, b in zip(wanted, given, strict=True))
    classes = f1_by_class(wanted, given, closed)
    rows = class_rows(classes, wanted, given)
    statistics = {
        "accuracy": share_of(correct),
        "macro_f1": Statistic("macro_f1", rows),
        "weighted_f1": Statistic("weighted_f1", rows),
        "valid_label": share_of([text in closed for text in given]),
        "exact_match": share_of([a.strip() == b.strip() for a, b in zip(expected, answers, strict=True)]),
    }
    matrix = confusion(wanted, given, closed)
    return Scores(figures(statistics), correct, statistics, public(classes, closed), matrix)
