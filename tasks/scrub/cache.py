"""Spans that were found before, by the keyed digest of their text: no text is looked at twice, in whatever run.

Never holds a text: digests of short texts could be guessed, so they are keyed with the secret of this machine.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from tasks.database import all_or_nothing, open_database
from tasks.scrub.spans import Found

_DIGEST_BYTES = 16
_ASKED_AT_ONCE = 500
OF_OTHER_ENGINES = 4  # files for other ways of looking that stay, the newest


class SpanCache:
    """A file of SQLite, which two runs may use at once and a kill leaves whole; a million texts take some 60 MB.

    Args:
        folder: where the files lie, one for each way of looking.
        engine: digest of all that decides what is found: policy, code, model, libraries.
        key: the machine's secret.
    """

    def __init__(self, folder: Path, engine: str, key: bytes) -> None:
        self._key = key
        self._connection = open_database(
            folder / f"{engine[:32]}.sqlite",
            "CREATE TABLE IF NOT EXISTS found (text BLOB PRIMARY KEY, spans TEXT) WITHOUT ROWID",
            others=OF_OTHER_ENGINES,
        )

    def digest(self, text: str) -> bytes:
        """What stands for a text."""
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES, key=self._key).digest()

    def known(self, digests: Sequence[bytes]) -> dict[bytes, tuple[Found, ...]]:
        """The spans of those digests that were looked at before."""
        found: dict[bytes, tuple[Found, ...]] = {}
        for start in range(0, len(digests), _ASKED_AT_ONCE):
            some = digests[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(f"SELECT text, spans FROM found WHERE text IN ({marks})", some)  # noqa: S608
            for digest, spans in rows:
                found[digest] = tuple(Found(*span) for span in json.loads(spans)) if spans else ()
        return found

    def add(self, found: Mapping[bytes, Sequence[Found]]) -> None:
        """Keep what was found, all or nothing."""
        rows = [(digest, json.dumps(spans, separators=(",", ":")) if spans else "") for digest, spans in found.items()]
        with all_or_nothing(self._connection) as cursor:
            cursor.executemany("INSERT OR REPLACE INTO found VALUES (?, ?)", rows)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()
