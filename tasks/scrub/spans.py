"""Where personal values stand in a text, one span a value. Never holds a value."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple


class Found(NamedTuple):
    """Characters `start` to `end` (exclusive) are an entity, with a score from 0 to 1."""

    start: int
    end: int
    entity: str
    score: float


def united(found: Iterable[Found]) -> tuple[Found, ...]:
    """Spans in order without overlaps: those that overlap become one over all they cover, named by the surest.

    Of two that are as sure the longer names it. What any of them found is covered, so nothing found stays readable.
    """
    result: list[Found] = []
    names: list[Found] = []  # the span that names each of the result
    for span in sorted(found, key=lambda span: (span.start, -span.end, span.entity)):
        if result and span.start < result[-1].end:
            best = max(names[-1], span, key=lambda span: (span.score, span.end - span.start, span.entity))
            names[-1] = best
            result[-1] = Found(result[-1].start, max(result[-1].end, span.end), best.entity, best.score)
        else:
            result.append(span)
            names.append(span)
    return tuple(result)


_LOOSE = ",;:|\"'“”‘’«»=*_"  # noqa: RUF001  # as texts have them


# Where a full stop at the end is the sentence's: an abbreviation may end a title, a name or a company.
_NO_FULL_STOP = frozenset(
    {
        "ACCOUNT_NUMBER",
        "AGE",
        "CREDIT_CARD",
        "DRIVER_LICENSE",
        "IBAN_CODE",
        "NATIONAL_ID",
        "NRP",
        "PASSPORT",
        "PHONE_NUMBER",
        "POSTCODE",
        "SECRET",
    }
)


def trimmed(text: str, span: Found) -> Found | None:
    """The span without blanks and loose punctuation at its ends; None if nothing is left."""
    start, end = span.start, span.end
    while start < end and (text[start].isspace() or text[start] in _LOOSE):
        start += 1
    if span.entity in _NO_FULL_STOP and end > start and text[end - 1] == ".":
        end -= 1
    while end > start and (text[end - 1].isspace() or text[end - 1] in _LOOSE):
        end -= 1
    return span._replace(start=start, end=end) if start < end else None


def within(found: Sequence[Found], start: int, end: int) -> tuple[Found, ...]:
    """What of the spans lies between two places, counted from the first."""
    return tuple(
        Found(max(span.start, start) - start, min(span.end, end) - start, span.entity, span.score)
        for span in found
        if max(span.start, start) < min(span.end, end)
    )
