"""Each wrong answer is one kind of failure: a table of cases a kind, and the order of precedence."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import TaskKind
from tasks.evaluate.failures import FAILURES, Failure, classify, count
from tasks.evaluate.metrics import score

LABELS = ("card lost", "card stolen", "top up failed")
SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {
            "kind": {"enum": ["bug", "ask"]},
            "urgent": {"type": "boolean"},
            "item": {"type": ["string", "null"]},
            "amount": {"type": "number"},
            "note": {"type": "string"},
        },
        "required": ["kind"],
        "additionalProperties": False,
    }
)
FIXTURE = "CREATE TABLE orders(id INTEGER, city TEXT, total REAL); INSERT INTO orders VALUES (1, 'Bremen', 9.5);"
PROMPT = "Mary Miller of Old Harbour Books ordered 2 lamps on 5 March 2024 for 1,250.00 euros."
REPLY = "Thank you, Mary. Your two lamps are on their way."
QUESTION = "How many orders over 5 euros came from Bremen?"
COUNTED = "SELECT COUNT(*) FROM orders WHERE city = 'Bremen' AND total > 5"
LOOP = "the lamp is on the way " * 6


def label(answer: str, **more: Any) -> Failure | None:
    return classify("classification", answer, "card lost", "I lost it", correct=False, labels=LABELS, **more)


def answered(answer: dict[str, Any] | str, expected: dict[str, Any] | None = None, **more: Any) -> Failure | None:
    wanted = expected or {"kind": "bug", "urgent": True, "item": "lamp", "amount": 2}
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return classify("structured_output", text, json.dumps(wanted), PROMPT, correct=False, json_schema=SCHEMA, **more)


def said(answer: str, expected: str = REPLY, task: TaskKind = "generation", **more: Any) -> Failure | None:
    return classify(task, answer, expected, PROMPT, correct=False, **more)


def queried(answer: str, **more: Any) -> Failure | None:
    return classify("sql", answer, COUNTED, QUESTION, correct=False, sql_fixture=FIXTURE, **more)


@pytest.mark.parametrize("task", get_args(TaskKind))
def test_a_right_answer_is_no_failure_whatever_it_says(task: TaskKind) -> None:
    assert classify(task, "I cannot help", "I cannot help", "", correct=True, truncated=True, violates=True) is None


@pytest.mark.parametrize("answer", ["card stolen", "Card  STOLEN", "top up failed"])
def test_another_label_of_the_set_is_a_wrong_label(answer: str) -> None:
    assert label(answer) == "wrong_label"


@pytest.mark.parametrize("answer", ["", "lost", "card lost or stolen", "The label is card lost.", "12"])
def test_what_is_no_label_is_a_format_error(answer: str) -> None:
    assert label(answer) == "format_error"
    assert label(answer, truncated=True) == "format_error"


@pytest.mark.parametrize("answer", ["card st", "top up"])
def test_the_beginning_of_a_label_is_a_truncation_where_the_limit_ended_it(answer: str) -> None:
    assert label(answer, truncated=True) == "truncation"
    assert label(answer) == "format_error"


@pytest.mark.parametrize(
    "answer",
    [
        "a bug",
        "[]",
        "",
        '{"kind": "bug"',
        '```json\n{"kind": "bug"}\n```',
        {"kind": "bug", "urgent": "yes", "item": "lamp", "amount": 2},
        {"kind": "bug", "urgent": True, "item": "lamp", "amount": "two"},
    ],
)
def test_json_that_is_no_object_or_breaks_a_type_is_a_format_error(answer: dict[str, Any] | str) -> None:
    assert answered(answer) == "format_error"


@pytest.mark.parametrize(
    "answer",
    [
        {"urgent": True, "item": "lamp", "amount": 2},
        {"kind": "bug", "urgent": True, "item": "lamp"},
        {"kind": "bug", "urgent": True, "item": None, "amount": 2},
        {"kind": "bug", "urgent": True, "item": "", "amount": 2},
        {"kind": "ask", "item": "a chandelier", "amount": 2},  # wrong in other ways too
    ],
)
def test_a_key_of_the_reference_that_is_not_there_or_empty_is_a_missed_field(answer: dict[str, Any]) -> None:
    assert answered(answer) == "missed_field"


def test_a_key_of_an_inner_object_is_missed_too() -> None:
    given, wanted = '{"who": {"name": "Mary"}}', '{"who": {"name": "Mary", "city": "Bremen"}}'
    assert classify("structured_output", given, wanted, PROMPT, correct=False) == "missed_field"


@pytest.mark.parametrize(
    "answer",
    [
        {"kind": "bug", "urgent": True, "item": "lamp", "amount": 2, "colour": "red"},  # no field of the schema
        {"kind": "complaint", "urgent": True, "item": "lamp", "amount": 2},  # outside the enum
        {"kind": "bug", "urgent": True, "item": "chandelier", "amount": 2},
        {"kind": "bug", "urgent": True, "item": "lamp", "amount": 17},
        {"kind": "ask", "urgent": True, "item": "lamp", "amount": 17},  # and a wrong label
        {"kind": "bug", "urgent": True, "item": "lamp", "amount": 2, "note": "She asks for a refund of 99 euros now"},
    ],
)
def test_json_that_says_what_nobody_said_is_an_unsupported_claim(answer: dict[str, Any]) -> None:
    assert answered(answer) == "unsupported_claim"


@pytest.mark.parametrize("changed", [{"kind": "ask"}, {"urgent": False}])
def test_another_value_that_the_schema_lists_is_a_wrong_label(changed: dict[str, Any]) -> None:
    assert answered({"kind": "bug", "urgent": True, "item": "lamp", "amount": 2, **changed}) == "wrong_label"


@pytest.mark.parametrize(
    "changed", [{"item": "Old Harbour Books"}, {"amount": 1250}, {"note": "She wants it sent to another place, soon"}]
)
def test_an_open_value_that_the_prompt_supports_is_wrong_content(changed: dict[str, Any]) -> None:
    assert answered({"kind": "bug", "urgent": True, "item": "lamp", "amount": 2, **changed}) == "wrong_content"


def test_json_that_the_limit_cut_is_a_truncation_but_not_what_follows_an_object_or_is_none() -> None:
    assert answered('{"kind": "bug", "item": "la', truncated=True) == "truncation"
    assert answered('{"kind": "bug"} and then some more', truncated=True) == "format_error"
    assert answered("The customer reports", truncated=True) == "format_error"


def test_a_free_text_whose_reference_is_json_has_its_shape() -> None:
    assert said("two lamps", expected='{"item": "lamp"}') == "format_error"
    assert said("{}", expected='{"item": "lamp"}') == "missed_field"
    assert said('{"item": "lamps"}', expected='{"item": "lamp"}', task="chat") == "wrong_content"


@pytest.mark.parametrize(
    "answer",
    [
        "Your 3 lamps are on their way.",
        "Your lamps arrive on 6 March 2024.",
        "Your lamps arrive on 2024-03-07.",
        "Our partner Golden Parcel Service brings your lamps.",
        "You pay 1,260 euros.",
    ],
)
def test_a_number_a_date_or_a_name_that_nobody_said_is_an_unsupported_claim(answer: str) -> None:
    assert said(answer) == "unsupported_claim"
    assert said(answer, task="chat") == "unsupported_claim"


@pytest.mark.parametrize(
    "answer",
    [
        "Your order is being packed.",
        "1. We pack. 2. We send.",
        "Two lamps, ordered on 2024-03-05, for 1250 euros: Mary Miller.",
        "Ordered on March 5, 2024 and on 05.03.2024.",
        "Dear Mary Miller, Old Harbour Books thanks you.",
    ],
)
def test_a_text_that_says_something_else_without_claiming_anything_new_is_wrong_content(answer: str) -> None:
    assert said(answer) == "wrong_content"


@pytest.mark.parametrize("answer", ["", "  \n"])
def test_an_empty_text_is_a_format_error(answer: str) -> None:
    assert said(answer) == "format_error"


@pytest.mark.parametrize(
    "answer",
    [
        "How should I know",
        "",
        "SELECT",
        "SELECT COUNT(*) FROM",
        "SELECT 1; SELECT 2",
        "```sql\nSELECT 1\n```",
        "EXPLAIN SELECT 1",
        "Show the orders of Bremen",
        "Replace the lamp",
    ],
)
def test_what_is_not_one_query_is_a_format_error(answer: str) -> None:
    assert queried(answer) == "format_error"


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT COUNT(*) FROM customers WHERE city = 'Bremen'",
        "SELECT COUNT(*) FROM orders WHERE town = 'Bremen'",
        "SELECT COUNT(*) FROM orders WHERE city = 'Hamburg'",
        "SELECT COUNT(*) FROM orders WHERE total > 50",
    ],
)
def test_a_table_a_column_or_a_literal_that_nobody_named_is_an_unsupported_claim(answer: str) -> None:
    assert queried(answer) == "unsupported_claim"


@pytest.mark.parametrize(
    "answer",
    [
        "SELECT COUNT(id) AS n FROM orders AS o WHERE o.total > 5 LIMIT 1",
        "WITH big AS (SELECT * FROM orders WHERE total > 5) SELECT COUNT(*) FROM big",
        "SELECT COUNT(*) FROM orders WHERE city LIKE '%bremen%'",
    ],
)
def test_a_query_with_another_result_is_wrong_content(answer: str) -> None:
    assert queried(answer) == "wrong_content"


@pytest.mark.parametrize(
    "answer",
    [
        "DELETE FROM orders",
        "DROP TABLE orders",
        "ATTACH 'x.db' AS x",
        "PRAGMA writable_schema = 1",
        "VACUUM",
        "REPLACE INTO orders VALUES (1, 'x', 2)",
        "UPDATE orders SET total = 0",
        "ALTER TABLE orders ADD x",
    ],
)
def test_sql_that_does_more_than_read_is_a_policy_violation(answer: str) -> None:
    assert queried(answer) == "policy_violation"


def test_a_query_that_the_limit_cut_is_a_truncation() -> None:
    assert queried("SELECT COUNT(*) FROM orders WHERE", truncated=True) == "truncation"
    assert queried("I would count the rows whose", truncated=True) == "format_error"


@pytest.mark.parametrize("task", get_args(TaskKind))
def test_refusals_loops_and_violations_are_seen_in_every_task(task: TaskKind) -> None:
    def kind(answer: str, **more: Any) -> Failure | None:
        expected = {"classification": "card lost", "structured_output": '{"kind": "bug"}', "sql": COUNTED}.get(
            task, REPLY
        )
        return classify(task, answer, expected, PROMPT, correct=False, labels=LABELS, **more)

    declined = "I'm sorry, but I cannot help with that."
    assert kind(declined) == "refusal"
    assert kind(declined, truncated=True) == "refusal"
    assert kind(declined, violates=True) == "policy_violation"
    assert kind(LOOP, truncated=True) == "repetition"
    assert kind(LOOP, violates=True) == "policy_violation"


def test_the_limit_ends_a_free_text() -> None:
    assert said("Thank you, Mary. Your two lamps", truncated=True) == "truncation"
    assert said("On 9 May 2031 we", truncated=True) == "truncation"  # before what it claims


def test_what_the_reference_does_too_is_no_failure_of_manner() -> None:
    assert said("I can't help you with this.", expected="I cannot help with that, sorry.") == "wrong_content"
    assert said(LOOP, expected="row row row your boat " * 8) == "wrong_content"
    assert answered(
        {"kind": "bug", "urgent": True, "item": "lamp", "amount": 2, "note": "I can't help, she said today"}
    ) == (
        "wrong_content"  # it has the shape of the task: the note may say so
    )


def test_every_kind_is_counted_and_nothing_else() -> None:
    counts = count(["refusal", None, "refusal", "wrong_label", None])
    assert tuple(counts) == FAILURES
    assert {name: number for name, number in counts.items() if number} == {"refusal": 2, "wrong_label": 1}


texts = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        ["{}", '{"kind": "bug"}', "card lost", "SELECT 1", "DROP TABLE t", "I can't help", LOOP, "9" * 5000]
    ),
)


@settings(max_examples=150)
@given(st.sampled_from(get_args(TaskKind)), texts, texts, texts, st.booleans(), st.booleans())
def test_any_wrong_answer_has_one_kind(
    task: TaskKind, answer: str, expected: str, prompt: str, truncated: bool, violates: bool
) -> None:
    kind = classify(
        task, answer, expected, prompt, correct=False, truncated=truncated, violates=violates, labels=LABELS
    )
    assert kind in FAILURES


def test_as_many_answers_fail_as_are_wrong() -> None:
    expected = ["card lost", "card stolen", "top up failed", "card lost"]
    answers = ["card lost", "card lost", "no idea", "I'm not able to help with that"]
    scores = score("classification", answers, expected, labels=LABELS)
    kinds = [
        classify("classification", answer, wanted, "", correct=right, labels=LABELS)
        for answer, wanted, right in zip(answers, expected, scores.correct, strict=True)
    ]
    assert kinds == [None, "wrong_label", "format_error", "refusal"]
    assert sum(count(kinds).values()) == scores.correct.count(False)
