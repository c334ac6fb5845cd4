"""What a text says that can be looked for in another: numbers, dates, and names of several words. Pure.

Dates are read as ISO 8601, with dots or slashes, and with English months; names where names alone are capitalised,
so in German it takes two nouns in a row for one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

_MONTHS = "jan feb mar apr may jun jul aug sep oct nov dec".split()
_MONTH = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|"
    r"oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\b\.?"
)
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_DATES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"\b(?P<year>\d{4})-(?P<month>[01]?\d)-(?P<day>[0-3]?\d)(?!\d)",
        r"\b(?P<day>[0-3]?\d)(?P<between>[./])(?P<month>[0-3]?\d)(?P=between)(?P<year>\d{4}|\d{2})\b",
        rf"\b{_DAY} (?:of )?{_MONTH}(?:,? (?P<year>\d{{4}}))?\b",
        rf"\b{_MONTH} {_DAY}\b(?:,? (?P<year>\d{{4}}))?\b",
    )
)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_LIST_MARK = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)
_NUMBER_WORDS = "zero one two three four five six seven eight nine ten eleven twelve".split()
_WORD = re.compile(r"[^\W\d_](?:[\w'’&-]*\w)?")
# What often opens a sentence, and so is capitalised without being part of a name.
_OPENERS = frozenset(
    "a an the this that these those my your our his her its their i we you he she it they to in on at by for from with "
    "as if when while after before since until because although though and or but so yes no not please thank thanks "
    "dear hello hi sorry sure what who where why how which there here all any some each every both once then also is "
    "are was were do does did have has had can could will would should may might must let contact call visit see use "
    "try".split()
)


class Claims(NamedTuple):
    """What a text says.

    Attributes:
        numbers: of each number what it may stand for: `1.234` is both 1.234 and 1234.
        dates: of each its day, month and year, as far as given, sorted, since their order differs by country.
        names: two or more capitalised words in a row, in lower case.
    """

    numbers: tuple[frozenset[str], ...]
    dates: tuple[tuple[int, ...], ...]
    names: tuple[tuple[str, ...], ...]


def claims_of(text: str) -> Claims:
    """The numbers outside dates and list marks, the dates, and the names."""
    dates = list(_dates(text))
    rest = text
    for start, end, _ in dates:
        rest = rest[:start] + " " * (end - start) + rest[end:]
    rest = _LIST_MARK.sub(lambda match: " " * len(match.group()), rest)
    return Claims(
        numbers=tuple(readings(match.group()) for match in _NUMBER.finditer(rest)),
        dates=tuple(parts for _, _, parts in dates),
        names=tuple(_names(text)),
    )


class Source:
    """Texts in which claims are looked for."""

    def __init__(self, *texts: str) -> None:
        text = "\n".join(texts)
        self._text = _squeezed(text)
        self.words = frozenset(words_of(text))
        self._numbers = frozenset(number for match in _NUMBER.finditer(text) for number in readings(match.group()))
        self._dates = [parts for _, _, parts in _dates(text)]

    def supports(self, text: str) -> bool:
        """Whether every number, date and name of the text stands here too, in whatever way it is written."""
        claims = claims_of(text)
        return (
            all(self.has_number(number) for number in claims.numbers)
            and all(self._has_date(date) for date in claims.dates)
            and all(self.words.issuperset(name) for name in claims.names)
        )

    def holds(self, text: str) -> bool:
        """Whether the text itself stands here, whatever its case and spacing."""
        return _squeezed(text) in self._text

    def has_number(self, number: frozenset[str]) -> bool:
        """Whether a number of here may stand for the same, or is that number in words up to twelve."""
        in_words = {word for value, word in enumerate(_NUMBER_WORDS) if str(value) in number}
        return bool(number & self._numbers or in_words & self.words)

    def _has_date(self, date: tuple[int, ...]) -> bool:
        return any(_within(date, known) for known in self._dates)


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without the mark of possession."""
    return [_bare(match.group()) for match in _WORD.finditer(text)]


def readings(number: str) -> frozenset[str]:
    """What a number may stand for, with a comma or a dot for the fraction, or for thousands."""
    found = set()
    for thousands, fraction in ((",", "."), (".", ",")):
        plain = number.replace(thousands, "") if _grouped(number, thousands, fraction) else number
        try:
            value = Decimal(plain.replace(fraction, "."))
        except InvalidOperation:
            continue
        found.add(f"{value.normalize():f}")
    return frozenset(found or {number})


def _grouped(number: str, thousands: str, fraction: str) -> bool:
    whole = number.partition(fraction)[0]
    first, *groups = whole.split(thousands)
    return bool(groups) and 1 <= len(first) <= 3 and all(len(group) == 3 for group in groups)


def _dates(text: str) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Where dates stand, and their parts; a place is read once."""
    taken: list[tuple[int, int]] = []
    for pattern in _DATES:
        for match in pattern.finditer(text):
            if any(match.start() < end and start < match.end() for start, end in taken):
                continue
            taken.append(match.span())
            yield (*match.span(), _parts(match.groupdict()))


def _parts(groups: dict[str, str | None]) -> tuple[int, ...]:
    month = (groups["month"] or "")[:3].lower()
    numbers = [_MONTHS.index(month) + 1 if month in _MONTHS else int(month), int(groups["day"] or 0)]
    year = groups.get("year")
    if year:
        numbers.append(int(year) if len(year) == 4 else 2000 + int(year))
    return tuple(sorted(numbers))


def _within(date: tuple[int, ...], known: tuple[int, ...]) -> bool:
    left = list(known)
    for part in date:
        if part not in left:
            return False
        left.remove(part)
    return True


def _names(text: str) -> Iterator[tuple[str, ...]]:
    """Runs of two or more capitalised words with nothing but a space between, without what opens a sentence."""
    run: list[str] = []
    end = -1
    for match in _WORD.finditer(text):
        word = match.group()
        follows = text[end : match.start()] == " "
        if not follows or not word[0].isupper():
            yield from _name(run)
            run = []
        if word[0].isupper():
            run.append(_bare(word))
        end = match.end()
    yield from _name(run)


def _name(run: list[str]) -> Iterator[tuple[str, ...]]:
    while run and run[0] in _OPENERS:
        run = run[1:]
    if len(run) >= 2:
        yield tuple(run)


def _squeezed(text: str) -> str:
    return " ".join(text.split()).casefold()


def _bare(word: str) -> str:
    return re.sub(r"['’]s$", "", word.casefold())
