"""Signs of a bad answer that the answer alone shows: it declines, or it goes round in circles. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence

# An answer declines at once or not at all: "I could not help your colleague either" further down is no refusal.
_BEGINNING = 240  # characters

_CANNOT = "|".join(
    (
        "can ?not",
        "can't",
        "could not",
        "couldn't",
        "will not",
        "won't",
        "(?:am|'m) (?:not able|unable|not allowed|not permitted) to",
        "refuse to",
    )
)
_DO = (
    "help|assist|answer|comply|provid|giv|shar|fulfil|generat|creat|writ|discuss|support|do (?:that|this)|engag|"
    "participat|produc|offer|advis|respond"
)
# Ours, from how assistants decline. A verb of helping must follow, so that "I cannot find your order" is an answer.
_REFUSAL = re.compile(
    "|".join(
        (
            rf"\bi ?(?:{_CANNOT})(?: \w+){{0,3}}? (?:{_DO})",
            r"\b(?:i|we) (?:must|have to|need to)(?: \w+)? decline\b",
            r"\bi(?:'m| am) not comfortable\b",
            r"\bas an? (?:ai|(?:large )?language model|artificial intelligence)\b[^.!?]*"
            r"\b(?:can ?not|can't|unable|not able|won't|do not|don't)\b",
            r"\b(?:request|question|topic)\b[^.!?]* (?:goes|is) (?:against|outside) (?:my|our)\b",
            r"\bich (?:kann|darf|möchte|werde) (?:\w+ ){0,5}?nicht (?:\w+ ){0,3}?"
            r"(?:helfen|weiterhelfen|beantworten|unterstützen|geben|erstellen|bereitstellen)\b",
            r"\bje ne (?:peux|suis) pas (?:\w+ ){0,4}?(?:aider|répondre|fournir|donner|assister|créer)\b",
            r"\bno puedo (?:\w+ ){0,3}?(?:ayudar|responder|proporcionar|dar|asistir|crear)",
        )
    )
)

_GRAM = 3  # words
_LEAST_WORDS = 8  # in fewer nothing can be said to go in circles
_CHARACTER_GRAM = 8
_LEAST_CHARACTERS = 40
REPEATED_SHARE = 0.5


def refuses(answer: str) -> bool:
    """Whether the answer begins by declining; English, German, French and Spanish."""
    beginning = " ".join(answer[: 2 * _BEGINNING].replace("\u2019", "'").casefold().split())
    return _REFUSAL.search(beginning[:_BEGINNING]) is not None


def repeats(answer: str) -> bool:
    """Whether more than half of the answer's runs of three words stood in it before.

    A text of few words and many characters, such as one word that never ends or a script without spaces, is looked at
    in runs of eight characters.
    """
    words = answer.casefold().split()
    if len(words) >= _LEAST_WORDS:
        return _repeated(words, _GRAM) > REPEATED_SHARE
    characters = "".join(words)
    return len(characters) >= _LEAST_CHARACTERS and _repeated(characters, _CHARACTER_GRAM) > REPEATED_SHARE


def _repeated(units: Sequence[str], size: int) -> float:
    """The share of the runs of so many units that stood before."""
    runs = [tuple(units[start : start + size]) for start in range(len(units) - size + 1)]
    return 1 - len(set(runs)) / len(runs)
