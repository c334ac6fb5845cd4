"""Parts of the test rows that are looked at apart: by label, length, source, language. Pure; no text leaves.

A name of a slice is a label of the recipe's closed set, a place in the order of lengths, a source, or a language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from conf.schema import Slice

QUARTERS = ("shortest quarter", "second quarter", "third quarter", "longest quarter")
UNNAMED = "(none)"
MANY = 200  # labels; more are no slices but texts


def slices_of(
    kinds: Sequence[Slice], labels: Sequence[str | None], prompts: Sequence[str], sources: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The slice of each row, by kind; a kind under which all rows are alike, or too many differ, is left out."""
    found: dict[str, tuple[str, ...]] = {}
    for kind in kinds:
        if kind == "label":
            names = tuple(label if label is not None else UNNAMED for label in labels)
        elif kind == "length":
            names = _by_length(prompts)
        elif kind == "source":
            names = tuple(sources)
        else:
            names = _by_language(prompts)
        if 1 < len(set(names)) <= MANY:
            found[kind] = names
    return found


def rows_by_slice(names: Sequence[str], least: int) -> dict[str, list[int]]:
    """The rows of each slice that has at least so many, by name."""
    counts = Counter(names)
    return {
        name: [row for row, own in enumerate(names) if own == name] for name in sorted(counts) if counts[name] >= least
    }


def _by_length(prompts: Sequence[str]) -> tuple[str, ...]:
    lengths = np.array([len(prompt) for prompt in prompts])
    bounds = np.quantile(lengths, (0.25, 0.5, 0.75))
    return tuple(QUARTERS[int(place)] for place in np.searchsorted(bounds, lengths, side="left"))


def _by_language(prompts: Sequence[str]) -> tuple[str, ...]:
    from tasks.check.rules import language_detector

    language_of = language_detector()
    return tuple(language_of(prompt) or UNNAMED for prompt in prompts)
