"""What is kept of the answers: one that holds a personal value is counted, and not written down."""

from __future__ import annotations

from pathlib import Path

import pytest

from conf.schema import Evaluation
from tasks.evaluate.contestants import Ring
from tasks.evaluate.measure import WITHHELD, ArmResult, personal_values, shown
from tasks.evaluate.metrics.shared import Scores
from tasks.evaluate.panel import Asked
from tasks.evaluate.statistics import mean_of

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
