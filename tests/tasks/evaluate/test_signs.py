"""Answers that decline, and answers that go in circles."""

from __future__ import annotations

import pytest

from tasks.evaluate.signs import refuses, repeats


@pytest.mark.parametrize(
    "answer",
    [
        "I cannot help with that.",
        "I'm sorry, but I can't assist with this request.",
        "Sorry, I can\u2019t provide instructions for that.",
        "I am unable to answer this question.",
        "I'm not able to share personal data.",
        "As an AI language model, I do not have opinions.",
        "Unfortunately, I must decline.",
        "I won't be able to fulfil this.",
        "I'm not comfortable with that.",
        "That request goes against my guidelines.",
        "Es tut mir leid, aber ich kann Ihnen dabei leider nicht helfen.",
        "Ich darf diese Anfrage nicht beantworten.",
        "Je ne peux pas vous aider avec cela.",
        "Lo siento, no puedo ayudarte con eso.",
    ],
)
def test_a_text_that_declines_is_a_refusal(answer: str) -> None:
    assert refuses(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "card_lost",
        "I cannot find your order; please send its number.",
        "You can't pay by cheque, but by card.",
        "I can help you with that.",
        "We won't charge you for it.",
        "Ich kann Ihre Bestellung nicht finden.",
        "Je ne trouve pas votre commande.",
        "Your order left on Monday. " * 12 + "I cannot help you with the other one.",
        "The assistant cannot be reached by telephone.",
    ],
)
def test_a_text_that_says_no_to_something_else_is_no_refusal(answer: str) -> None:
    assert not refuses(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "no " * 8,
        "I am sorry to hear that. " * 3,
        "Thank you for your message. We will look into it. " * 4,
        "ha" * 40,
        "請稍候請稍候" * 8,
        "lamp, lamp, lamp, lamp, lamp, lamp, lamp, lamp",
    ],
)
def test_a_text_that_goes_in_circles_repeats(answer: str) -> None:
    assert repeats(answer)


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "no no no",
        "Thank you for your message. We will look into it.",
        "Thank you for your message. We will look into it and write to you tomorrow. Thank you for your message.",
        '[{"item": "lamp", "amount": 2}, {"item": "chair", "amount": 4}, {"item": "table", "amount": 1}]',
        "-" * 20,
        "https://example.org/a/very/long/address/without/any/space/in/it",
    ],
)
def test_a_text_that_says_something_twice_does_not_repeat(answer: str) -> None:
    assert not repeats(answer)
