"""Numbers, dates and names of a text, and whether another says them, in whatever way they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluate.claims import Source, claims_of, readings


@pytest.mark.parametrize(
    ("number", "may_be"),
    [
        ("7", {"7"}),
        ("007", {"7"}),
        ("7.50", {"7.5"}),
        ("7,5", {"7.5"}),
        ("1,234.50", {"1234.5"}),
        ("1.234,50", {"1234.5"}),
        ("1.234", {"1.234", "1234"}),
        ("1,234,567", {"1234567"}),
        ("100", {"100"}),
        ("3.12.1", {"3.12.1"}),
    ],
)
def test_a_number_stands_for_what_either_way_of_writing_makes_of_it(number: str, may_be: set[str]) -> None:
    assert readings(number) == may_be


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-05",
        "on 5 March 2024",
        "the 5th of March, 2024",
        "March 5, 2024",
        "Mar 5th 2024",
        "05.03.2024",
        "5/3/2024",
        "3/5/24",
    ],
)
def test_a_date_is_the_same_however_it_is_written(text: str) -> None:
    assert claims_of(text) == ((), ((3, 5, 2024),), ())
    assert Source("It was due on 5 March 2024.").supports(text)
    assert not Source("It was due on 6 March 2024.").supports(text)


def test_less_of_a_date_is_supported_but_more_is_not() -> None:
    assert Source("5 March 2024").supports("March 5")
    assert not Source("March 5").supports("5 March 2024")
    assert Source("5 March 2024").supports("in 2024")


def test_a_name_is_two_or_more_capitalised_words_in_a_row_without_the_opening_of_a_sentence() -> None:
    text = "The Golden Parcel Service calls. Dear Mary, Please ask Tom Baker's brother. He and Ann met O'Neill Books."
    assert claims_of(text).names == (("golden", "parcel", "service"), ("tom", "baker"), ("o'neill", "books"))


def test_marks_of_a_list_are_no_numbers() -> None:
    assert claims_of("1. Open it.\n2) Close it.\n 10. Pay 20").numbers == (frozenset({"20"}),)


@pytest.mark.parametrize(
    ("source", "text", "supported"),
    [
        ("two lamps", "2 lamps", True),
        ("twelve lamps", "11 lamps", False),
        ("1.234,50 euros", "1234.5", True),
        ("ticket TK-4711", "4711", True),
        ("ticket TK-4711", "4712", False),
        ("mary miller", "Mary Miller", True),
        ("Miller, Mary", "Mary Miller", True),
        ("Mary", "Mary Miller", False),
        ("", "nothing new at all", True),
    ],
)
def test_what_is_said_is_found_in_the_source(source: str, text: str, supported: bool) -> None:
    assert Source(source).supports(text) is supported


@given(st.text(max_size=80))
def test_every_text_supports_itself(text: str) -> None:
    assert Source(text).supports(text)
    assert Source("something else", text).supports(text)
