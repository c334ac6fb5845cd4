"""Near duplicates by MinHash and locality-sensitive hashing, each verified by its true similarity.

Never drops a row on the estimate alone, and never compares the words of a system message that many rows share.

Sources: A. Broder, "On the resemblance and containment of documents" (1997) for shingles and MinHash; J. Leskovec,
A. Rajaraman, J. Ullman, "Mining of Massive Datasets", chapter 3, for the banding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from tasks.ingest import normalise
from tasks.progress import report
from tasks.rows import Row

Shingles = npt.NDArray[np.uint64]

WORDS_A_SHINGLE = 3
PERMUTATIONS = 128
_ROWS_A_REPORT = 1000
# How likely a pair that is just as similar as the threshold may go unseen; what is wrongly proposed costs a comparison.
_MISSED = 1.0e-3
_SEED = 1


def near_duplicates(rows: Sequence[Row], order: Sequence[int], fixed: Sequence[bool], threshold: float) -> list[int]:
    """The rows that an earlier kept row resembles.

    Args:
        rows: all rows.
        order: indices of the rows to compare; of two that resemble each other, the later in this order goes.
        fixed: per row, whether it stays whatever it resembles.
        threshold: least Jaccard similarity of two rows' shingles, in (0, 1].

    Returns:
        Indices into `rows`.
    """
    from datasketch import MinHashLSH

    index = MinHashLSH(num_perm=PERMUTATIONS, params=bands(threshold))
    shingles = dict(zip(order, shingles_of([rows[i] for i in order]), strict=True))
    sketches = sketches_of(shingles[i] for i in order)
    found = []
    for done, (i, sketch) in enumerate(zip(order, sketches, strict=True), start=1):
        if not fixed[i] and any(jaccard(shingles[i], shingles[j]) >= threshold for j in index.query(sketch)):
            found.append(i)
        else:
            index.insert(i, sketch, check_duplication=False)
        if done % _ROWS_A_REPORT == 0:
            report(done, len(order), "rows", "near duplicates")
    return found


def sketches_of(shingles: Iterable[Shingles]) -> Iterator[Any]:
    """The MinHash of each row: 32 bits of a hash serve for it; the comparison that decides uses all 64."""
    from datasketch import MinHash

    low_bits = ((row >> np.uint64(32)).astype(np.uint32) for row in shingles)
    return iter(MinHash.generator(low_bits, num_perm=PERMUTATIONS, seed=_SEED, hashfunc=int))


def bands(threshold: float) -> tuple[int, int]:
    """Number of bands b and of rows in each r, so that a pair at the threshold s is missed at most once in 1,000.

    b r <= PERMUTATIONS, and r is the largest for which (1 - s^r)^b <= 0.001, since a larger one proposes fewer pairs.
    """
    choices = ((PERMUTATIONS // rows, rows) for rows in range(PERMUTATIONS, 0, -1))
    return next(((b, r) for b, r in choices if (1 - threshold**r) ** b <= _MISSED), (PERMUTATIONS, 1))


def jaccard(a: Shingles, b: Shingles) -> float:
    """Size of the intersection over size of the union of two sorted arrays of distinct values; 0 for two empty ones."""
    common = len(np.intersect1d(a, b, assume_unique=True))
    union = len(a) + len(b) - common
    return common / union if union else 0.0


def shingles_of(rows: Sequence[Row]) -> Iterator[Shingles]:
    """Per row the sorted, distinct 64-bit hashes of its shingles.

    A shingle is three words in a row, or a single word where the row has fewer than three. A system message that
    several rows share is no part of their words, since it would make any two of them alike; it only keeps them apart
    from rows under another one.
    """
    systems = Counter(_system(row) for row in rows)
    numbers = {"": 0}  # 0 is no word
    for row in rows:
        system = _system(row)
        shared = systems[system] > 1
        turns = row["messages"][:-1]
        text = "\n".join(turn["content"] for turn in turns if not (shared and turn["role"] == "system"))
        words = [numbers.setdefault(word, len(numbers)) for word in normalise(text, keep_digits=True).split()]
        under = numbers.setdefault(f"\0{system}", len(numbers)) if shared else 0
        yield _hashes(np.array(words, dtype=np.uint64), np.uint64(under))


def _system(row: Row) -> str:
    return "\n".join(message["content"] for message in row["messages"][:-1] if message["role"] == "system")


def _hashes(words: Shingles, under: np.uint64) -> Shingles:
    """Hash each shingle of word numbers by mixing in one word after the other (the finaliser of SplitMix64)."""
    length = WORDS_A_SHINGLE if len(words) >= WORDS_A_SHINGLE else 1
    count = len(words) - length + 1
    mixed = np.full(max(count, 0), under, dtype=np.uint64)
    for offset in range(length):
        mixed = _mix(mixed + words[offset : offset + count])
    return np.unique(mixed)


def _mix(values: Shingles) -> Shingles:
    """A bijection of 64-bit values that spreads neighbours (G. Steele et al., "Fast splittable PRNGs", 2014)."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
