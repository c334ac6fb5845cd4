"""How many texts a model reads at once: what it needs of memory follows their characters, not their number.

Never drops or changes a character.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

TEXTS_AT_ONCE = 256
CHARACTERS_AT_ONCE = 200_000  # at some 3 KB each
_UP_TO_A_BLANK = re.compile(r".*\s", re.DOTALL)


def in_batches(texts: Iterable[str]) -> Iterator[list[str]]:
    """The texts in order, at most so many and with so many characters at once; one that is longer comes alone."""
    batch: list[str] = []
    length = 0
    for text in texts:
        if batch and (len(batch) == TEXTS_AT_ONCE or length + len(text) > CHARACTERS_AT_ONCE):
            yield batch
            batch, length = [], 0
        batch.append(text)
        length += len(text)
    if batch:
        yield batch


def cut(text: str) -> Iterator[str]:
    """The text in parts that fit into a batch, each cut after a blank where there is one."""
    start = 0
    while len(text) - start > CHARACTERS_AT_ONCE:
        highest = start + CHARACTERS_AT_ONCE
        blank = _UP_TO_A_BLANK.match(text, start, highest)
        end = blank.end() if blank else highest
        yield text[start:end]
        start = end
    yield text[start:]
