"""Presidio set up as a recipe says: which recognisers look, and what is put in the place of what they find.

Never downloads a model or a list, never logs a text, and never looks for an entity that the recipe does not name.
"""

from __future__ import annotations

import difflib
import functools
import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from conf.schema import Pii
from tasks.errors import ModelError, RecipeError
from tasks.scrub.pseudonyms import pseudonym
from tasks.scrub.streets import LOWER_CASE, NUMBER_FIRST, NUMBER_LAST

BATCH_TEXTS = 64
# Above the 0.85 that spaCy's entities get, so that "High Street" is no person; below a verified checksum.
_STREET_SCORE = 0.9
# Presidio gives a bare postcode 0.1, which no sensible threshold lets pass.
_POSTCODE_SCORE = 0.6
# What Presidio's own pattern leaves out, by ISO/IEC 7812 issuer ranges; the Luhn sum then decides, as for the others.
_CARDS = (
    ("Mastercard, 2221 to 2720", r"\b2[2-7]\d{2}(?:[- ]?\d{4}){3}\b"),
    ("Visa and Maestro of 19 digits", r"\b[4-6]\d{3}(?:[- ]?\d{4}){3}[- ]?\d{3}\b"),
    ("JCB of 15 digits", r"\b(?:2131|1800)[- ]?\d{4}[- ]?\d{4}[- ]?\d{3}\b"),
)
_CARD_SCORE = 0.3


class Finding(NamedTuple):
    """A text after scrubbing, the entities found in it (one name a find), and the entity that drops its row."""

    text: str
    entities: tuple[str, ...]
    drops: str | None


Scrubber = Callable[[Sequence[str]], list[Finding]]


def build_scrubber(pii: Pii, key: bytes | None) -> Scrubber:
    """A function that scrubs texts, one finding a text in the same order.

    Args:
        pii: what to look for and what to do with it.
        key: the secret of the pseudonyms; needed where an operator is `hash`.

    Raises:
        ModelError: the spaCy pipeline is not installed.
        RecipeError: no recogniser finds an entity that the recipe names, in its language.
    """
    _keep_quiet()
    analyzer = _analyzer(pii.spacy_model, pii.language)
    _refuse_unknown_entities(pii, analyzer.get_supported_entities(pii.language))
    from presidio_analyzer import BatchAnalyzerEngine

    batch = BatchAnalyzerEngine(analyzer)
    put_in_place = _replacer(pii, key)

    def scrub(texts: Sequence[str]) -> list[Finding]:
        if not pii.entities:  # Presidio takes an empty list for "look for everything"
            return [Finding(text, (), None) for text in texts]
        found = batch.analyze_iterator(
            texts,
            language=pii.language,
            batch_size=BATCH_TEXTS,
            entities=list(pii.entities),
            score_threshold=pii.score_threshold,
            allow_list=list(pii.allow_list),
        )
        return [put_in_place(text, results) for text, results in zip(texts, found, strict=True)]

    return scrub


def _replacer(pii: Pii, key: bytes | None) -> Callable[[str, list[Any]], Finding]:
    """A function from a text and what Presidio found in it to the finding."""
    from presidio_anonymizer import AnonymizerEngine, ConflictResolutionStrategy, OperatorConfig

    engine = AnonymizerEngine()
    operators = {entity: OperatorConfig("replace") for entity in pii.entities}
    for entity in _with_operator(pii, "hash"):
        if key is None:
            raise ValueError("an entity is to be hashed, and there is no key")
        operators[entity] = OperatorConfig("custom", {"lambda": functools.partial(pseudonym, key, entity)})
    dropping = _with_operator(pii, "drop_row")
    kept = _with_operator(pii, "keep")

    def put_in_place(text: str, results: list[Any]) -> Finding:
        names = {result.entity_type for result in results}
        drops = next((entity for entity in dropping if entity in names), None)
        # what is kept must not shield what is not: an e-mail address within a kept name still goes
        replaceable = [result for result in results if result.entity_type not in kept]
        left = tuple(
            sorted(
                result.entity_type
                for result in results
                if result.entity_type in kept and not any(result.intersects(other) for other in replaceable)
            )
        )
        if not replaceable:
            return Finding(text, left, drops)
        outcome = engine.anonymize(
            text,
            replaceable,
            operators,
            conflict_resolution=ConflictResolutionStrategy.REMOVE_INTERSECTIONS,
        )
        return Finding(outcome.text, tuple(sorted(item.entity_type for item in outcome.items)) + left, drops)

    return put_in_place


def _with_operator(pii: Pii, operator: str) -> tuple[str, ...]:
    return tuple(entity for entity, chosen in pii.entities.items() if chosen == operator)


def _refuse_unknown_entities(pii: Pii, supported: Iterable[str]) -> None:
    known = sorted(supported)
    problems = []
    for entity in pii.entities:
        if entity not in known:
            near = difflib.get_close_matches(entity, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            problems.append(f"pii.entities.{entity}: no recogniser finds it in language {pii.language}{hint}")
    if problems:
        raise RecipeError(*problems)


@functools.lru_cache(maxsize=2)
def _analyzer(spacy_model: str, language: str) -> Any:
    """Presidio's engine over an installed spaCy pipeline, with its default recognisers and ours."""
    import spacy
    import tldextract

    # Checked here because Presidio would download what is missing.
    if not (spacy.util.is_package(spacy_model) or (Path(spacy_model) / "config.cfg").is_file()):
        raise ModelError(
            f"pii.spacy_model: {spacy_model} is not installed; install it with pip, or name a spaCy pipeline that is"
        )
    # The e-mail recogniser asks tldextract, which would fetch publicsuffix.org; its own copy of the list will do.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    pipeline = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": spacy_model}]}
    analyzer = AnalyzerEngine(
        nlp_engine=NlpEngineProvider(nlp_configuration=pipeline).create_engine(), supported_languages=[language]
    )
    for recogniser in _recognisers(language):
        analyzer.registry.add_recognizer(recogniser)
    return analyzer


def _recognisers(language: str) -> list[Any]:
    """What Presidio ships switched off or not at all."""
    from presidio_analyzer import Pattern, PatternRecognizer
    from presidio_analyzer.predefined_recognizers import CreditCardRecognizer, UkNinoRecognizer, UkPostcodeRecognizer

    # with Presidio's own pattern, as its recogniser comes in a few languages only
    cards = [*CreditCardRecognizer.PATTERNS, *(Pattern(name, regex, _CARD_SCORE) for name, regex in _CARDS)]
    postcodes = [Pattern(p.name, p.regex, _POSTCODE_SCORE) for p in UkPostcodeRecognizer.PATTERNS]
    streets = [
        Pattern(name, regex, _STREET_SCORE)
        for name, regex in (("number first", NUMBER_FIRST), ("lower case", LOWER_CASE), ("number last", NUMBER_LAST))
    ]
    return [
        CreditCardRecognizer(patterns=cards, supported_language=language, name="NewerCreditCardRecognizer"),
        UkPostcodeRecognizer(patterns=postcodes, supported_language=language),
        UkNinoRecognizer(supported_language=language),
        PatternRecognizer(
            supported_entity="STREET_ADDRESS",
            name="StreetAddressRecognizer",
            supported_language=language,
            patterns=streets,
            global_regex_flags=0,  # capitals tell "12 High Street" from "3 days down the road"
        ),
    ]


def _keep_quiet() -> None:
    """Presidio's loggers may carry spans and decisions, and warn about every recogniser of another language."""
    for name in ("presidio-analyzer", "presidio-anonymizer", "decision_process"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
