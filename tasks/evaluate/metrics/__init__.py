"""The figures of one arm from its answers, one module a kind of task. Pure: never sees a model, a file or a prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conf.schema import TaskKind
from tasks.evaluate.metrics.labels import classification
from tasks.evaluate.metrics.own import Own, custom, custom_sources, load_custom
from tasks.evaluate.metrics.queries import sql
from tasks.evaluate.metrics.shared import (
    MAX_MATRIX,
    OTHER,
    ClassScore,
    Confusion,
    FieldScore,
    Scores,
    f1_by_class,
    figures,
    finite,
    macro_f1,
    perplexity,
)
from tasks.evaluate.metrics.structured import ABSENT, INVALID, NOT_JSON, canonical, parse, structured_output
from tasks.evaluate.metrics.text import chat, generation

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
    "custom_sources",
    "f1_by_class",
    "figures",
    "finite",
    "load_custom",
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
    sql_fixture: str | None = None,
    functions: Mapping[str, Own] | None = None,
) -> Scores:
    """The figures that `conf.schema.METRICS` names for the task, but for those that need the model, and custom ones.

    Args:
        answers: what the arm wrote, one a row.
        expected: the reference answers, in the same order.
        labels: the closed set, for classification.
        json_schema: text of a JSON Schema, for structured output.
        sql_fixture: the script that makes the database, for SQL.
        functions: the custom metrics by name (`load_custom`).

    Raises:
        DataError: a reference answer of structured output is not a JSON object, one of SQL does not run, or a custom
            metric fails on a row.
        RecipeError: the JSON Schema is not one, or the script does not run.
    """
    scores = _of_task(task, answers, expected, labels, json_schema, sql_fixture)
    own = custom(functions or {}, answers, expected)
    return scores._replace(metrics={**scores.metrics, **figures(own)}, statistics={**scores.statistics, **own})


def _of_task(
    task: TaskKind,
    answers: Sequence[str],
    expected: Sequence[str],
    labels: Sequence[str],
    json_schema: str | None,
    sql_fixture: str | None,
) -> Scores:
    match task:
        case "classification":
            return classification(answers, expected, labels)
        case "structured_output":
            return structured_output(answers, expected, json_schema or "{}")
        case "sql":
            return sql(answers, expected, sql_fixture or "")
        case "chat":
            return chat(answers, expected)
        case "generation":
            return generation(answers, expected)
