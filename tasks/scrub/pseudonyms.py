"""What stands in the place of a personal value: typed placeholders, and keyed pseudonyms, stable on one machine.

Never derives a pseudonym without the secret key: a plain hash of a phone number is found by trying all of them.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from tasks.errors import StoreError

KEY_BYTES = 32
KEYED = frozenset({"hash", "pseudonym", "surrogate"})  # the operators that need the key
# 48 bits: a million values hold two with one hash once in 560 times; with 24 bits ten thousand hold three such pairs
_HASH_DIGITS = 12
# <PERSON>, <PERSON_1> for a pseudonym, <PERSON_3f9a1c07b2d4> for a hash
PLACEHOLDER = re.compile(rf"<[A-Z][A-Z_]*?(?:_[0-9a-f]{{{_HASH_DIGITS}}}|_\d+)?>")


def pseudonym(key: bytes, entity: str, value: str) -> str:
    """`<ENTITY_xxxxxxxxxxxx>`: the first 48 bits of HMAC-SHA256 (RFC 2104) over the entity and the value.

    Case and spacing of the value do not count, so that "Jo Doe" and "jo  doe" are one person.
    """
    return f"<{entity}_{digest_of_value(key, entity, value)[:_HASH_DIGITS]}>"


def digest_of_value(key: bytes, entity: str, value: str) -> str:
    """HMAC-SHA256 (RFC 2104, 64 hex digits) over the entity and the value, whose case and spacing do not count."""
    message = f"{entity}\0{' '.join(value.split()).casefold()}".encode()
    return hmac.new(key, message, hashlib.sha256).hexdigest()


@dataclass
class Numbering:
    """Which number a value has within a row or a group, so that one person keeps one name there."""

    numbers: dict[str, int] = field(default_factory=dict)
    highest: dict[str, int] = field(default_factory=dict)

    def of(self, entity: str, digest: str) -> int:
        """The value's number, from 1, in the order in which they appear."""
        known = f"{entity} {digest}"
        if known not in self.numbers:
            self.highest[entity] = self.numbers[known] = self.highest.get(entity, 0) + 1
        return self.numbers[known]


def read_or_make_key(path: Path) -> bytes:
    """The 32 secret bytes in `path`; made on first use, readable by the owner alone.

    Raises:
        StoreError: the file is not a key, or others may read it.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not path.exists():
        _make_key(path)
    if path.stat().st_mode & 0o077:
        raise StoreError(f"{path}: others may read this key; chmod 600 it, or delete it to get a new one")
    key = path.read_bytes()
    if len(key) != KEY_BYTES:
        raise StoreError(f"{path}: not a key of {KEY_BYTES} bytes; delete it to get a new one")
    return key


def _make_key(path: Path) -> None:
    """Write the key aside and link it into place: a second process reads a whole key or makes none."""
    aside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(aside)
    finally:
        aside.unlink()
