"""The one shape of our recognisers: rules that run only where a text holds what they need."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from presidio_analyzer import AnalysisExplanation, LocalRecognizer, RecognizerResult


class Rule(NamedTuple):
    """An entity, the pattern that finds it, and how sure a find is.

    Attributes:
        check: whether a matched text is one after all: a checksum, a list, a range.
        group: the part of the match that is personal.
        needs: what a text must hold for the pattern to be tried; cheaper than the pattern.
    """

    entity: str
    pattern: re.Pattern[str]
    score: float
    check: Callable[[str], bool] | None = None
    group: int | str = 0
    needs: Callable[[str], object] | None = None


class RuleRecognizer(LocalRecognizer):  # type: ignore[misc]  # Presidio is untyped
    """Runs its rules over a text that `needs` matches; a text without an `@` costs one look for e-mail addresses.

    Finds of one recogniser may overlap: what is done with overlaps is decided once, over all finds.
    """

    def __init__(self, name: str, rules: Sequence[Rule], *, needs: str, language: str) -> None:
        self._rules = tuple(rules)
        self._needs = re.compile(needs).search
        entities = sorted({rule.entity for rule in rules})
        super().__init__(supported_entities=entities, name=name, supported_language=language)
        self._about = {
            rule: AnalysisExplanation(name, rule.score, pattern_name=rule.entity, pattern=rule.pattern.pattern)
            for rule in self._rules
        }
        self._origin = {RecognizerResult.RECOGNIZER_NAME_KEY: name, RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: self.id}

    def load(self) -> None:
        """Nothing to load."""

    def analyze(self, text: str, entities: Sequence[str], nlp_artifacts: Any = None) -> list[Any]:  # noqa: ARG002
        """Every match of every rule whose entity is asked for."""
        if not self._needs(text):
            return []
        return [
            RecognizerResult(
                entity_type=rule.entity,
                start=match.start(rule.group),
                end=match.end(rule.group),
                score=rule.score,
                analysis_explanation=self._about[rule],
                recognition_metadata=self._origin,
            )
            for rule in self._rules
            if rule.entity in entities and (rule.needs is None or rule.needs(text))
            for match in rule.pattern.finditer(text)
            if match.group(rule.group) and (rule.check is None or rule.check(match.group(rule.group)))
        ]


def needs(pattern: str) -> Callable[[str], object]:
    """For `Rule.needs`: whether the pattern stands somewhere in a text."""
    return re.compile(pattern).search


def words(*listed: str) -> str:
    """An alternation of literal words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(set(listed), key=lambda word: (-len(word), word)))
