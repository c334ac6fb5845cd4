"""How much of what matters in the reference stands in the answer: the share of its longer words and numbers.

Name it in a recipe under `evaluation.custom_metrics`, and in a gate like any other metric. A file here has one function
`score(answer, expected)` that gives a number between the ends of `RANGE`; the metric is its mean over the test rows.
Without a `RANGE` they are 0 and 1; `RANGE = None` says that there are no such two, as of a length, and what is outside
stops the evaluation. How sure the mean is follows from the worst value that could have come, seen or not. Use the
standard library alone and read nothing: the file's digest is part of the evaluation's key, what it would read is not.
"""

from __future__ import annotations

import re

RANGE = (0, 1)
_SHORTEST = 5  # letters: below it most words are articles, pronouns and prepositions
_KEYWORD = re.compile(rf"\d[\d.,:/-]*\d|\d|\w{{{_SHORTEST},}}")


def score(answer: str, expected: str) -> float:
    """Share of the reference's keywords that the answer has, 0 to 1; 1 where the reference has none."""
    wanted = set(_KEYWORD.findall(expected.casefold()))
    found = set(_KEYWORD.findall(answer.casefold()))
    return len(wanted & found) / len(wanted) if wanted else 1.0
