"""Test rows that nearly stand among the training rows."""

from __future__ import annotations

from tasks.evaluate.leakage import Leak, leaks
from tasks.rows import Message, Row

TEXT = "I ordered a new debit card on the third of March and it still has not arrived, can you find out where it is?"
OTHER = "The app shows an error whenever I try to change the postal address of my savings account, please help me."


def row(name: str, text: str, system: str = "") -> Row:
    messages: list[Message] = [{"role": "user", "content": text}, {"role": "assistant", "content": "yes"}]
    if system:
        messages.insert(0, {"role": "system", "content": system})
    return {"id": name, "group": name, "messages": messages, "label": None, "source": "s", "meta": {}}


def test_the_same_question_in_training_is_a_leak_and_is_named() -> None:
    assert leaks([row("t1", OTHER), row("t2", TEXT)], [row("x", TEXT)], 0.9) == [Leak("x", "t2", 1.0)]


def test_a_question_with_a_word_more_is_one_too() -> None:
    (found,) = leaks([row("t", TEXT)], [row("x", f"Hello, {TEXT}")], 0.8)
    assert (found.test, found.train) == ("x", "t")
    assert 0.8 <= found.similarity < 1


def test_another_question_is_none() -> None:
    assert leaks([row("t", TEXT)], [row("x", OTHER)], 0.5) == []


def test_a_shared_system_message_makes_no_leak() -> None:
    system = "You are the assistant of a bank and answer with one label of this list, and with nothing else."
    train, test = row("t", TEXT, system), row("x", OTHER, system)
    assert leaks([train, row("t2", OTHER[::-1], system)], [test], 0.5) == []


def test_the_most_alike_stand_first_each_with_the_row_that_it_resembles_most() -> None:
    train = [row("near", f"{TEXT} Thanks a lot."), row("same", TEXT)]
    found = leaks(train, [row("b", f"{TEXT} Thanks a lot to you."), row("a", TEXT)], 0.7)
    assert [(leak.test, leak.train) for leak in found] == [("a", "same"), ("b", "near")]
    assert found[0].similarity > found[1].similarity


def test_test_rows_that_resemble_each_other_are_no_leak() -> None:
    assert leaks([row("t", OTHER)], [row("x", TEXT), row("y", TEXT)], 0.9) == []
