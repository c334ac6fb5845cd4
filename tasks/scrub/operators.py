"""What is put in the place of a personal value: Presidio's anonymizer with operators of ours.

Never keeps a value: what must be remembered within a row or a group is a keyed digest.
"""

from __future__ import annotations

import functools
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from presidio_anonymizer import AnonymizerEngine, OperatorConfig, RecognizerResult
from presidio_anonymizer.operators import Operator, OperatorType

from conf.schema import PiiPolicy
from tasks.scrub.pieces import Content, assemble
from tasks.scrub.pseudonyms import KEYED, Numbering, digest_of_value, pseudonym
from tasks.scrub.spans import Found, within
from tasks.scrub.synthetic import Synthesizer

# The field of made-up values that stands in for an entity; a placeholder where there is none.
_FIELDS = {
    "PERSON": "person",
    "TITLE": "title",
    "ORGANIZATION": "organization",
    "LOCATION": "city",
    "NRP": "nationality",
    "STREET_ADDRESS": "street_address",
    "POSTCODE": "postcode",
    "PHONE_NUMBER": "phone",
    "EMAIL_ADDRESS": "email",
    "URL": "url",
    "IP_ADDRESS": "ip",
    "MAC_ADDRESS": "mac",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "iban",
    "ACCOUNT_NUMBER": "bank_account",
    "NATIONAL_ID": "national_id",
    "DRIVER_LICENSE": "driver_license",
    "PASSPORT": "passport",
    "AGE": "age",
    "DATE_TIME": "date",
    "SECRET": "password",
    "CRYPTO": "crypto",
}


class Scrubbed(NamedTuple):
    """A text after scrubbing, the entities found in it (one name a find), and the entity that drops its row.

    Attributes:
        gone: from where to where something else stands now, in what was looked at of the text.
    """

    text: str
    entities: tuple[str, ...]
    drops: str | None
    gone: tuple[tuple[int, int], ...] = ()


class Pseudonym(Operator):  # type: ignore[misc]  # Presidio is untyped
    """`<PERSON_1>`: numbered within a row or a group."""

    def operate(self, text: str = "", params: Mapping[str, Any] | None = None) -> str:
        """The value's placeholder."""
        given = params or {}
        entity = str(given["entity_type"])
        return f"<{entity}_{given['numbering'].of(entity, digest_of_value(given['key'], entity, text))}>"

    def validate(self, params: Mapping[str, Any] | None = None) -> None:
        """Nothing that a policy could get wrong."""

    def operator_name(self) -> str:
        """Of the policy."""
        return "pseudonym"

    def operator_type(self) -> Any:
        """Presidio's kind."""
        return OperatorType.Anonymize


class Surrogate(Pseudonym):
    """A made-up value that follows from the key and the value: the same person is the same other person everywhere."""

    def operate(self, text: str = "", params: Mapping[str, Any] | None = None) -> str:
        """The value that stands in."""
        given = params or {}
        return _surrogate(given["key"], str(given["entity_type"]), " ".join(text.split()).casefold())

    def operator_name(self) -> str:
        """Of the policy."""
        return "surrogate"


class KeyedHash(Pseudonym):
    """`<PERSON_3f9a1c07b2d4>`: 48 bits of an HMAC over the entity and the value."""

    def operate(self, text: str = "", params: Mapping[str, Any] | None = None) -> str:
        """The value's pseudonym."""
        given = params or {}
        return pseudonym(given["key"], str(given["entity_type"]), text)

    def operator_name(self) -> str:
        """Of the policy; Presidio's own `hash` has no key."""
        return "keyed_hash"


@functools.lru_cache(maxsize=20_000)
def _surrogate(key: bytes, entity: str, value: str) -> str:
    if entity not in _FIELDS:
        return f"<{entity}>"
    seed = hmac.new(key, f"surrogate\0{entity}\0{value}".encode(), hashlib.sha256).digest()
    return Synthesizer(int.from_bytes(seed[:8])).value(_FIELDS[entity]).text


class Replacer:
    """Puts the operators of a policy to work.

    Args:
        policy: what is done with each entity.
        key: the secret of pseudonyms and surrogates; needed where an operator is one of KEYED.
    """

    def __init__(self, policy: PiiPolicy, key: bytes | None) -> None:
        operators = {"DENIED": "replace", **policy.entities}
        if key is None and KEYED & set(operators.values()):
            raise ValueError("an operator needs a key, and there is none")
        self._operators = operators
        self._key = key
        self._engine = AnonymizerEngine()
        for operator in (Pseudonym, Surrogate, KeyedHash):
            self._engine.add_anonymizer(operator)

    def scrub(self, content: Content, found: Sequence[Found], numbering: Numbering) -> Scrubbed:
        """The content with something else at each span that is not kept, piece by piece: JSON stays JSON.

        Args:
            content: what was looked at.
            found: what was found in all of it.
            numbering: of the row or group that it belongs to.
        """
        if not found:
            return Scrubbed(content.raw, (), None)
        done = [
            self.replace(
                content.seen[piece.seen_from : piece.seen_to], within(found, piece.seen_from, piece.seen_to), numbering
            )
            for piece in content.pieces
        ]
        return Scrubbed(
            assemble(content, [piece.text for piece in done]),
            tuple(entity for piece in done for entity in piece.entities),
            next((piece.drops for piece in done if piece.drops), None),
            tuple(
                (piece.seen_from + start, piece.seen_from + end)
                for piece, scrubbed in zip(content.pieces, done, strict=True)
                for start, end in scrubbed.gone
            ),
        )

    def replace(self, text: str, found: Sequence[Found], numbering: Numbering) -> Scrubbed:
        """The text with something else at each span that is not kept."""
        if not found:
            return Scrubbed(text, (), None)
        drops = next((span.entity for span in found if self._operators.get(span.entity) == "drop_row"), None)
        going = [span for span in found if self._operators.get(span.entity) != "keep"]
        entities = tuple(sorted(span.entity for span in found))
        if not going:
            return Scrubbed(text, entities, drops)
        gone = tuple((span.start, span.end) for span in going)
        if all(self._operators.get(span.entity, "replace") in {"replace", "drop_row"} for span in going):
            return Scrubbed(_with_placeholders(text, going), entities, drops, gone)
        given = {"key": self._key, "numbering": numbering}
        for span in going:  # in order of appearance; the engine works from the end of the text
            if self._key is not None and self._operators.get(span.entity) == "pseudonym":
                numbering.of(span.entity, digest_of_value(self._key, span.entity, text[span.start : span.end]))
        configured = {span.entity: OperatorConfig(self._named(span.entity), dict(given)) for span in going}
        results = [RecognizerResult(span.entity, span.start, span.end, span.score) for span in going]
        # the spans do not overlap any more, and two values side by side stay two
        outcome = self._engine.anonymize(text, results, configured, merge_entities_with_spaces=False)
        return Scrubbed(outcome.text, entities, drops, gone)

    def _named(self, entity: str) -> str:
        operator = self._operators.get(entity, "replace")
        return {"hash": "keyed_hash", "drop_row": "replace"}.get(operator, operator)


def _with_placeholders(text: str, going: Sequence[Found]) -> str:
    """What Presidio's `replace` gives, twenty times as fast: most texts need no more."""
    parts: list[str] = []
    end = 0
    for span in going:
        parts += [text[end : span.start], f"<{span.entity}>"]
        end = span.end
    return "".join([*parts, text[end:]])
