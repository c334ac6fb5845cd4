"""Answers that are JSON objects, compared as parsed values."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Self

from tasks.errors import DataError, RecipeError
from tasks.evaluate.metrics.shared import (
    ClassScore,
    FieldScore,
    Scores,
    class_rows,
    confusion,
    f1_by_class,
    figures,
    macro_f1,
    mean,
    public,
)
from tasks.evaluate.statistics import Statistic, beside, share_of

NOT_JSON = object()  # what `parse` makes of a text that is no JSON
INVALID = "(invalid)"  # an answer that is not a JSON object
ABSENT = "(absent)"  # an object without that field


def structured_output(answers: Sequence[str], expected: Sequence[str], json_schema: str) -> Scores:
    """JSON answers, compared as parsed values: key order and spacing do not matter, the type of a value does.

    A row is right when the whole object equals the expected one. Fields are the properties of the schema; without any,
    the keys of the expected objects.
    """
    schema, validator = read_schema(json_schema)
    wanted = [parse(text) for text in expected]
    unreadable = sum(not isinstance(value, dict) for value in wanted)
    if unreadable:
        raise DataError(
            f"evaluation: {unreadable} of {len(wanted)} test rows do not have a JSON object as their answer; "
            "use another evaluation.task, or drop these rows with an expectation"
        )
    given = [parse(text) for text in answers]
    correct = tuple(canonical(a) == canonical(b) for a, b in zip(wanted, given, strict=True))
    fields = [_Field.of(name, wanted, given, schema) for name in _fields(schema, wanted)]
    statistics = {
        "valid_json": share_of([value is not NOT_JSON for value in given]),
        "schema_valid": share_of([value is not NOT_JSON and _is_valid(validator, value) for value in given]),
        "exact_match": share_of(correct),
        **_over_fields(fields),
    }
    return Scores(figures(statistics), correct, statistics, fields=tuple(field.score() for field in fields))


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


@functools.lru_cache(4)
def read_schema(text: str) -> tuple[dict[str, Any], Any]:
    """The schema and its validator (JSON Schema 2020-12), which fetches nothing.

    Raises:
        RecipeError: the text is no JSON Schema.
    """
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


def broken_rules(validator: Any, value: Any) -> Iterator[str]:
    """The keywords of the schema that the value breaks, e.g. `enum`.

    Raises:
        RecipeError: the schema names a part that it does not hold.
    """
    from referencing.exceptions import Unresolvable

    try:
        for error in validator.iter_errors(value):
            yield str(error.validator)
    except Unresolvable as error:
        raise RecipeError(f"evaluation.json_schema: {error.ref} leads nowhere; put it under $defs") from error


def _is_valid(validator: Any, value: Any) -> bool:
    return next(broken_rules(validator, value), None) is None


def _fields(schema: dict[str, Any], expected: list[Any]) -> list[str]:
    return sorted(schema.get("properties") or {key for value in expected for key in value})


class _Field(NamedTuple):
    """One field of every row: what is expected and what was given, as texts, and the classes that these make."""

    name: str
    wanted: list[str]
    given: list[str]
    closed: frozenset[str]
    classes: tuple[ClassScore, ...]

    @classmethod
    def of(cls, name: str, expected: list[Any], answered: list[Any], schema: dict[str, Any]) -> Self:
        wanted = [value_of(value, name) for value in expected]
        given = [value_of(value, name) for value in answered]
        closed = closed_values(schema, name)
        return cls(name, wanted, given, closed, f1_by_class(wanted, given, closed))

    def right(self) -> list[bool]:
        return [a == b for a, b in zip(self.wanted, self.given, strict=True)]

    def score(self) -> FieldScore:
        values = self.closed | {INVALID, ABSENT}
        return FieldScore(
            self.name,
            accuracy=mean(self.right()),
            macro_precision=mean([score.precision for score in self.classes]),
            macro_recall=mean([score.recall for score in self.classes]),
            macro_f1=macro_f1(self.classes),
            support=len(self.wanted),
            classes=public(self.classes, self.closed),
            confusion=confusion(self.wanted, self.given, values) if self.closed else None,
        )


def _over_fields(fields: Sequence[_Field]) -> dict[str, Statistic]:
    """The figures over all fields, each counted alike; none where there is no field."""
    if not fields:
        return {}
    classes = beside([class_rows(field.classes, field.wanted, field.given) for field in fields])
    groups = tuple(len(field.classes) for field in fields)
    right = [sum(row) for row in zip(*(field.right() for field in fields), strict=True)]
    return {
        "field_accuracy": share_of([count / len(fields) for count in right]),
        "field_precision": Statistic("macro_precision", classes, groups),
        "field_recall": Statistic("macro_recall", classes, groups),
        "field_macro_f1": Statistic("macro_f1", classes, groups),
    }


def value_of(value: Any, name: str) -> str:
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


def closed_values(schema: Mapping[str, Any], name: str) -> frozenset[str]:
    """The values that the schema allows for a field, where it lists them."""
    field = schema.get("properties", {}).get(name)
    if not isinstance(field, dict):
        return frozenset()
    listed = [field["const"]] if "const" in field else field.get("enum", [])
    return frozenset(
        _readable(value) for value in (listed or ([True, False] if field.get("type") == "boolean" else []))
    )
