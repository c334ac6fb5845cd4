"""Cells and prompts as plain text. Never decides what becomes of a row."""

from __future__ import annotations

import datetime
import json
import re
import unicodedata


def normalise(text: str, *, keep_digits: bool = False) -> str:
    """The text with what makes no other question of it taken away: case, punctuation, spacing and, as a rule, digits.

    Compatibility forms are unified first (Unicode NFKC), every run of digits becomes `0`, every run of punctuation and
    white space one space. A text of nothing but punctuation stays as it is, so that such texts are not all equal.
    Digits are kept where a row may be dropped for being equal: `2 + 2` and `3 + 5` belong together, yet differ.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[\W_]+", " ", folded if keep_digits else re.sub(r"\d+", "0", folded)).strip()
    return words or folded


def text_of(value: object) -> str:
    """A cell as text: numbers as written, whole floats without `.0`, dates in ISO 8601, lists and objects as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)
    if isinstance(value, datetime.date | datetime.time):
        return value.isoformat()
    if isinstance(value, bool | dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


def is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float) and value != value)  # noqa: PLR0124 - only NaN differs from itself


def is_unicode(text: str) -> bool:
    """Whether the text has no half of a surrogate pair, which no UTF-8 file can hold."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
