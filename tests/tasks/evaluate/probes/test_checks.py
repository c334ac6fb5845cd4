"""Each check on answers that are right and answers that are not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from tasks.evaluate.probes.checks import (
    Check,
    Choice,
    Equals,
    Json,
    Mentions,
    Number,
    Regex,
    Sequence,
    StartsWith,
    WordCount,
)

PROMPT = "What is 2 + 3?"
FIVE = Number(type="number", value=5)
YES = Choice(type="choice", value="yes", options=("yes", "no"))
PARIS = Mentions(type="mentions", any_of=("Paris",), none_of=("Lyon",))
CAT = Equals(type="equals", texts=("CAT",), case=True)
SENTENCE = Equals(type="equals", texts=("The sun is warm.", "Warm is the sun."))
ORDER = Sequence(type="sequence", items=("apple", "mango", "pear"))
DEAR = StartsWith(type="starts_with", text="Dear Sam,")
TWO = WordCount(type="word_count", min_words=2, max_words=2)
DIGITS = Regex(type="regex", pattern=r"\d{3}")
OBJECT = Json(type="json", value='{"a": 1, "b": [true]}')


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        *(
            (FIVE, a)
            for a in (
                "5",
                "5.",
                "The answer is 5.",
                "2 + 3 = 5",
                "**5**",
                "Five",
                "3 plus 2 is 5.0",
                "$5",
                "1 + 1 + 3 = 5 apples",
            )
        ),
        *((YES, a) for a in ("yes", "Yes.", "Yes, it is.", "YES!", "The answer is yes.", "Yes, there is no doubt.")),
        *((PARIS, a) for a in ("paris", "It is Paris.", "The capital of France is **Paris**")),
        *((CAT, a) for a in ("CAT", "CAT.", '"CAT"', "The answer is CAT", "```\nCAT\n```")),
        *((SENTENCE, a) for a in ("The sun is warm.", "the sun is  warm", "Warm is the sun!")),
        *((ORDER, a) for a in ("apple, mango, pear", "1. Apple\n2. Mango\n3. Pear", "Sure: apple mango pear.")),
        *((DEAR, a) for a in ("Dear Sam, thank you.", "dear sam\nthanks")),
        *((TWO, a) for a in ("Good morning", "Good morning!")),
        *((DIGITS, a) for a in ("123", " 123\n", "```\n123\n```")),
        *((OBJECT, a) for a in ('{"b":[true],"a":1}', '```json\n{"a": 1, "b": [true]}\n```')),
    ],
)
def test_a_right_answer_is_accepted_in_any_dress(check: Check, answer: str) -> None:
    assert check.accepts(answer, PROMPT)


@pytest.mark.parametrize(
    ("check", "answer"),
    [
        *(
            (FIVE, a)
            for a in (
                "6",
                "2 + 3 = 6",
                "5 or 6",
                "6 or 5",
                "2 + 4 = 5 + 1 = 6",
                "7 is odd, 5",
                "2",
                "fifty",
                "",
                "15",
                "5 5 5 5 5 5 5 5 5 5",
                "1 2 3 4 5",
            )
        ),
        *((YES, a) for a in ("no", "No.", "yes or no", "", "yesterday", "maybe", "yes no yes no yes no yes no yes no")),
        *((PARIS, a) for a in ("Lyon", "Paris or Lyon", "Parisian", "", "paris " * 12)),
        *((CAT, a) for a in ("cat", "CATS", "CAT DOG", "The cat", "")),
        *((SENTENCE, a) for a in ("The sun is hot.", "The sun is warm. It is day.", "")),
        *((ORDER, a) for a in ("pear, apple, mango", "apple, pear", "pear apple mango: apple, mango, pear", "")),
        *((DEAR, a) for a in ("Dear Sam,", "Hello, dear Sam, thanks", "Dear Samuel, thanks", "")),
        *((TWO, a) for a in ("Good", "Good good morning", "the the", "")),
        *((DIGITS, a) for a in ("12", "1234", "a 123", "")),
        *(
            (OBJECT, a)
            for a in ('{"a": 1}', '{"a": true, "b": [true]}', '{"a": "1", "b": [true]}', '{"a": 1,', "", "a")
        ),
    ],
)
def test_a_wrong_or_rambling_answer_is_not(check: Check, answer: str) -> None:
    assert not check.accepts(answer, PROMPT)


@given(st.text(max_size=60))
def test_every_check_judges_any_answer(answer: str) -> None:
    for check in (FIVE, YES, PARIS, CAT, SENTENCE, ORDER, DEAR, TWO, DIGITS, OBJECT):
        assert check.accepts(answer, PROMPT) in (True, False)


@pytest.mark.parametrize(
    "check",
    [
        {"type": "code", "text": "print(1)"},
        {"type": "equals", "texts": ["a"], "strict": True},
        {"type": "choice", "value": "c", "options": ["a", "b"]},
        {"type": "regex", "pattern": "("},
        {"type": "json", "value": "{"},
        {"type": "mentions", "any_of": []},
        {"type": "number", "value": -1},
    ],
)
def test_a_check_of_no_known_shape_is_refused(check: dict[str, object]) -> None:
    adapter: TypeAdapter[Check] = TypeAdapter(Check)
    with pytest.raises(ValidationError):
        adapter.validate_python(check)
