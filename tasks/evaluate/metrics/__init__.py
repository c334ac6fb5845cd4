"""The figures of one arm from its answers, one module a kind of task. Pure: never sees a model, a file or a prompt."""

from __future__ import annotations

from collections.abc import Sequence

from conf.schema import TaskKind
from tasks.evaluate.metrics.classification import classification
from tasks.evaluate.metrics.shared import (
    MAX_MATRIX,
    OTHER,
    ClassScore,
    Confusion,
    FieldScore,
    Scores,
    f1_by_class,
    finite,
    macro_f1,
    perplexity,
)
from tasks.evaluate.metrics.structured import ABSENT, INVALID, NOT_JSON, canonical, parse, structured_output
from tasks.evaluate.metrics.text import generation

__all__ = [
    "ABSENT",
    "INVALID",
    "MAX_MATRIX",
    "NOT_JSON",
    "OTHER",
    "ClassScore",
    "Confusion",
    "FieldScore",
    "Scores",
    "canonical",
    "f1_by_class",
    "finite",
    "macro_f1",
    "parse",
    "perplexity",
    "score",
]


def score(
    task: TaskKind,
    answers: Sequence[str],
    expected: Sequence[str],
    *,
    labels: Sequence[str] = (),
    json_schema: str | None = None,
) -> Scores:
    """The figures that `conf.schema.METRICS` names for the task, but for those that need the model.

    Args:
        answers: what the arm wrote, one a row.
        expected: the reference answers, in the same order.
        labels: the closed set, for classification.
        json_schema: text of a JSON Schema, for structured output.

    Raises:
        DataError: a reference answer of structured output is not a JSON object.
        RecipeError: the JSON Schema is not one.
    """
    if task == "classification":
        return classification(answers, expected, labels)
    if task == "structured_output":
        return structured_output(answers, expected, json_schema or "{}")
    return generation(answers, expected)
