"""The evaluation's report as JSON: figures, closed sets and counts. Pure, and never holds a text of a row.

    {"task", "n_rows", "labels",
     "arms": {arm: {
         "metrics": {name: value},
         "per_class": {label: {"precision", "recall", "f1", "support"}},
         "per_field": {field: {"precision", "recall", "f1", "accuracy", "support", "per_class", "confusion"}},
         "confusion": {"labels", "matrix", "field"},
         "failures": {kind: rows}}}}

`per_class` goes with classification, `per_field` with structured output: its precision, recall and F1 are means over
the classes of the field. A matrix has a row an expected label and a column an answered one. `confusion` of structured
output is that of the first field whose values the schema lists; `field` is its name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from conf.schema import TaskKind
from tasks.evaluate.measure import ArmResult
from tasks.evaluate.metrics import ClassScore, Confusion, FieldScore, Scores


def build(task: TaskKind, n_rows: int, labels: Sequence[str], arms: Mapping[str, ArmResult]) -> dict[str, Any]:
    """The report of the arms; `labels` is the closed set of a classification."""
    return {
        "task": task,
        "n_rows": n_rows,
        "labels": sorted(labels),
        "arms": {arm: {**_arm(r.scores), "failures": Counter(f for f in r.failures if f)} for arm, r in arms.items()},
    }


def _arm(scores: Scores) -> dict[str, Any]:
    report: dict[str, Any] = {"metrics": scores.metrics}
    if scores.classes:
        report["per_class"] = _classes(scores.classes)
    if scores.confusion:
        report["confusion"] = _confusion(scores.confusion)
    if scores.fields:
        report["per_field"] = {field.name: _field(field) for field in scores.fields}
        shown = next((field for field in scores.fields if field.confusion), None)
        if shown and shown.confusion:
            report["confusion"] = {**_confusion(shown.confusion), "field": shown.name}
    return report


def _field(field: FieldScore) -> dict[str, Any]:
    return {
        "precision": field.macro_precision,
        "recall": field.macro_recall,
        "f1": field.macro_f1,
        "accuracy": field.accuracy,
        "support": field.support,
        "per_class": _classes(field.classes),
        "confusion": _confusion(field.confusion) if field.confusion else None,
    }


def _classes(classes: Sequence[ClassScore]) -> dict[str, Any]:
    return {
        score.label: {"precision": score.precision, "recall": score.recall, "f1": score.f1, "support": score.support}
        for score in classes
    }


def _confusion(confusion: Confusion) -> dict[str, Any]:
    return {"labels": list(confusion.labels), "matrix": [list(row) for row in confusion.matrix]}
