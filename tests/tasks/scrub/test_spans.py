"""Spans: what overlaps becomes one, and nothing that was found stays readable."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.scrub.spans import Found, trimmed, united, within

SPANS = st.builds(
    lambda start, length, entity, score: Found(start, start + length, entity, score),
    st.integers(0, 30),
    st.integers(1, 10),
    st.sampled_from(["PERSON", "URL", "AGE"]),
    st.sampled_from([0.5, 0.7, 1.0]),
)


def covered(spans: tuple[Found, ...] | list[Found]) -> set[int]:
    return {place for span in spans for place in range(span.start, span.end)}


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([], ()),
        ([Found(3, 9, "PERSON", 0.7)], (Found(3, 9, "PERSON", 0.7),)),
        # in order, and side by side stays two
        ([Found(4, 8, "URL", 0.7), Found(0, 4, "PERSON", 0.7)], (Found(0, 4, "PERSON", 0.7), Found(4, 8, "URL", 0.7))),
        # the surer names it
        ([Found(0, 6, "PERSON", 0.7), Found(2, 4, "URL", 0.9)], (Found(0, 6, "URL", 0.9),)),
        # as sure: the longer names it, whichever comes first
        ([Found(0, 6, "PERSON", 0.7), Found(5, 8, "URL", 0.7)], (Found(0, 8, "PERSON", 0.7),)),
        ([Found(0, 3, "PERSON", 0.7), Found(2, 8, "URL", 0.7)], (Found(0, 8, "URL", 0.7),)),
        # a chain is one: the third is compared with the one that names, not with the length of the whole
        (
            [Found(0, 4, "AGE", 0.5), Found(3, 7, "URL", 0.9), Found(6, 12, "PERSON", 0.9)],
            (Found(0, 12, "PERSON", 0.9),),
        ),
        ([Found(0, 4, "URL", 0.9), Found(0, 4, "URL", 0.9)], (Found(0, 4, "URL", 0.9),)),
    ],
)
def test_spans_that_overlap_become_one(found: list[Found], expected: tuple[Found, ...]) -> None:
    assert united(found) == expected


@given(st.lists(SPANS, max_size=8))
def test_united_spans_are_in_order_apart_and_cover_what_was_found_and_no_more(found: list[Found]) -> None:
    result = united(found)
    assert all(left.end <= right.start for left, right in itertools.pairwise(result))
    assert covered(result) == covered(found)
    assert {span.entity for span in result} <= {span.entity for span in found}


@given(st.lists(SPANS, max_size=8))
def test_to_unite_again_changes_nothing_nor_does_the_order(found: list[Found]) -> None:
    result = united(found)
    assert united(result) == result
    assert [span[:2] for span in united(reversed(found))] == [span[:2] for span in result]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Jo Doe", "Jo Doe"),
        (" Jo Doe\n", "Jo Doe"),
        ('"Jo Doe",', "Jo Doe"),
        ("“Jo” «Doe»", "Jo” «Doe"),
        ("**Jo**", "Jo"),
        ("O'Neil", "O'Neil"),
        ("Inc.", "Inc."),
        (" ,;: ", None),
    ],
)
def test_blanks_and_loose_punctuation_at_the_ends_are_no_part_of_a_value(text: str, expected: str | None) -> None:
    whole = f"x{text}x"
    span = trimmed(whole, Found(1, 1 + len(text), "PERSON", 0.7))
    assert (span and whole[span.start : span.end]) == expected
    assert span is None or span[2:] == ("PERSON", 0.7)


@given(st.lists(SPANS, max_size=8), st.integers(0, 40), st.integers(0, 20))
def test_what_lies_within_two_places_is_counted_from_the_first(found: list[Found], start: int, length: int) -> None:
    spans = united(found)
    part = within(spans, start, start + length)
    assert {start + place for place in covered(part)} == covered(spans) & set(range(start, start + length))
    assert all(0 <= span.start < span.end <= length for span in part)


def test_a_span_over_two_pieces_is_in_both() -> None:
    spans = (Found(2, 8, "PERSON", 0.7),)
    assert within(spans, 0, 5) == (Found(2, 5, "PERSON", 0.7),)
    assert within(spans, 5, 10) == (Found(0, 3, "PERSON", 0.7),)
