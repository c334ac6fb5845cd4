"""Test rows whose question, or nearly the same, stands among the training rows: what a model may know by heart.

The checks drop near duplicates before the split; a test set of its own, a lower threshold, or a switched-off check can
let them through, and then the test says little. Never quotes a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tasks.rows import Row


class Leak(NamedTuple):
    """A test row, the training row that it resembles most, and their Jaccard similarity."""

    test: str
    train: str
    similarity: float


def leaks(train: Sequence[Row], test: Sequence[Row], threshold: float) -> list[Leak]:
    """The test rows that resemble a training row, the most alike first.

    Args:
        threshold: least Jaccard similarity of two rows' shingles of three words, in (0, 1].
    """
    from datasketch import MinHash, MinHashLSH

    from tasks.check.near import PERMUTATIONS, bands, jaccard, shingles_of, sketches_of

    rows = [*train, *test]
    shingles = list(shingles_of(rows))
    sketches: list[MinHash] = list(sketches_of(shingles))
    index = MinHashLSH(num_perm=PERMUTATIONS, params=bands(threshold))
    for number in range(len(train)):
        index.insert(number, sketches[number], check_duplication=False)
    found = []
    for number in range(len(train), len(rows)):
        near = ((jaccard(shingles[number], shingles[other]), other) for other in index.query(sketches[number]))
        similarity, other = max(near, default=(0.0, -1))
        if similarity >= threshold:
            found.append(Leak(rows[number]["id"], rows[other]["id"], round(similarity, 4)))
    return sorted(found, key=lambda leak: (-leak.similarity, leak.test))
