"""Planted canaries: made-up identities in copies of real rows' texts, scrubbed as rows are, to measure what is left.

Never writes a planted text anywhere; what leaves here are counts by entity.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from tasks.results import Recall
from tasks.scrub.labelled import Span
from tasks.scrub.pieces import Content, assemble, read
from tasks.scrub.synthetic import FIELDS, Synthesizer

# Around a value, as people write: with a word that says what it is, and without.
_CARRIERS = {
    "PERSON": ("My name is {}.", "Please ask for {} at the desk.", "Thanks, {}", "{} told me so on the phone."),
    "TITLE": ("Regards, {} Weber",),
    "ORGANIZATION": ("I work at {}.", "{} sent me a letter about it."),
    "LOCATION": ("I live in {}.", "We moved to {} meanwhile."),
    "STREET_ADDRESS": ("My address is {}.", "Please deliver to {} instead."),
    "POSTCODE": ("The postcode is {}.", "postcode {}"),
    "PHONE_NUMBER": ("Call me on {}.", "My mobile: {}", "You can reach me at {} after work."),
    "EMAIL_ADDRESS": ("Write to {} please.", "e-mail: {}"),
    "URL": ("It is all on {} as well.",),
    "IP_ADDRESS": ("My router has {} now.",),
    "MAC_ADDRESS": ("The device is {}.",),
    "CREDIT_CARD": ("My card {} was charged.", "card number {}"),
    "IBAN_CODE": ("Refund it to {}.", "IBAN: {}"),
    "ACCOUNT_NUMBER": ("My account number is {}.", "customer no. {}"),
    "NATIONAL_ID": ("My tax id is {}.", "National insurance number: {}"),
    "DRIVER_LICENSE": ("My driving licence number is {}.",),
    "PASSPORT": ("My passport number is {}.", "passport no: {}"),
    "AGE": ("I am {}.",),
    "DATE_TIME": ("I was born on {}.", "It happened on {}."),
    "NRP": ("I am {}.", "She is {} too."),
    "SECRET": ("My password is {}", "api key: {}"),
    "CRYPTO": ("Send it to {}.",),
}
_OF_ENTITY: dict[str, list[str]] = {}
for _name, (_entity, _make) in FIELDS.items():
    if _entity is not None:
        _OF_ENTITY.setdefault(_entity, []).append(_name)


class Planted(NamedTuple):
    """A text with made-up values in it, and where they stand in what is looked at of it."""

    content: Content
    spans: tuple[Span, ...]


def plant(texts: Sequence[str], entities: Iterable[str], seed: int) -> list[Planted]:
    """A copy of each text with two values in it, every entity in turn; the values trained no model of ours.

    In a JSON text they stand in one of its values, and it stays JSON; where it has none to hold them, or a text is
    empty, there are none. Entities that no made-up value stands for are left out.
    """
    rng, values = random.Random(seed), Synthesizer(seed, held_out=True)
    known = [entity for entity in sorted(entities) if entity in _CARRIERS and entity in _OF_ENTITY]
    planted = []
    for number, text in enumerate(texts):
        content, spans = read(text), list[Span]()
        if known and content.pieces:
            parts = [content.seen[piece.seen_from : piece.seen_to] for piece in content.pieces]
            which = rng.randrange(len(parts))
            two = [known[(2 * number + place) % len(known)] for place in (0, 1)]
            parts[which], spans = _with_values(parts[which], two, values, rng)
            content = read(assemble(content, parts))
            spans = _moved(spans, content.pieces[which].seen_from)
        planted.append(Planted(content, tuple(sorted(spans))))
    return planted


def _with_values(text: str, entities: Iterable[str], values: Synthesizer, rng: random.Random) -> tuple[str, list[Span]]:
    """The text with a value of each of the entities before or after all that stands there, and where they stand."""
    spans: list[Span] = []
    for entity in entities:
        value = values.value(rng.choice(_OF_ENTITY[entity])).text
        before, after = rng.choice(_CARRIERS[entity]).split("{}")
        if rng.random() < 0.5:
            spans = _moved(spans, len(before) + len(value) + len(after) + 1)
            start, text = len(before), f"{before}{value}{after} {text}"
        else:
            start, text = len(text) + 1 + len(before), f"{text} {before}{value}{after}"
        spans.append(Span(start, start + len(value), entity))
    return text, spans


def _moved(spans: Iterable[Span], by: int) -> list[Span]:
    return [Span(span.start + by, span.end + by, span.entity) for span in spans]


def recall(
    planted: Sequence[Planted], scrub: Callable[[Sequence[Content]], Iterable[Iterable[tuple[int, int]]]]
) -> tuple[Recall, ...]:
    """How many of the planted values are gone, by entity: of a value that is, no letter or digit can still be read.

    Args:
        planted: as `plant` gives them.
        scrub: from where to where something else stands now, in what is looked at of each text.
    """
    total, gone = Counter[str](), Counter[str]()
    for (content, spans), places in zip(planted, scrub([text.content for text in planted]), strict=True):
        hidden = {place for start, end in places for place in range(start, end)}
        for span in spans:
            total[span.entity] += 1
            gone[span.entity] += all(i in hidden for i in range(span.start, span.end) if content.seen[i].isalnum())
    return tuple(Recall(entity=entity, planted=total[entity], found=gone[entity]) for entity in sorted(total))
