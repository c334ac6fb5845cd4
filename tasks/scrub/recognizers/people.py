"""Titles before a name, and nationality, religion and political leaning by list."""

from __future__ import annotations

import re
from typing import Any

from tasks.scrub.recognizers.rules import Rule, RuleRecognizer, words
from tasks.scrub.words import DEMONYMS, POLITICAL, RELIGIONS

_TITLE = re.compile(
    r"\b(?:Mr|Mrs|Ms|Mx|Messrs|Mme|Mlle|Dr|Prof|Rev|Hon|Capt|Sgt|Lt|Col|Gen|Cpl|Maj|Sr|Sra|Fr)\b\.?(?=\s?[A-Z(]|\s?$|[,;:)])|"
    r"\b(?:Mr|Mrs|Ms|Miss|Dr|Prof)\b\.?(?=[\s,])|\b(?:mr|mrs|dr|prof)\b\.?(?= [a-z])|"
    r"\b(?:Miss|Sir|Lady|Lord|Dame|Professor|Doctor|Reverend|Captain|Sergeant|Colonel|Judge|Father|Sister|Madam|Mister|Herr|Frau|Monsieur|Madame|Se(?:ñ|n)or(?:a|ita)?|Sheikh|Rabbi|Imam|Pastor|President|Senator|Governor|Chancellor|Councillor|Officer|Detective|Inspector|Nurse|Coach|Prince|Princess|Queen|King)(?=\s[A-Z][a-z'’-]+)"
)
# Words that are also something else: only with a capital, and never alone at the start of a sentence.
_AMBIGUOUS = {"Pole", "Turk", "Dane", "Scot", "Swede", "Finn", "Lao", "Roma", "Liberal", "Conservative", "Labour", "Orthodox", "Greens", "Democratic", "Evangelical", "Zen", "Pagan", "Republican", "Democrat", "Poles", "Polish", "Turks", "Danes", "Swedes"}  # fmt: skip
_CERTAIN = frozenset({*DEMONYMS, *RELIGIONS, *POLITICAL} - _AMBIGUOUS)
# In any case where nothing else is spelled like it.
_ANY_CASE = frozenset(
    word.lower() for word in _CERTAIN if len(word) > 6 and word not in {"Persian", "Catalan", "centrist"}
)
_WORD = re.compile(r"[A-Za-z][A-Za-z'-]{2,}")
_SEVERAL = {word for word in _CERTAIN if " " in word}
_SEVERAL_WORDS = re.compile(rf"\b(?:{words(*_SEVERAL)})\b", re.IGNORECASE)
_AMBIGUOUS_WORD = re.compile(rf"(?<=[a-z,] )(?:{words(*_AMBIGUOUS)})\b")


def _is_listed(word: str) -> bool:
    return word in _CERTAIN or word.lower() in _ANY_CASE


def recognizers(language: str) -> list[Any]:
    """Of this family."""
    titles = [Rule("TITLE", _TITLE, 0.8)]
    groups = [
        Rule("NRP", _WORD, 0.7, _is_listed),
        Rule(
            "NRP",
            _SEVERAL_WORDS,
            0.75,
            needs=tuple(word.lower() for word in _SEVERAL),
        ),
        Rule("NRP", _AMBIGUOUS_WORD, 0.5, needs=tuple(word.lower() for word in _AMBIGUOUS)),
    ]
    return [
        RuleRecognizer("Titles", titles, needs=r"[A-Z]|\b(?:mr|mrs|dr|miss|prof)\b", language=language),
        RuleRecognizer("Groups of people", groups, needs=r"[A-Za-z]{3}", language=language),
    ]
