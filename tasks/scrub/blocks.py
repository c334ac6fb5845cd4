"""Blocks of rows that an earlier run scrubbed the same way, and where in the store stands what became of them.

Holds keyed digests, places and counts, never a text: the scrubbed rows themselves are those of the earlier result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa

from tasks.artifacts import Store
from tasks.database import all_or_nothing, open_database
from tasks.errors import DigestMismatch, StoreError
from tasks.results import Artifact
from tasks.rows import RowReader, shards_of
from tasks.scrub.cache import OF_OTHER_ENGINES

CHANGED = ("id", "messages", "label")  # the columns that scrubbing changes
# A row ends its block where its id, which is a hash, ends so: one in sixteen does.
_LAST = "0"
_MOST_ROWS = 64
_RESULTS = 16  # of which blocks are remembered


class Counts(NamedTuple):
    """What was counted in a block: finds by entity, rows with any, and of each row dropped its number and reason."""

    entities: dict[str, int]
    rows_with_entities: int
    dropped: list[tuple[int, str]]


class Past(NamedTuple):
    """So many rows of an earlier result, from the `first` on: what a block became."""

    result: int
    first: int
    rows: int
    counts: Counts


def in_blocks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows in blocks that end where their own content says so: rows put in or taken out change no other block."""
    rest: pa.Table | None = None
    for table in tables:
        together = table if rest is None else pa.concat_tables([rest, table]).combine_chunks()
        start = 0
        for end, row_id in enumerate(together["id"].to_pylist(), 1):
            if row_id.endswith(_LAST) or end - start == _MOST_ROWS:
                yield together.slice(start, end - start)
                start = end
        rest = together.slice(start)
    if rest is not None and rest.num_rows:
        yield rest


def gathered(blocks: Iterable[pa.Table], rows: int) -> Iterator[list[pa.Table]]:
    """Blocks until there are so many rows, in order."""
    some: list[pa.Table] = []
    for block in blocks:
        some.append(block)
        if sum(block.num_rows for block in some) >= rows:
            yield some
            some = []
    if some:
        yield some


class BlockIndex:
    """A file of SQLite: a million rows take some 5 MB. What a run makes is remembered at its end, all or nothing.

    Args:
        store: where the earlier results stand; its local folder holds the file.
        outcome: digest of all that decides what becomes of a row.
        key: the machine's secret.

    Raises:
        StoreError: the file is not usable.
    """

    def __init__(self, store: Store, outcome: str, key: bytes) -> None:
        self._store = store
        self._key = key
        self._connection = open_database(
            store.cache / "blocks" / f"{outcome[:32]}.sqlite",
            "CREATE TABLE IF NOT EXISTS results (result INTEGER PRIMARY KEY AUTOINCREMENT, shards TEXT)",
            "CREATE TABLE IF NOT EXISTS blocks (block BLOB PRIMARY KEY, result INTEGER, first INTEGER, rows INTEGER, "
            "counts TEXT) WITHOUT ROWID",
            "CREATE TEMP TABLE fresh (block BLOB PRIMARY KEY, first INTEGER, rows INTEGER, counts TEXT) WITHOUT ROWID",
            others=OF_OTHER_ENGINES,
        )
        self._shards = {
            int(result): tuple(Artifact.model_validate(shard) for shard in json.loads(shards))
            for result, shards in self._connection.execute("SELECT result, shards FROM results")
        }
        self._stands: dict[Artifact, bool] = {}
        self._readers = {result: RowReader(partial(self._shard, result), CHANGED) for result in self._shards}

    def digest(self, block: pa.Table) -> bytes:
        """What stands for all that is scrubbed in the rows: their labels, and their ids, digests of who says what."""
        said = [block["id"].to_pylist(), block["label"].to_pylist()]
        return hashlib.blake2b(json.dumps(said).encode(), digest_size=16, key=self._key).digest()

    def known(self, digests: Sequence[bytes]) -> dict[bytes, Past]:
        """What those blocks became that an earlier run saw, if its files still are what they were."""
        marks = ",".join("?" * len(digests))
        found = self._connection.execute(f"SELECT * FROM blocks WHERE block IN ({marks})", digests)  # noqa: S608
        pasts = {block: Past(result, first, rows, _counts(counts)) for block, result, first, rows, counts in found}
        return {block: past for block, past in pasts.items() if self._is_whole(past)}

    def read(self, past: Past) -> pa.Table:
        """The CHANGED columns of what a block became."""
        return self._readers[past.result].read(past.first, past.rows)

    def note(self, blocks: Iterable[tuple[bytes, int, int, Counts]]) -> None:
        """Hold for `remember`: each block's digest, the number of its first row in this run's result, rows, counts."""
        noted = ((block, first, rows, _as_text(counts)) for block, first, rows, counts in blocks)
        self._connection.executemany("INSERT OR REPLACE INTO fresh VALUES (?, ?, ?, ?)", noted)

    def remember(self, shards: Sequence[Artifact]) -> None:
        """Keep what was noted: it became rows of these files."""
        with all_or_nothing(self._connection) as cursor:
            cursor.execute(
                "INSERT INTO results (shards) VALUES (?)", [json.dumps([s.model_dump(mode="json") for s in shards])]
            )
            result = cursor.lastrowid
            cursor.execute("INSERT OR REPLACE INTO blocks SELECT block, ?, first, rows, counts FROM fresh", [result])
            newest = "WHERE result NOT IN (SELECT result FROM results ORDER BY result DESC LIMIT ?)"
            for table in ("blocks", "results"):
                cursor.execute(f"DELETE FROM {table} {newest}", [_RESULTS])  # noqa: S608

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()

    def _is_whole(self, past: Past) -> bool:
        if not past.rows or not past.counts.rows_with_entities:
            return True  # nothing of it is read
        if past.result not in self._shards:
            return False  # of a run that ended after this one began
        shards = self._shards[past.result]
        return all(self._shard_stands(shards[number]) for number in shards_of(past.first, past.rows))

    def _shard_stands(self, shard: Artifact) -> bool:
        if shard not in self._stands:
            try:
                self._store.open(shard)
                self._stands[shard] = True
            except (DigestMismatch, StoreError):
                self._stands[shard] = False
        return self._stands[shard]

    def _shard(self, result: int, number: int) -> Any:
        return self._store.open(self._shards[result][number])


def _as_text(counts: Counts) -> str:
    return json.dumps(counts, separators=(",", ":")) if any(counts) else ""


def _counts(text: str) -> Counts:
    entities, rows, dropped = json.loads(text) if text else ({}, 0, [])
    return Counts(entities, rows, [(number, reason) for number, reason in dropped])
