"""Caches in files of SQLite, which two runs may use at once and a kill leaves whole. Never knows what they hold."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from filelock import FileLock

from tasks.errors import StoreError


def open_database(file: Path, *tables: str, others: int, unused_seconds: float = 0) -> sqlite3.Connection:
    """A cache in a folder for its owner alone; of the other files in it some are forgotten.

    Args:
        file: made where it is not there.
        tables: statements that make what is missing.
        others: so many files of the folder stay, the newest.
        unused_seconds: older ones stay too, if somebody opened them since.

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
        _forget(file, others, time.time() - unused_seconds)
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


def _forget(current: Path, others: int, since: float) -> None:
    """Of the other files in the folder the newest stay, and all that were used since then."""
    used = [
        (last, file)
        for file in current.parent.glob("*.sqlite")
        if file != current and (last := _last_used(file)) is not None
    ]
    for last, file in sorted(used, reverse=True)[others:]:
        if last <= since:
            for suffix in ("", "-wal", "-shm"):
                file.with_name(file.name + suffix).unlink(missing_ok=True)


def _last_used(file: Path) -> float | None:
    """When it was opened last; None if somebody has just removed it."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return None
