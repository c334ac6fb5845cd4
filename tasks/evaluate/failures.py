"""What is wrong with a wrong answer: exactly one kind of failure each, so that a reviewer knows where to look. Pure.

The first kind that fits, in this order, is an answer's kind:

    policy_violation   holds what must not go out (the caller says so); of SQL, a statement that does more than read
    refusal            declines, where the reference does not and the answer has not the task's shape anyway
    repetition         goes in circles, where the reference does not (`tasks.evaluate.signs`)
    truncation         ended by the limit of tokens on the way to the task's shape: a free text, the beginning of a
                       label, JSON or a query that does not end
    format_error       not the task's shape: no label of the set; no JSON object, or one with a type, a pattern or
                       another rule of the schema broken; not one query; nothing at all
    missed_field       the JSON object lacks a key that the reference has, or has null or nothing there
    unsupported_claim  says what neither the prompt nor the reference does: in JSON a field that the schema and the
                       reference do not have, a value outside an enum, an open value of up to five words with a word of
                       its own; in SQL a literal, or a table or column that the database has not either; in any longer
                       text a number, a date or a name of several capitalised words
    wrong_label        another label of the set; in JSON another of the values that the schema lists for a field
    wrong_content      none of these: says something else than the reference, or the same in other words

The shape of a free text is any text, but that of a JSON object where the reference is one. A free text is right where
it is the reference to the letter: nothing here knows a paraphrase, so its counts compare arms and are no share of bad
answers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, get_args

from conf.schema import TaskKind
from tasks.evaluate.claims import Source, readings, words_of
from tasks.evaluate.metrics.queries import query_of, statement_of
from tasks.evaluate.metrics.shared import normalise
from tasks.evaluate.metrics.structured import (
    broken_rules,
    canonical,
    closed_values,
    parse,
    read_schema,
    value_of,
)
from tasks.evaluate.signs import refuses, repeats

Failure = Literal[
    "policy_violation",
    "refusal",
    "repetition",
    "truncation",
    "format_error",
    "missed_field",
    "unsupported_claim",
    "wrong_label",
    "wrong_content",
]
FAILURES: tuple[Failure, ...] = get_args(Failure)

# Rules of a schema that say of a value not how it is written but that it should not be there.
_MISSING = frozenset({"required", "minProperties", "dependentRequired"})
_NOT_THERE = frozenset({"enum", "const", "additionalProperties", "unevaluatedProperties"})
_SHORT = 5  # words: a value that is copied, not written
_OTHER_WRITING = re.compile(r"\s*(?:alter\s+table|replace\s+into|vacuum|reindex)\b", re.IGNORECASE)
_STRUCTURAL = ("0", "1")  # `LIMIT 1` and `WHERE 1 = 1` claim nothing
_EMPTY: tuple[Any, ...] = (None, "", [], {})


def classify(
    task: TaskKind,
    answer: str,
    expected: str,
    prompt: str,
    *,
    correct: bool,
    truncated: bool = False,
    violates: bool = False,
    labels: Collection[str] = (),
    json_schema: str | None = None,
    sql_fixture: str | None = None,
) -> Failure | None:
    """The kind of failure of one answer, or None where it is right.

    Args:
        task: decides the shape that an answer must have.
        answer: what the arm wrote.
        expected: the reference answer.
        prompt: everything before the answer, the system message too: what is said there is supported.
        correct: whether the answer counts as right (`Scores.correct`).
        truncated: whether the answer ended by the limit of tokens instead of by itself.
        violates: whether the answer holds what must not go out, e.g. a personal value.
        labels: the closed set, for classification.
        json_schema: text of a JSON Schema, for structured output.
        sql_fixture: the script that makes the database, for SQL; a query may use any name of it.

    Raises:
        RecipeError: the JSON Schema is not one.
    """
    if correct:
        return None
    if violates:
        return "policy_violation"
    if task == "classification":
        return _of_label(answer, expected, labels, truncated=truncated)
    if task == "sql":
        return _of_sql(answer, expected, prompt, sql_fixture or "", truncated=truncated)
    if task == "structured_output" or isinstance(parse(expected), dict):
        return _of_json(answer, expected, prompt, json_schema or "{}", truncated=truncated)
    return _of_text(answer, expected, prompt, truncated=truncated)


def count(failures: Iterable[Failure | None]) -> dict[Failure, int]:
    """How many answers failed in which way; every kind, in the order in which they are looked for."""
    found = Counter(failures)
    return {failure: found[failure] for failure in FAILURES}


def _of_manner(answer: str, expected: str, *, shaped: bool, truncated: bool) -> Failure | None:
    """What can be wrong with any text. `shaped`: it has the shape of the task, so it does not decline."""
    if not shaped and refuses(answer) and not refuses(expected):
        return "refusal"
    if repeats(answer) and not repeats(expected):
        return "repetition"
    return "truncation" if truncated else None


def _of_label(answer: str, expected: str, labels: Collection[str], *, truncated: bool) -> Failure:
    label, closed = normalise(answer), {normalise(name) for name in labels}
    shaped = label in closed
    begun = truncated and bool(label) and any(name.startswith(label) for name in closed)
    manner = _of_manner(answer, expected, shaped=shaped, truncated=begun and not shaped)
    return manner or ("wrong_label" if shaped else "format_error")


def _of_text(answer: str, expected: str, prompt: str, *, truncated: bool) -> Failure:
    manner = _of_manner(answer, expected, shaped=False, truncated=truncated)
    if manner:
        return manner
    if not answer.strip():
        return "format_error"
    return "wrong_content" if Source(prompt, expected).supports(answer) else "unsupported_claim"


def _of_json(answer: str, expected: str, prompt: str, json_schema: str, *, truncated: bool) -> Failure:
    schema, validator = read_schema(json_schema)
    given, wanted = parse(answer), parse(expected)
    shaped = isinstance(given, dict)
    manner = _of_manner(answer, expected, shaped=shaped, truncated=truncated and _is_open_json(answer))
    if manner:
        return manner
    broken = set(broken_rules(validator, given)) if shaped else set()
    if not shaped or broken - _NOT_THERE - _MISSING:
        return "format_error"
    if broken & _MISSING or _lacks(given, wanted):
        return "missed_field"
    if broken & _NOT_THERE or not _is_supported(given, wanted, schema, Source(prompt, expected)):
        return "unsupported_claim"
    return "wrong_label" if _differs_in_a_closed_field(given, wanted, schema) else "wrong_content"


def _of_sql(answer: str, expected: str, prompt: str, fixture: str, *, truncated: bool) -> Failure:
    query = query_of(answer)
    if query is None and _does_more_than_read(answer):
        return "policy_violation"
    begun = truncated and query is None and answer.lstrip().upper().startswith(("SELECT", "WITH", "VALUES"))
    manner = _of_manner(answer, expected, shaped=query is not None, truncated=begun)
    if manner:
        return manner
    if query is None:
        return "format_error"
    said, named = Source(prompt, expected), frozenset(words_of(fixture))
    supported = all(set(words_of(name)) <= said.words | named for name in _names(query)) and all(
        said.has_number(readings(text)) if is_number else set(words_of(text)) <= said.words and said.supports(text)
        for text, is_number in _literals(query)
    )
    return "wrong_content" if supported else "unsupported_claim"


def _is_open_json(answer: str) -> bool:
    """Whether the text begins a JSON object and does not end it; more text after an object is no open one."""
    text = answer.lstrip()
    try:
        json.JSONDecoder().raw_decode(text)
    except (ValueError, RecursionError):
        return text.startswith("{")
    return False


def _lacks(given: Any, wanted: Any) -> bool:
    """Whether a key of the reference is not there, or has nothing where the reference has something; at any depth."""
    if isinstance(wanted, dict) and isinstance(given, dict):
        return any(
            key not in given or (given[key] in _EMPTY and value not in _EMPTY) or _lacks(given[key], value)
            for key, value in wanted.items()
        )
    return False


def _is_supported(given: Mapping[str, Any], wanted: Any, schema: Mapping[str, Any], source: Source) -> bool:
    known = {*(wanted if isinstance(wanted, dict) else ()), *schema.get("properties", {})}
    return known.issuperset(given) and all(
        _value_is_supported(value, source)
        for name, inner in given.items()
        if not closed_values(schema, name)  # what the schema lists claims nothing new
        for value in _leaves(inner)
    )


def _value_is_supported(value: Any, source: Source) -> bool:
    if isinstance(value, bool) or value is None:
        return True
    if isinstance(value, int | float):
        return source.has_number(readings(canonical(abs(value))))
    words = words_of(value)
    copied = len(words) > _SHORT or source.words.issuperset(words) or source.holds(value)
    return copied and source.supports(value)


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _leaves(inner)
    else:
        yield value


def _differs_in_a_closed_field(given: Any, wanted: Any, schema: Mapping[str, Any]) -> bool:
    return any(
        closed_values(schema, name) and value_of(given, name) != value_of(wanted, name)
        for name in schema.get("properties", {})
    )


def _does_more_than_read(answer: str) -> bool:
    """Whether the text is one SQL statement, and one that writes or reaches outside the database."""
    from sqlglot import exp

    tree = statement_of(answer)
    kinds = (exp.DDL, exp.DML, exp.Drop, exp.Attach, exp.Detach, exp.Pragma)
    if isinstance(tree, exp.Command):  # what sqlglot knows by its first word only
        return _OTHER_WRITING.match(answer) is not None
    return isinstance(tree, kinds) and not isinstance(tree, exp.Query | exp.Values)


def _names(query: Any) -> Iterator[str]:
    """The tables and columns that a query uses, without the names that it gives itself."""
    from sqlglot import exp

    own = {alias.alias_or_name.casefold() for alias in query.find_all(exp.Alias, exp.TableAlias, exp.CTE)}
    for node in query.find_all(exp.Table, exp.Column):
        if node.name and node.name.casefold() not in own:
            yield node.name


def _literals(query: Any) -> Iterator[tuple[str, bool]]:
    """The numbers and texts of a query, and which they are; of a pattern what stands between its wildcards."""
    from sqlglot import exp

    for literal in query.find_all(exp.Literal):
        if literal.is_string or literal.this not in _STRUCTURAL:
            yield literal.this.replace("%", " "), not literal.is_string
