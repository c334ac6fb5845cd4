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
        needs: of these a text must hold one, in any case, for the pattern to be tried: some ten times cheaper. In
            small letters; none where the pattern is always tried.
    """

    entity: str
    pattern: re.Pattern[str]
    score: float
    check: Callable[[str], bool] | None = None
    group: int | str = 0
    needs: tuple[str, ...] = ()


class RuleRecognizer(LocalRecognizer):  # type: ignore[misc]  # Presidio is untyped
    """Runs its rules over a text in which `needs` matches: one without an `@` costs one look for e-mail addresses.

    Finds of one recogniser may overlap: what is done with overlaps is decided once, over all finds.
    """

    def __init__(self, name: str, rules: Sequence[Rule], *, needs: str = "", language: str) -> None:
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
        lowered = text.lower()
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
            if rule.entity in entities and (not rule.needs or any(word in lowered for word in rule.needs))
            for match in rule.pattern.finditer(text)
            if match.group(rule.group) and (rule.check is None or rule.check(match.group(rule.group)))
        ]


def words(*listed: str) -> str:
    """An alternation of literal words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(set(listed), key=lambda word: (-len(word), word)))
