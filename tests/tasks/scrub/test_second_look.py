"""The second look: what it sees, what it leaves alone, and that it says how much and never what."""

from __future__ import annotations

import pytest

from tasks.scrub.second_look import look_again

ALL = ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "SECRET", "PERSON")


@pytest.mark.parametrize(
    ("text", "entity"),
    [
        ("Write to jo.doe@example.org please", "EMAIL_ADDRESS"),
        ("Call me on +44 20 7946 0958 tonight", "PHONE_NUMBER"),
        ("card 4111 1111 1111 1111 was charged", "CREDIT_CARD"),
        ("refund to GB33 BUKB 2020 1555 5555 55", "IBAN_CODE"),
        ("the key is AKIAIOSFODNN7EXAMPLE", "SECRET"),
        ("Yesterday Margaret Whitfield called again about the bill.", "PERSON"),
    ],
)
def test_a_value_that_scrubbing_left_is_counted(text: str, entity: str) -> None:
    assert look_again([text], ALL) == {entity: 1}


@pytest.mark.parametrize(
    "text",
    [
        "<PERSON> called <PERSON_1> from <PHONE_NUMBER>, see <EMAIL_ADDRESS_3f9a1c07b2d4>",
        "order 48213, 12.50 euros, version 4.11.2, 30 GB",
        "The Router Was Replaced And The Line Is Fine",
        "4111 1111 1111 1112 has a wrong check digit",
        "",
    ],
)
def test_placeholders_and_harmless_numbers_are_left_alone(text: str) -> None:
    assert look_again([text], ALL).total() == 0


def test_only_what_was_to_be_gone_is_looked_for() -> None:
    assert look_again(["jo@example.org, +44 20 7946 0958"], ["PHONE_NUMBER"]) == {"PHONE_NUMBER": 1}


@pytest.mark.parametrize(
    ("text", "addresses"),
    [
        ("jo@example.org,ann.b@example.net;<c-d@example.com>", 3),
        ("mailto:jo+x@mail.example.org.", 1),
        ("a@b@example.org", 1),
        ("jo@localhost, @home, x @ example.org, jo@ example.org", 0),
        ("x" * 200_000 + " " + "a@" * 50_000 + "b." * 50_000, 0),
    ],
)
def test_every_address_counts_once_and_what_is_none_does_not(text: str, addresses: int) -> None:
    assert look_again([text], ["EMAIL_ADDRESS"])["EMAIL_ADDRESS"] == addresses


def test_a_value_that_a_model_says_in_every_answer_counts_each_time() -> None:
    assert look_again(["jo@example.org"] * 5, ALL) == {"EMAIL_ADDRESS": 5}


def test_a_text_that_is_too_long_for_the_model_is_read_in_parts() -> None:
    text = ("x" * 4_000 + "\n") * 255 + "Yesterday Margaret Whitfield called again about the bill."
    assert len(text) > 1_000_000
    assert look_again([text], ["PERSON"]) == {"PERSON": 1}
