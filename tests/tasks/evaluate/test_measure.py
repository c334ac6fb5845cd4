"""What answers hold of personal values: those that hold one are counted, and not written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.schema import Evaluation
from tasks.evaluate.contestants import Ring
from tasks.evaluate.generate import Answers
from tasks.evaluate.measure import WITHHELD, ArmResult, Held, measure, personal_values, shown
from tasks.evaluate.metrics.shared import Scores
from tasks.evaluate.noise import noise_of
from tasks.evaluate.panel import Asked
from tasks.evaluate.statistics import mean_of, scale
from tests.builders import make_rows

ANSWERS = ["write to jo@example.org", "write to help@acme.com", "it is on its way", "order 1234567"]
GONE = ("EMAIL_ADDRESS", "PHONE_NUMBER", "PERSON")


@pytest.mark.parametrize(
    ("allowed", "kept"),
    [
        ((), [WITHHELD, WITHHELD, *ANSWERS[2:]]),
        (("help@acme.com",), [WITHHELD, *ANSWERS[1:]]),
    ],
)
def test_an_answer_that_surely_holds_a_personal_value_is_counted_and_not_kept(
    allowed: tuple[str, ...], kept: list[str]
) -> None:
    counts = personal_values(ANSWERS, GONE, allowed)
    assert [count > 0 for count in counts[:3]] == [text == WITHHELD for text in kept[:3]]
    scores = Scores({}, (False,) * 4, {"second_look": mean_of([1000.0 * count for count in counts])})
    asked = Asked(Evaluation(task="chat"), GONE, allowed, Path(), "engine", Ring(1), None)  # type: ignore[arg-type]
    assert shown(ArmResult(ANSWERS, scores, [None] * 4), asked) == kept


def test_a_second_look_counts_answers_whose_share_has_ends_however_many_values_stand_in_one() -> None:
    texts = ["jo@example.org, al@example.org, ed@example.org", *["it is on its way"] * 9]
    answers = Answers([[1]] * 10, [True] * 10, [0.1] * 10, [1] * 10, 1.0)
    asked = Asked(Evaluation(task="chat"), GONE, (), Path(), "engine", Ring(1), None)  # type: ignore[arg-type]
    scores = measure(Held(make_rows(10), ()), texts, answers, asked).scores
    assert scores.metrics["second_look"] == 100.0
    assert scale(scores.statistics["second_look"]) == (0.0, 1000.0)
    low, high = noise_of(scores.statistics["second_look"]).interval(0.95)
    assert (low, high) == pytest.approx((2.5, 445.0), abs=15)  # one of ten, by Clopper and Pearson


@pytest.mark.parametrize(("limit", "most"), [(None, 16.0), (40, 40.0)])  # the recipe's, or that of the champion
def test_answers_that_are_all_of_one_length_say_how_sure_that_is(limit: int | None, most: float) -> None:
    answers = Answers([[1, 2]] * 100, [True] * 100, [0.1] * 100, [1] * 100, 1.0)
    section = Evaluation(task="chat", max_new_tokens=16)
    asked = Asked(section, (), (), Path(), "engine", Ring(1), None)  # type: ignore[arg-type]
    scores = measure(Held(make_rows(100), ()), ["yes sir"] * 100, answers, asked, limit).scores
    length = scores.statistics["generated_tokens_per_row"]
    assert (scores.metrics["generated_tokens_per_row"], scale(length)) == (3.0, (0.0, most))
    noise = noise_of(length)
    assert not noise.is_unknown
    assert noise.against_max(8)[0] < 0.05
    assert noise.against_max(3.01)[0] > 0.05  # a hundred rows prove no such thing
