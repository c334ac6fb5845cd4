"""Dates and times in figures and words, and ages. Weekdays and "last week" are found too; what is done with them is for the policy."""

from __future__ import annotations

import re
from typing import Any

from tasks.scrub.recognizers.rules import Rule, RuleRecognizer

_MONTH = r"(?:Jan(?:uary)?|Feb(?:ruary)?|Mar(?:ch)?|Apr(?:il)?|May|June?|July?|Aug(?:ust)?|Sept?(?:ember)?|Oct(?:ober)?|Nov(?:ember)?|Dec(?:ember)?)"
_SURE_MONTH = r"(?:January|February|April|June|July|September|October|November|December)"
_DAY = r"(?:0?[1-9]|[12]\d|3[01])(?:st|nd|rd|th)?"
_YEAR = r"(?:1[89]|20)\d{2}"
_WEEKDAY = r"(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?)"
_CLOCK = r"(?:[01]?\d|2[0-3])[:h][0-5]\d(?::[0-5]\d(?:[.,]\d{1,6})?)?(?:\s?(?:[ap]\.?m\b\.?|hrs?|o'clock))?(?:\s?(?:Z|UTC|GMT|BST|CET|CEST|EST|EDT|PST|PDT))?"
_FLAGS = re.IGNORECASE


def _compile(*patterns: str) -> list[re.Pattern[str]]:
    return [re.compile(pattern, _FLAGS) for pattern in patterns]


_IN_FIGURES = _compile(
    rf"(?<![\w.,/-])(?:{_YEAR})[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])(?:[T ]{_CLOCK}(?:[+-]\d\d:?\d\d)?)?(?![\d/-])",
    r"(?<![\w.,/-])(?:0?[1-9]|[12]\d|3[01])([-/])(?:0?[1-9]|[12]\d|3[01])\1(?:(?:1[89]|20)?\d{2})(?![\w/-]|[.,]\d)",
    r"(?<![\w.,/-])(?:0?[1-9]|[12]\d|3[01])\.(?:0?[1-9]|1[0-2])\.(?:1[89]|20)\d{2}(?![\w/-]|[.,]\d)",
    r"(?<![\w.,/-])(?:19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])(?!\w)",
)
_NAMED = _compile(
    rf"\b{_DAY}(?:\s?[-/.]?\s?(?:of\s)?){_MONTH}\b\.?(?:[-/,\s.]{{0,2}}(?:{_YEAR}|'?\d{{2}})\b)?",
    rf"\b{_MONTH}\.?\s{_DAY}\b(?!\s?(?:%|percent|per cent|units|GB|MB|kWh))(?:,?\s{_YEAR}\b)?",
    rf"\b{_MONTH}\.?,?\s(?:of\s)?(?:{_YEAR}|'\d{{2}})\b",
    rf"\b(?:early|late|mid)[- ](?:{_MONTH}|{_YEAR})\b",
    rf"\b{_SURE_MONTH}\b",
)
_WEEKDAYS = _compile(rf"\b(?:{_WEEKDAY}|(?<![A-Za-z])(?:Mon|Tue|Wed|Thu|Fri|Sat)\b(?=[,. ]\s?\d))")
_DAYS = _compile(
    r"\b(?:yesterday|today|tomorrow|tonight|day (?:before|after) (?:yesterday|tomorrow))\b",
)
_TURNS = _compile(
    r"\b(?:last|next|this|past)\s(?:week(?:end)?|month|year|night|morning|afternoon|evening|quarter|spring|summer|autumn|fall|winter|decade)\b",
)
_AGO = _compile(
    r"\b(?:(?:a|an|one|two|three|four|five|six|seven|eight|nine|ten|twelve|a few|a couple of|several|\d{1,3})\s(?:minute|hour|day|week|month|year|decade)s?\s(?:ago|earlier|later))\b",
)
_FROM_NOW = _compile(
    r"\bin\s(?:a|one|two|three|four|five|six|\d{1,2})\s(?:days?|weeks?|months?|years?)(?='? time|\b)",
)
_OTHERS = _compile(
    r"\b(?:the\s)?(?:19|20)\d0s\b|\b(?:the\s)?'?\d0s\b(?=\s|[.,]|$)",
    r"\b(?:the\s)?(?:[12]?1st|2?2nd|2?3rd|(?:[4-9]|1\d|2[04-9]|30)th|31st)(?=\s(?:of the month|of this|of last|of next|at\b|by\b)|[.,;!?]|$)",
)
_FEASTS = _compile(
    r"\b(?:Christmas|Easter|Boxing Day|New Year'?s?(?: Eve| Day)?|Thanksgiving|Halloween|Ramadan|Diwali|Good Friday|Bank Holiday Monday)(?:\s(?:Eve|Day|Sunday|Monday))?\b",
)
_TIMES = _compile(
    rf"(?<![\w.,:/£$€-]){_CLOCK}(?![\w:]|[.,]?\d)",
    r"(?<![\w.,:/£$€-])(?:1[0-2]|0?[1-9])(?:[:.][0-5]\d)?\s?[ap]\.?m\b\.?",
    r"(?<![\w.,£$€-])(?:[01]\d|2[0-3])[0-5]\d\s?(?:hrs|hours)\b",
)
_TOLD_TIMES = _compile(
    r"\b(?:noon|midnight|midday|(?:half past|quarter past|quarter to)\s\w+|\d{1,2}\so'?clock|(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve) o'?clock)\b",
)
_BARE_YEAR = re.compile(
    rf"(?i)\b(?:in|since|from|until|till|of|by|year|before|after|during|and|to|around|circa|born|ending)\s({_YEAR})\b(?!\s?(?:units|kWh|points|customers|people|%|GB|MB))|\(({_YEAR})\)"
)

_COUNT = r"(?:\d{1,3}|(?:twenty|thirty|forty|fifty|sixty|seventy|eighty|ninety)(?:[- ](?:one|two|three|four|five|six|seven|eight|nine))?|(?:thir|four|fif|six|seven|eigh|nine)teen|ten|eleven|twelve|one|two|three|four|five|six|seven|eight|nine)"
_AGES = _compile(
    rf"\b{_COUNT}[- ]?(?:years?|yrs?|months?|mos?)?[- ]?(?:old|of age)\b",
    rf"\b{_COUNT}[- ]?(?:y/?o|yrs?)\b",
    rf"\b{_COUNT}[- ]year[- ]olds?\b",
)
_AGE_AFTER = re.compile(
    rf"(?i)\b(?:aged?|age[d]? of|turn(?:s|ed|ing)?|age\W{{1,5}})\s?(?P<age>{_COUNT})\b(?!\s?(?:%|days|weeks|hours|minutes|GB|MB|kWh|/))"
)
_I_AM = re.compile(
    rf"(?i)\b(?:I am|I'm|he is|she is|he's|she's|he was|she was|just turned|is now)\s(?P<age>(?!one\b)(?:[1-9]\d|{_COUNT}))(?=\s*(?:[.,;!?)]|and\b|now\b|but\b|next\b|$))"
)
# an answer on its own: "How old are you?" "37.", and the figure after somebody's sex in a form
_ANSWERED = re.compile(rf"(?i)\bhow old\b[^?\n]{{0,40}}\?\W{{0,12}}(?:a\W{{1,3}})?(?P<age>{_COUNT})\b")
_AFTER_SEX = re.compile(r"(?i)\b(?:fe)?male\s*[,;|/]\s*(?P<age>[1-9]\d?)(?=\s*(?:[,;|]|$))")


def recognizers(language: str) -> list[Any]:
    """Of this family."""
    figures = [Rule("DATE_TIME", pattern, 0.85) for pattern in _IN_FIGURES + _TIMES]
    wanted = (
        (_NAMED, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec", "early", "late", "mid")),
        (_WEEKDAYS, ("day", *(day + mark for day in ("mon", "tue", "wed", "thu", "fri", "sat") for mark in ",. "))),
        (_DAYS, ("day", "night", "tomorrow")),
        (_TURNS, ("last", "next", "this", "past")),
        (_AGO, ("ago", "earlier", "later")),
        (_FROM_NOW, ("day", "week", "month", "year")),
        (_OTHERS, ("0s", "1st", "2nd", "3rd", *(f"{digit}th" for digit in range(10)))),
        (_FEASTS, ("christmas", "easter", "boxing", "new year", "thanksg", "hallow", "ramadan", "diwali", "good fri", "bank hol")),
    )  # fmt: skip
    text = [Rule("DATE_TIME", pattern, 0.8, needs=cues) for patterns, cues in wanted for pattern in patterns]
    text += [
        Rule("DATE_TIME", pattern, 0.85, needs=("noon", "midnight", "midday", "past", "quarter", "clock"))
        for pattern in _TOLD_TIMES
    ]
    text += [Rule("DATE_TIME", _BARE_YEAR, 0.6, None, group, ("18", "19", "20")) for group in (1, 2)]
    ages = [Rule("AGE", pattern, 0.85, needs=("old", "age", "yo", "y/o", "yr")) for pattern in _AGES]
    ages += [Rule("AGE", _AGE_AFTER, 0.75, None, "age", ("age", "turn"))]
    ages += [Rule("AGE", _I_AM, 0.6, None, "age", ("i am", "i'm", "he is", "he's", "he was", "turned", "is now"))]
    ages += [
        Rule("AGE", _ANSWERED, 0.75, None, "age", ("how old",)),
        Rule("AGE", _AFTER_SEX, 0.75, None, "age", ("male",)),
    ]
    return [
        RuleRecognizer("Dates in figures", figures, needs=r"\d", language=language),
        RuleRecognizer("Dates in words", text, language=language),
        RuleRecognizer("Ages", ages, language=language),
    ]
