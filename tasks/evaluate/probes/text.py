"""How an answer is read: without case, accents and dress. Pure, and never judges."""

from __future__ import annotations

import functools
import re
import unicodedata

# typographic quotes, the minus sign and the en dash
_QUOTES = str.maketrans("\u2018\u2019\u201c\u201d\u2212\u2013", "''\"\"--")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?|(?<![\w.])-?\.\d+")
_FENCE = re.compile(r"```[\w+-]*\n(.*?)(?:```|$)", re.DOTALL)
# "Sure, the answer is", "Here is the sentence:", "It prints"; a bare "Sure" stays.
_LEAD = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok|yes)[,.!:]*\s+)?"
    r"(?:here(?:'s| is| are)[^:\n]*:"
    r"|(?:the |my )?(?:final |correct |right )?(?:answer|result|output|word|value|reply)(?: is:?|:)|a:"
    r"|(?:it|this|the code|the line) (?:prints|outputs|returns):?)\s*",
    re.IGNORECASE,
)
_ITEM = re.compile(r"(?:^|\n)\s*\d+[.)]\s+(?=\S)|\n\s*\d+[.)]?\s*$")
_DRESS = " \t\r\n\"'`*_.!,;:"
# fmt: off
_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
# fmt: on
_SPELLED = re.compile(
    rf"\b(?:(?P<hundred>one hundred|a hundred)|(?P<tens>{'|'.join(_TENS)})(?:[- ](?P<ones>{'|'.join(_ONES[1:10])}))?"
    rf"|(?P<small>{'|'.join(_ONES)}))\b"
)


def fold(text: str) -> str:
    """The text without case and accents, its quotes and dashes plain, runs of space as one."""
    plain = unicodedata.normalize("NFKD", text.translate(_QUOTES))
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).casefold().split())


def words(text: str) -> list[str]:
    """The folded words: runs of letters and digits; "can't" is one, "re-do" and "re_do" are two."""
    return _WORD.findall(fold(text))


@functools.lru_cache(maxsize=4096)
def _term(term: str) -> re.Pattern[str]:
    folded = fold(term)
    before, after = (r"(?<!\w)" if folded[0].isalnum() else ""), (r"(?!\w)" if folded[-1].isalnum() else "")
    return re.compile(before + re.escape(folded) + after)


def has(term: str, text: str) -> bool:
    """Whether the term stands in the text as a whole word or words; a sign such as `#` anywhere."""
    return _term(term).search(fold(text)) is not None


def unfenced(text: str) -> str:
    """The inside of the first code fence, or the text; a fence that was cut off ends with the text."""
    found = _FENCE.search(text)
    return (found.group(1) if found else text).strip()


def core(text: str) -> str:
    """The answer without code fence, lead-in ("The answer is"), quotes, bold marks and closing punctuation.

    Spaces within stay. A text of nothing but punctuation stays whole.
    """
    inner = unfenced(text)
    inner = _LEAD.sub("", inner, count=1) if _LEAD.match(inner) else inner
    return inner.strip(_DRESS) or text.strip()


def numbers(text: str) -> list[float]:
    """The numbers in digits, without sign (9-2 is no minus two); without any, those in words up to a hundred."""
    plain = _unlisted(text.translate(_QUOTES))
    found = [abs(float(number.replace(",", ""))) for number in _NUMBER.findall(plain)]
    return found or [_spelled(match) for match in _SPELLED.finditer(fold(text))]


def _unlisted(text: str) -> str:
    """A numbered list without its numbers; the last may stand alone, where the answer was cut off."""
    return _ITEM.sub("\n", text) if re.match(r"\s*1[.)]\s+\S", text) else text


def _spelled(match: re.Match[str]) -> float:
    if match["hundred"]:
        return 100.0
    if match["small"]:
        return float(_ONES.index(match["small"]))
    return float(20 + 10 * _TENS.index(match["tens"]) + (_ONES.index(match["ones"]) if match["ones"] else 0))


def loops(text: str) -> bool:
    """Whether the text goes round in circles: nine words or more, of which fewer than 40 % differ."""
    all_words = words(text)
    return len(all_words) >= 9 and len(set(all_words)) < 0.4 * len(all_words)
