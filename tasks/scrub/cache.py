"""Spans that were found before, by the keyed digest of their text: no text is looked at twice, in whatever run.

Never holds a text: digests of short texts could be guessed, so they are keyed with the secret of this machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from tasks.errors import StoreError
from tasks.scrub.spans import Found

_DIGEST_BYTES = 16
_ASKED_AT_ONCE = 500
_OF_OTHER_ENGINES = 4


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


def open_database(file: Path, *tables: str) -> sqlite3.Connection:
    """A file that two runs may use at once and a kill leaves whole, in a folder for its owner alone.

    Raises:
        StoreError: it is no such file.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # of two that change the journal of a new file at once SQLite tells one "locked" without waiting
    with FileLock(file.parent / ".lock"):
        try:
            connection = sqlite3.connect(file, timeout=60, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")  # what a lost last batch held is made again
            for table in tables:
                connection.execute(table)
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{file}: not a usable cache ({error}); delete it") from error
        os.utime(file)  # one that is only read is in use too
        _forget_the_oldest(file.parent, file)
    return connection


@contextmanager
def all_or_nothing(connection: sqlite3.Connection) -> Iterator[sqlite3.Cursor]:
    """What is written within stands whole or not at all, and nobody else writes meanwhile."""
    with closing(connection.cursor()) as cursor:
        cursor.execute("BEGIN IMMEDIATE")
        try:
            yield cursor
        except BaseException:
            cursor.execute("ROLLBACK")
            raise
        cursor.execute("COMMIT")


def _forget_the_oldest(folder: Path, current: Path) -> None:
    """Of files for other ways of looking the four newest stay."""
    others = [(changed, file) for file in folder.glob("*.sqlite") if file != current and (changed := _changed(file))]
    for _, file in sorted(others, reverse=True)[_OF_OTHER_ENGINES:]:
        for suffix in ("", "-wal", "-shm"):
            file.with_name(file.name + suffix).unlink(missing_ok=True)


def _changed(file: Path) -> float | None:
    """When it was last used; None if another run has just removed it."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return None
