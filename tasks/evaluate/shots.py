"""Worked examples before the question: the base with the best prompt, which a training has to beat.

Examples come from training rows and are picked on validation rows. Never sees a test row.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import TypeVar

from tasks.rows import Message, Row

T = TypeVar("T")

# Of each label's rows the shortest so many, among which the seed chooses: a prompt is paid for in every row.
SHORTEST = 0.25


def with_shots(messages: Sequence[Message], shots: Sequence[Sequence[Message]]) -> list[Message]:
    """The messages of a row with worked examples before its first question, after its system message.

    Chat templates write them as turns; the plain style (`tasks.train.prompts`) as a question, a line break, its answer,
    a line break, and so on. An example's own system message is left out, so that all rows still begin alike.
    """
    system = [message for message in messages if message["role"] == "system"]
    turns = [message for shot in shots for message in shot if message["role"] != "system"]
    return [*system, *turns, *(message for message in messages if message["role"] != "system")]


def choose_shots(rows: Sequence[Row], k: int, seed: int) -> list[Row]:
    """So many different training rows: every label once before one comes twice, and short ones.

    Labels and rows stand in the order of a hash of their own, so that a row more moves few others: answers to a prompt
    that stays the same are known (`tasks.evaluate.cache`).

    Args:
        rows: training rows, in any order; those without a label are taken as of one label.
        k: how many; fewer where there are no more.
        seed: which labels come first, and which of the short rows of a label.
    """
    labels: dict[str, list[Row]] = {}
    for row in sorted({row["id"]: row for row in rows}.values(), key=lambda row: (_length(row), row["id"])):
        labels.setdefault(row["label"] or "", []).append(row)
    piles = [_short_first(labels[label], k, seed) for label in sorted(labels, key=lambda label: _drawn(seed, label))]
    dealt = (row for rounds in zip_longest(*piles) for row in rounds if row is not None)
    return [row for row, _ in zip(dealt, range(k), strict=False)]


def best_of(candidates: Sequence[T], score: Callable[[T], float]) -> int:
    """The place of the candidate that scores highest, the first of equals: put the cheapest first.

    Args:
        candidates: at least one, e.g. sets of examples, none of them included.
        score: what a candidate is worth on validation rows, never on test rows; a nan is worth nothing.
    """
    scores = [score(candidate) for candidate in candidates]
    return max(range(len(scores)), key=lambda place: (scores[place] == scores[place], scores[place], -place))


def _length(row: Row) -> int:
    """Characters of a row without its system message, which is not repeated."""
    return sum(len(message["content"]) for message in row["messages"] if message["role"] != "system")


def _short_first(rows: list[Row], k: int, seed: int) -> list[Row]:
    """The shortest rows of a label as they are drawn, then the others; `rows` stand by length."""
    some = max(k, round(SHORTEST * len(rows)))
    return [*sorted(rows[:some], key=lambda row: _drawn(seed, row["id"])), *rows[some:]]


def _drawn(seed: int, name: str) -> bytes:
    """Where a label or a row stands in the draw of this seed."""
    return hashlib.blake2b(f"{seed} {name}".encode(), digest_size=16).digest()
