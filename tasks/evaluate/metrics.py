"""The figures of one arm from its answers, by kind of task. Pure: never sees a model, a file or a row's prompt.

Every row counts: an empty or unreadable answer is a wrong answer, so each figure is over all rows. A figure that is not
a finite number is left out, and a gate on it then refuses.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, NoReturn

from conf.schema import TaskKind
from tasks.errors import DataError, RecipeError

OTHER = "(other)"  # stands for every text outside the closed set, so that no text of a row reaches the report
NOT_JSON = object()  # what `parse` makes of a text that is no JSON
INVALID = "(invalid)"  # an answer that is not a JSON object
ABSENT = "(absent)"  # an object without that field
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
    """One field of the JSON answers; classes and confusion only where the schema closes the set of its values."""

    name: str
    accuracy: float
    macro_f1: float
    support: int
    classes: tuple[ClassScore, ...]
    confusion: Confusion | None


class Scores(NamedTuple):
    """The figures by name, which rows are right, and what the figures are made of."""

    metrics: dict[str, float]
    correct: tuple[bool, ...]
    classes: tuple[ClassScore, ...] = ()
    confusion: Confusion | None = None
    fields: tuple[FieldScore, ...] = ()


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


def classification(answers: Sequence[str], expected: Sequence[str], labels: Sequence[str]) -> Scores:
    """Exact matches of labels, read without regard to case and spacing (`normalise`)."""
    closed = {normalise(label) for label in labels}
    wanted = [normalise(text) for text in expected]
    given = [normalise(text) for text in answers]
    correct = tuple(a == b for a, b in zip(wanted, given, strict=True))
    classes = f1_by_class(wanted, given, closed)
    metrics = {
        "accuracy": _mean(correct),
        "macro_f1": macro_f1(classes),
        "valid_label": _mean([text in closed for text in given]),
        "exact_match": _mean([a.strip() == b.strip() for a, b in zip(expected, answers, strict=True)]),
    }
    return Scores(finite(metrics), correct, _public(classes, closed), confusion(wanted, given, closed))


def structured_output(answers: Sequence[str], expected: Sequence[str], json_schema: str) -> Scores:
    """JSON answers, compared as parsed values: key order and spacing do not matter, the type of a value does.

    A row is right when the whole object equals the expected one. Fields are the properties of the schema; without any,
    the keys of the expected objects.
    """
    schema, validator = _schema(json_schema)
    wanted = [parse(text) for text in expected]
    unreadable = sum(not isinstance(value, dict) for value in wanted)
    if unreadable:
        raise DataError(
            f"evaluation: {unreadable} of {len(wanted)} test rows do not have a JSON object as their answer; "
            "use another evaluation.task, or drop these rows with an expectation"
        )
    given = [parse(text) for text in answers]
    correct = tuple(canonical(a) == canonical(b) for a, b in zip(wanted, given, strict=True))
    fields = tuple(_field_score(name, wanted, given, schema) for name in _fields(schema, wanted))
    metrics = {
        "valid_json": _mean([value is not NOT_JSON for value in given]),
        "schema_valid": _mean([value is not NOT_JSON and _is_valid(validator, value) for value in given]),
        "exact_match": _mean(correct),
        "field_accuracy": _mean([field.accuracy for field in fields]),
        "field_macro_f1": _mean([field.macro_f1 for field in fields]),
    }
    return Scores(finite(metrics), correct, fields=fields)


def generation(answers: Sequence[str], expected: Sequence[str]) -> Scores:
    """ROUGE-L (Lin 2004; mean F-measure, 0 to 1) and BLEU (Papineni et al. 2002; sacrebleu over the corpus, 0 to 100).

    ROUGE-L sees runs of a-z and 0-9 alone, as its reference implementation does: it is no measure for other scripts.
    """
    import sacrebleu
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    pairs = list(zip(expected, answers, strict=True))
    correct = tuple(a.strip() == b.strip() for a, b in pairs)
    metrics = {
        "rouge_l": _mean([float(scorer.score(a, b)["rougeL"].fmeasure) for a, b in pairs]),
        "bleu": float(sacrebleu.corpus_bleu(list(answers), [list(expected)]).score),
        "exact_match": _mean(correct),
    }
    return Scores(finite(metrics), correct)


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


def macro_f1(classes: Sequence[ClassScore]) -> float:
    """Mean F1 of the classes, each counted alike."""
    return _mean([score.f1 for score in classes])


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


def parse(text: str) -> Any:
    """The JSON value that the whole text is, or `NOT_JSON`. Keys given twice and numbers like NaN are not JSON."""
    try:
        return json.loads(text.strip(), object_pairs_hook=_unique, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NOT_JSON


def canonical(value: Any) -> str:
    """A text that is the same for equal JSON values: 1 equals 1.0, and true equals neither."""
    return INVALID if value is NOT_JSON else json.dumps(_plain(value), sort_keys=True, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _schema(text: str) -> tuple[dict[str, Any], Any]:
    """The schema and its validator (JSON Schema 2020-12), which fetches nothing."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError
    from referencing import Registry

    schema = parse(text)
    if not isinstance(schema, dict):
        raise RecipeError("evaluation.json_schema: not a JSON object; give a JSON Schema")
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        raise RecipeError(f"evaluation.json_schema: {error.json_path}: {error.message}") from error
    return schema, Draft202012Validator(schema, registry=Registry())


def _is_valid(validator: Any, value: Any) -> bool:
    from referencing.exceptions import Unresolvable

    try:
        return bool(validator.is_valid(value))
    except Unresolvable as error:
        raise RecipeError(f"evaluation.json_schema: {error.ref} leads nowhere; put it under $defs") from error


def _fields(schema: dict[str, Any], expected: list[Any]) -> list[str]:
    return sorted(schema.get("properties") or {key for value in expected for key in value})


def _field_score(name: str, expected: list[Any], answered: list[Any], schema: dict[str, Any]) -> FieldScore:
    wanted = [_value(value, name) for value in expected]
    given = [_value(value, name) for value in answered]
    closed = _closed_values(schema.get("properties", {}).get(name))
    classes = f1_by_class(wanted, given, closed)
    return FieldScore(
        name,
        accuracy=_mean([a == b for a, b in zip(wanted, given, strict=True)]),
        macro_f1=macro_f1(classes),
        support=len(wanted),
        classes=_public(classes, closed),
        confusion=confusion(wanted, given, closed | {INVALID, ABSENT}) if closed else None,
    )


def _value(value: Any, name: str) -> str:
    """The field as a text that can be compared; strings without their quotes, so that a person can read them."""
    if not isinstance(value, dict):
        return INVALID
    if name not in value:
        return ABSENT
    return _readable(value[name])


def _readable(value: Any) -> str:
    text = canonical(value)
    # a string that looks like another JSON value keeps its quotes: "1" is not 1
    return value if isinstance(value, str) and value and parse(value) is NOT_JSON and value[0] != "(" else text


def _closed_values(field: Any) -> frozenset[str]:
    """The values that the schema allows, where it lists them."""
    if not isinstance(field, dict):
        return frozenset()
    listed = [field["const"]] if "const" in field else field.get("enum", [])
    return frozenset(
        _readable(value) for value in (listed or ([True, False] if field.get("type") == "boolean" else []))
    )


def _public(classes: tuple[ClassScore, ...], closed: Collection[str]) -> tuple[ClassScore, ...]:
    """Only the classes of the closed set: any other is a text of a row."""
    return tuple(score for score in classes if score.label in closed)


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan
