"""What every kind of task is scored with: classes, confusion, and the figures by name. Never sees a prompt.

Every row counts: an empty or unreadable answer is a wrong answer, so each figure is over all rows. A figure that is not
a finite number is left out, and a gate on it then refuses.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from tasks.evaluate.statistics import Rows, Statistic, classes_of, total

OTHER = "(other)"  # stands for every text outside the closed set, so that no text of a row reaches the report
MAX_MATRIX = 200  # labels; a larger confusion matrix is left out of the report


class ClassScore(NamedTuple):
    """Precision, recall and F1 of one class; `support` is how many rows expect it."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


class Confusion(NamedTuple):
    """`matrix[i][j]` counts the rows that expect `labels[i]` and got `labels[j]`."""

    labels: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]


class FieldScore(NamedTuple):
    """One field of the JSON answers; classes and confusion only where the schema closes the set of its values.

    The macro figures are means over every class of the field, those of open values too.
    """

    name: str
    accuracy: float
    macro_precision: float
    macro_recall: float
    macro_f1: float
    support: int
    classes: tuple[ClassScore, ...]
    confusion: Confusion | None


class Scores(NamedTuple):
    """The figures by name, which rows are right, and what the figures are made of.

    Each of `metrics` is the figure of its statistic over all rows; a statistic whose figure is no number has none.
    """

    metrics: dict[str, float]
    correct: tuple[bool, ...]
    statistics: dict[str, Statistic]
    classes: tuple[ClassScore, ...] = ()
    confusion: Confusion | None = None
    fields: tuple[FieldScore, ...] = ()


def figures(statistics: Mapping[str, Statistic]) -> dict[str, float]:
    """The figures over all rows, of those that are numbers."""
    return finite({name: total(statistic) for name, statistic in statistics.items()})


def perplexity(nll: float, tokens: int) -> float:
    """Exp of the mean negative log likelihood (nats) of a token; infinite where there is none to measure."""
    try:
        return math.exp(nll / tokens)
    except (OverflowError, ZeroDivisionError):
        return math.inf


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """The figures that are numbers."""
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def normalise(text: str) -> str:
    """A label without case, surrounding space, and runs of space."""
    return " ".join(text.split()).casefold()


def f1_by_class(expected: Sequence[str], answered: Sequence[str], closed: Collection[str]) -> tuple[ClassScore, ...]:
    """Scores of every class that a row expects, and of those of the closed set that were answered.

    An answer outside these is a miss for the expected class and no class of its own. A ratio of nothing is 0. Equals
    scikit-learn's precision_recall_fscore_support over the same labels, which warns once classes are many.
    """
    support, given = Counter(expected), Counter(answered)
    hits = Counter(a for a, b in zip(expected, answered, strict=True) if a == b)
    return tuple(
        ClassScore(
            name,
            precision=_ratio(hits[name], given[name]),
            recall=_ratio(hits[name], support[name]),
            f1=_ratio(2 * hits[name], given[name] + support[name]),
            support=support[name],
        )
        for name in sorted(set(support) | (set(given) & set(closed)))
    )


def class_rows(classes: Sequence[ClassScore], expected: Sequence[str], answered: Sequence[str]) -> Rows:
    """The parts of the macro figures over these classes, which are those of `f1_by_class`."""
    place = {score.label: number for number, score in enumerate(classes)}
    return classes_of([place[text] for text in expected], [place.get(text, -1) for text in answered], len(classes))


def macro_f1(classes: Sequence[ClassScore]) -> float:
    """Mean F1 of the classes, each counted alike."""
    return mean([score.f1 for score in classes])


def confusion(expected: Sequence[str], answered: Sequence[str], closed: Collection[str]) -> Confusion | None:
    """How often which label was answered where which was expected; only labels that occur.

    Texts outside the closed set share one place. None where there are more labels than a person can look at.
    """
    wanted = [text if text in closed else OTHER for text in expected]
    given = [text if text in closed else OTHER for text in answered]
    labels = sorted(set(wanted) | set(given), key=lambda name: (name == OTHER, name))
    if not labels or len(labels) > MAX_MATRIX:
        return None
    cells = Counter(zip(wanted, given, strict=True))
    return Confusion(tuple(labels), tuple(tuple(cells[row, column] for column in labels) for row in labels))


def public(classes: tuple[ClassScore, ...], closed: Collection[str]) -> tuple[ClassScore, ...]:
    """Only the classes of the closed set: any other is a text of a row."""
    return tuple(score for score in classes if score.label in closed)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
