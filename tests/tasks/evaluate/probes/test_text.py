"""How an answer is read, on written examples."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluate.probes.text import core, fold, has, loops, numbers, unfenced, words


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The answer is Paris.", "Paris"),
        ("Sure! The answer is: **Paris**", "Paris"),
        ("Okay, here is the sentence:\nThe sun is warm.", "The sun is warm"),
        ("It prints `5`", "5"),
        ("```python\nx = 5\n```", "x = 5"),
        ("Here you go:\n```\nx = 5", "x = 5"),
        ("\u201cParis\u201d!", "\u201cParis\u201d"),
        ('"Paris"', "Paris"),
        ("Sure.", "Sure"),
        ("...", "..."),
        ("  ", ""),
    ],
)
def test_the_core_of_an_answer_is_what_stands_without_its_dress(text: str, expected: str) -> None:
    assert core(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2 + 3 = 5", [2, 3, 5]),
        ("9-2", [9, 2]),
        ("-4 and \u22124", [4, 4]),
        ("1,284 + 967", [1284, 967]),
        ("0.5, .25 and 3.", [0.5, 0.25, 3]),
        ("3x + 7", [3, 7]),
        ("B12", []),
        ("seven", [7]),
        ("Twenty-five and forty", [25, 40]),
        ("one hundred", [100]),
        ("someone", []),
        ("1. Four and four make 8.\n2", [8]),  # the numbers of a list, the last of them cut off, are none
        ("1. Add 4 and 4.\n2. That is 8.\n3.", [4, 4, 8]),
        ("2 + 3 =\n5", [2, 3, 5]),
        ("5. That is the sum.", [5]),
        ("Five is 5", [5]),  # words count only without digits
        ("", []),
    ],
)
def test_numbers_are_read_in_digits_or_else_in_words(text: str, expected: list[float]) -> None:
    assert numbers(text) == expected


def test_words_are_folded_and_whole() -> None:
    assert words("I can\u2019t GO, caf\u00e9_1!") == ["i", "can't", "go", "cafe", "1"]
    assert fold("  S\u00e3o\n Paulo ") == "sao paulo"
    assert has("S\u00e3o Paulo", "It is SAO PAULO.")
    assert not has("Rome", "Romeo")
    assert has("#", "use the # sign")
    assert unfenced(" plain ") == "plain"


def test_a_text_in_a_loop_is_seen_and_a_plain_one_is_not() -> None:
    assert loops("yes no " * 10)
    assert not loops("yes " * 8)
    assert not loops("The cat sat on the mat and the dog lay on the rug by the fire.")


@given(st.text(max_size=80))
def test_any_text_can_be_read(text: str) -> None:
    assert all(number >= 0 for number in numbers(text))
    assert isinstance(core(text), str)
    assert not loops(text) or len(words(text)) >= 9
