"""Answers that are SQL queries, run on a small SQLite database in memory that only the recipe's script fills.

Never lets an answer write, attach a file, set a pragma, load an extension, or run without end.
"""

from __future__ import annotations

import functools
import logging
import math
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from tasks.errors import DataError, RecipeError
from tasks.evaluate.metrics.shared import Scores, figures
from tasks.evaluate.statistics import share_of

MAX_STEPS = 5_000_000  # of SQLite's machine: about a second; a step takes the same on each machine, a second does not
MAX_SECONDS = 10.0  # where a single step is dear
MAX_MEMORY = 500_000_000  # bytes more than before: a sort of long values that a query makes up
MAX_ROWS = 10_000  # of a result
MAX_BYTES = 100_000  # of a value or of a query
RELATIVE, ABSOLUTE = 1e-6, 1e-9  # how far apart numbers are the same
_STEPS_AT_ONCE = 5_000
_DIGITS = 6  # that put rows in the same order although their numbers differ a little

# What a query needs. Everything else is refused: writing, ATTACH, pragmas, and what a later SQLite may add.
_READING = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE, sqlite3.SQLITE_FUNCTION})
# What the script of a database may not do: reach outside it.
_OUTSIDE = frozenset({sqlite3.SQLITE_ATTACH, sqlite3.SQLITE_DETACH})
_HARMLESS_PRAGMAS = frozenset({"foreign_keys", "encoding"})  # `.dump` writes the first
_REFUSED = (sqlite3.Error, sqlite3.Warning, ValueError, OverflowError)

Result = list[tuple[Any, ...]]


def sql(answers: Sequence[str], expected: Sequence[str], fixture: str) -> Scores:
    """SQL in SQLite's dialect. A row is right when its query has the result of the expected one on the fixture.

    Names of columns do not matter, their order does; the order of rows only where the expected query has an outermost
    ORDER BY. Numbers are the same within 1e-6 of the larger, 1 and 1.0 too; texts to the letter.

    Args:
        answers: what the arm wrote.
        expected: the reference queries.
        fixture: a script that makes and fills the tables.

    Raises:
        DataError: a reference query does not run.
        RecipeError: the script does not run.
    """
    with closing(database(fixture)) as connection:
        references = _references(connection, expected)
        same = [
            answer == query or _same(run(connection, answer), reference, ordered=is_ordered(query))
            for answer, query, reference in zip(answers, expected, references, strict=True)
        ]
    statistics = {
        "sql_parses": share_of([query_of(answer) is not None for answer in answers]),
        "same_result": share_of(same),
        "exact_match": share_of([_plain(a) == _plain(b) for a, b in zip(answers, expected, strict=True)]),
    }
    return Scores(figures(statistics), tuple(same), statistics)


def database(fixture: str) -> sqlite3.Connection:
    """A database in memory that the script filled and that from then on can only be read.

    Raises:
        RecipeError: the script does not run.
    """
    connection = sqlite3.connect(":memory:")
    connection.text_factory = functools.partial(str, encoding="utf-8", errors="replace")
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(_allow_filling)
    try:
        connection.executescript(fixture)
    except _REFUSED as error:
        connection.close()
        raise RecipeError(f"evaluation.sql_fixture: does not run in SQLite: {error}") from error
    connection.set_authorizer(None)
    connection.execute("PRAGMA temp_store = MEMORY")  # where `run` sees what a sort takes; a disk would fill unseen
    connection.execute("PRAGMA query_only = ON")
    connection.set_authorizer(_allow_reading)
    for limit in (sqlite3.SQLITE_LIMIT_LENGTH, sqlite3.SQLITE_LIMIT_SQL_LENGTH):
        connection.setlimit(limit, MAX_BYTES)
    return connection


def run(connection: sqlite3.Connection, query: str) -> Result | None:
    """The rows of one query, or None where it does not run, is not read-only, or passes a limit."""
    import psutil

    memory = psutil.Process().memory_info
    steps, full = MAX_STEPS, memory().rss + MAX_MEMORY

    def is_over() -> bool:
        nonlocal steps
        steps -= _STEPS_AT_ONCE
        return steps < 0 or memory().rss > full

    connection.set_progress_handler(is_over, _STEPS_AT_ONCE)
    alarm = threading.Timer(MAX_SECONDS, connection.interrupt)
    alarm.start()
    try:
        with closing(connection.execute(query)) as cursor:
            rows = cursor.fetchmany(MAX_ROWS + 1) if cursor.description else None
    except _REFUSED:
        return None
    finally:
        alarm.cancel()
    return None if rows is None or len(rows) > MAX_ROWS else rows


def query_of(text: str) -> Any | None:
    """The sqlglot tree of a text that is one query in SQLite's dialect (SELECT, WITH or VALUES), else None."""
    from sqlglot import exp

    tree = statement_of(text)
    if isinstance(tree, exp.Select) and not tree.expressions:  # sqlglot reads a lone SELECT
        return None
    return tree if isinstance(tree, exp.Query | exp.Values) else None


def statement_of(text: str) -> Any | None:
    """The sqlglot tree of a text that is one statement in SQLite's dialect, else None."""
    import sqlglot
    from sqlglot.errors import SqlglotError

    logging.getLogger("sqlglot").setLevel(logging.CRITICAL)  # its warnings quote the text
    try:
        trees = sqlglot.parse(text, read="sqlite")
    except (SqlglotError, RecursionError, ValueError):
        return None
    return trees[0] if len(trees) == 1 else None


def is_ordered(query: str) -> bool:
    """Whether the query says in which order its rows come."""
    tree = query_of(query)
    return tree is not None and tree.args.get("order") is not None


def _allow_filling(action: int, name: str | None, *rest: object) -> int:
    """A script may write, but not reach outside the database."""
    refused = action in _OUTSIDE or (action == sqlite3.SQLITE_PRAGMA and name not in _HARMLESS_PRAGMAS)
    return sqlite3.SQLITE_DENY if refused or _loads_code(action, rest) else sqlite3.SQLITE_OK


def _allow_reading(action: int, _name: str | None, *rest: object) -> int:
    return sqlite3.SQLITE_OK if action in _READING and not _loads_code(action, rest) else sqlite3.SQLITE_DENY


def _loads_code(action: int, rest: Sequence[object]) -> bool:
    return action == sqlite3.SQLITE_FUNCTION and str(rest[0]).lower() in ("load_extension", "fts3_tokenizer")


def _references(connection: sqlite3.Connection, expected: Sequence[str]) -> list[Result]:
    """The results of the expected queries.

    Raises:
        DataError: not each of them runs.
    """
    results = [run(connection, query) if query_of(query) is not None else None for query in expected]
    failed = [str(number) for number, result in enumerate(results, start=1) if result is None]
    if failed:
        raise DataError(
            f"evaluation: the answers of {len(failed)} of {len(expected)} test rows are not one query that runs on "
            f"evaluation.sql_fixture within {MAX_STEPS:,} steps and {MAX_ROWS:,} rows (by order of ids, row "
            f"{', '.join(failed[:5])}{', …' if len(failed) > 5 else ''}); mend the fixture, or drop these rows"
        )
    empty = sum(result == [] for result in results)
    if empty:
        raise DataError(
            f"evaluation: the answers of {empty} of {len(expected)} test rows find nothing in evaluation.sql_fixture, "
            f"as any query may; add rows that they find, or drop these rows"
        )
    return [result for result in results if result is not None]


def _same(given: Result | None, wanted: Result, *, ordered: bool) -> bool:
    if given is None or len(given) != len(wanted):
        return False
    pairs = zip(given, wanted, strict=True)
    if not ordered:
        pairs = zip(sorted(given, key=_place), sorted(wanted, key=_place), strict=True)
    return all(len(a) == len(b) and all(map(_equal, a, b)) for a, b in pairs)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    return type(one) is type(other) and bool(one == other)


def _place(row: tuple[Any, ...]) -> list[tuple[str, Any]]:
    """Where a row stands among others, whatever the types of its values."""
    return [_place_of(value) for value in row]


def _place_of(value: Any) -> tuple[str, Any]:
    if isinstance(value, int | float):
        return "number", float(f"{value:.{_DIGITS - 1}e}")
    return type(value).__name__, 0 if value is None else value


def _plain(text: str) -> str:
    """A query as sqlglot writes it, without comments, names in lower case; what is no query stays as it is."""
    from sqlglot.optimizer.normalize_identifiers import normalize_identifiers

    tree = query_of(text)
    if tree is None:
        return text.strip()
    try:
        return str(normalize_identifiers(tree, dialect="sqlite").sql(dialect="sqlite", comments=False))
    except RecursionError:
        return text.strip()
