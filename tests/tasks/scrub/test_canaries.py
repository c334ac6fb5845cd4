"""Planted canaries: what stands where, the same for a seed, and counted as found only where nothing can be read."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

import pytest

from conf.load import load_pii_policy
from tasks.results import Recall
from tasks.scrub.canaries import plant, recall
from tasks.scrub.finder import Finder
from tasks.scrub.pieces import Content
from tasks.scrub.synthetic import held_out
from tasks.scrub.words import COUNTRIES
from tests.tasks.scrub.small import printed_by_two_processes

ENTITIES = tuple(load_pii_policy("pii-strict").entities)
TEXTS = [f"The router shows a red light, case {number}." for number in range(120)]


def test_each_copy_holds_its_row_and_two_values_where_the_spans_say() -> None:
    for text, made in zip(TEXTS, plant(TEXTS, ENTITIES, seed=1), strict=True):
        assert text in made.content.raw == made.content.seen
        first, second = made.spans
        assert first.end < second.start
        assert all(made.content.seen[span.start : span.end].strip() for span in made.spans)


def test_a_json_text_stays_json_with_the_values_in_one_of_its_own() -> None:
    answer = '{"reply": "It is \\"late\\".", "tags": ["router", "caf\\u00e9"], "priority": 2}'
    planted = plant([answer] * 60, ENTITIES, seed=1)
    for made in planted:
        read = json.loads(made.content.raw)
        texts = [read["reply"], *read["tags"]]
        assert (read["priority"], len(texts)) == (2, 3)
        values = [made.content.seen[span.start : span.end] for span in made.spans]
        assert [all(value in text for value in values) for text in texts].count(True) == 1
    assert len({tuple(json.loads(made.content.raw)["tags"]) for made in planted}) > 10  # not always the first


@pytest.mark.parametrize("text", ["", '{"priority": 2, "open": true}', "[]"])
def test_a_text_that_can_hold_none_stays_as_it_is(text: str) -> None:
    (made,) = plant([text], ENTITIES, seed=1)
    assert (made.content.raw, made.spans) == (text, ())


def test_every_entity_of_a_policy_has_its_turn() -> None:
    counts = Counter(span.entity for made in plant(TEXTS, ENTITIES, seed=1) for span in made.spans)
    assert set(counts) == set(ENTITIES)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_equal_seeds_plant_equal_values_and_others_others() -> None:
    assert plant(TEXTS, ENTITIES, seed=1) == plant(TEXTS, ENTITIES, seed=1)
    assert plant(TEXTS, ENTITIES, seed=1) != plant(TEXTS, ENTITIES, seed=2)


def test_they_are_the_same_in_every_process() -> None:
    script = (
        "from tasks.scrub.canaries import plant\n"
        "print([made.content.raw for made in plant(['It is late.'] * 300, ['LOCATION', 'PERSON'], seed=1)])"
    )
    outputs = printed_by_two_processes(script)
    assert len(outputs[0]) > 3_000
    assert outputs[0] == outputs[1]


def test_what_trained_the_ner_is_not_planted() -> None:
    planted = [made.content.seen[s.start : s.end] for made in plant(TEXTS, ["LOCATION"], seed=1) for s in made.spans]
    countries = [value for value in planted if value.casefold() in {country.casefold() for country in COUNTRIES}]
    assert len(countries) > 20
    assert all(held_out(country) for country in countries)


def test_an_entity_that_nothing_stands_for_is_left_out() -> None:
    assert plant(["A text."], ["MY_OWN_CODE"], seed=1)[0].spans == ()


def test_a_value_of_which_a_letter_can_be_read_was_not_found() -> None:
    planted = plant(["A text."], ["PERSON"], seed=4)

    def all_but_the_last_letter(contents: Sequence[Content]) -> list[list[tuple[int, int]]]:
        first, second = planted[0].spans
        return [[(first.start, first.end), (second.start, second.end - 1)] for _ in contents]

    assert recall(planted, all_but_the_last_letter) == (Recall(entity="PERSON", planted=2, found=1),)


def test_the_policy_that_ships_finds_nearly_all_of_them() -> None:
    policy = load_pii_policy("pii")
    find = Finder(policy).find

    def places(contents: Sequence[Content]) -> list[list[tuple[int, int]]]:
        return [[(span.start, span.end) for span in found] for found in find([content.seen for content in contents])]

    found = recall(plant(TEXTS, policy.entities, seed=7), places)
    assert sum(of.planted for of in found) == 240
    assert sum(of.found for of in found) / 240 > 0.9


def test_a_policy_that_looks_for_nothing_finds_none() -> None:
    found = recall(plant(TEXTS, ENTITIES, seed=7), lambda contents: [() for _ in contents])
    assert {of.found for of in found} == {0}
