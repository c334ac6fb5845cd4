"""Under which name answers are kept."""

from __future__ import annotations

from pathlib import Path

from tasks.evaluate.contestants import Contestant
from tasks.evaluate.pace import measured_on
from tasks.evaluate.panel import engine_of
from tests.builders import MODEL, QUANTIZATION

BASE = Contestant(Path("base"), None, MODEL, QUANTIZATION, "as_evaluated", "ab" * 32)


def test_answers_of_one_machine_are_known_and_those_of_another_are_given_again() -> None:
    here = engine_of(BASE, 8, (), measured_on(2, 32))
    assert engine_of(BASE, 8, (), measured_on(2, 32)) == here
    others = [measured_on(1, 32), measured_on(2, 8), "another CPU, 2 threads, batches of 32"]
    assert here not in {engine_of(BASE, 8, (), other) for other in others}


def test_who_answers_how_long_and_what_is_allowed_are_part_of_it() -> None:
    pace = measured_on(2, 32)
    tuned = BASE._replace(digest="cd" * 32)
    given = {engine_of(who, limit, of, pace) for who in (BASE, tuned) for limit in (4, 8) for of in ((), ("a",))}
    assert len(given) == 8
