"""Finds personal values in texts as a policy says: which engine looks, in which language, and how sure it must be.

Never logs a text, and returns places alone.
"""

from __future__ import annotations

import difflib
import re
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from typing import Any

from conf.schema import PiiPolicy
from tasks.errors import RecipeError
from tasks.scrub.engine import analyze, build_analyzer
from tasks.scrub.pieces import whole
from tasks.scrub.spans import Found, trimmed, united

DENIED = "DENIED"


class Finder:
    """Presidio as a policy sets it up.

    Args:
        policy: what to look for, with what.

    Raises:
        ModelError: a model that the policy names is not installed; nothing is ever downloaded.
        RecipeError: no recogniser finds an entity that the policy names, or a file of recognisers cannot be used.
    """

    def __init__(self, policy: PiiPolicy) -> None:
        self._policy = policy
        patterns = tuple(file.text for file in policy.recognizers)
        self._analyzers = {
            language: build_analyzer(policy.nlp_engine, model, language, patterns, frozenset(policy.entities))
            for language, model in policy.models.items()
        }
        supported = {e for language, a in self._analyzers.items() for e in a.get_supported_entities(language)}
        _refuse_unknown_entities(policy, supported | ({DENIED} if policy.deny_list else set()))
        self._entities = {
            language: [entity for entity in policy.entities if entity in analyzer.get_supported_entities(language)]
            for language, analyzer in self._analyzers.items()
        }
        self._language_of = _language_of(tuple(policy.models))
        self._allowed = {_plain(text) for text in policy.allow_list}
        self._denied = _any_of(policy.deny_list)

    def find(self, texts: Sequence[str]) -> list[tuple[Found, ...]]:
        """The spans of each text, in order and without overlaps, whatever is done with them later."""
        found: list[tuple[Found, ...]] = [()] * len(texts)
        for language, numbers in self._by_language(texts).items():
            some = [whole(texts[number]) for number in numbers]
            with closing(self._results(some, language)) as results:
                for number, text, result in zip(numbers, some, results, strict=True):
                    found[number] = self._settled(text, result)
        return found

    def _results(self, texts: Sequence[str], language: str) -> Generator[list[Any]]:
        """What Presidio finds in each text."""
        asked = self._entities[language]
        if asked:
            yield from analyze(self._analyzers[language], texts, language, asked)
        else:  # Presidio takes an empty list for "look for everything"
            yield from ([] for _ in texts)

    def _by_language(self, texts: Sequence[str]) -> dict[str, list[int]]:
        """Which texts are looked at in which language; like lengths together, which makes fuller batches."""
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for number in sorted(range(len(texts)), key=lambda number: (len(texts[number]), texts[number])):
            numbers[self._language_of(texts[number])].append(number)
        return numbers

    def _settled(self, text: str, results: Iterable[Any]) -> tuple[Found, ...]:
        """What is sure enough and not allowed, and what is denied. What is kept must not shield what is not."""
        policy = self._policy
        kept: list[Found] = []
        going: list[Found] = []
        for result in results:
            if result.score < policy.score_thresholds.get(result.entity_type, policy.score_threshold):
                continue
            span = trimmed(text, Found(result.start, result.end, result.entity_type, round(result.score, 2)))
            if span is None or _plain(text[span.start : span.end]) in self._allowed:
                continue
            (kept if policy.entities.get(span.entity) == "keep" else going).append(span)
        going += [Found(*match.span(), DENIED, 1.0) for match in self._denied(text)]
        whole = united(going)
        alone = [span for span in united(kept) if not any(s.start < span.end and s.end > span.start for s in whole)]
        return tuple(sorted((*whole, *alone)))


def _plain(text: str) -> str:
    return " ".join(text.split()).casefold()


def _any_of(texts: Sequence[str]) -> Callable[[str], Iterable[re.Match[str]]]:
    """A function that finds each of the texts as whole words, in any case."""
    if not texts:
        return lambda _text: ()
    listed = "|".join(re.escape(text) for text in sorted(texts, key=len, reverse=True))
    pattern = re.compile(rf"(?i)(?<!\w)(?:{listed})(?!\w)")
    return pattern.finditer


def _language_of(languages: tuple[str, ...]) -> Callable[[str], str]:
    """A function that says in which of the languages a text is written."""
    if len(languages) == 1:
        return lambda _text: languages[0]
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE)
    identifier.set_languages(list(languages))
    return lambda text: str(identifier.classify(text)[0])


def _refuse_unknown_entities(policy: PiiPolicy, supported: Iterable[str]) -> None:
    known = sorted(supported)
    problems = []
    for entity in policy.entities:
        if entity not in known:
            near = difflib.get_close_matches(entity, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(known)}"
            problems.append(f"pii.entities.{entity}: no recogniser finds it in {', '.join(policy.models)}{hint}")
    if problems:
        raise RecipeError(*problems)
