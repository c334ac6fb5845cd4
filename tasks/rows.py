"""Rows on their way: Parquet (zstd, sharded) with the columns that every stage shares, and the rows rejected.

Never writes the text of a rejected row.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice, takewhile
from pathlib import Path
from typing import TypedDict, cast

import pyarrow as pa
import pyarrow.parquet as pq

from tasks.artifacts import Workspace
from tasks.results import Artifact, Count

SHARD_ROWS = 50_000
BATCH_ROWS = 4096


class Message(TypedDict):
    """One turn of a chat."""

    role: str
    content: str


class Row(TypedDict):
    """One training example. `meta` holds `line` (1-based, in its source) and `side` (a fixed side, or None)."""

    id: str
    group: str
    messages: list[Message]
    label: str | None
    source: str
    meta: dict[str, int | str | None]


class Rejected(TypedDict):
    """A row that was dropped: why, and where it stood. Never its text."""

    source: str
    line: int | None
    id: str | None
    reason: str


ROWS = pa.schema(
    [
        ("id", pa.string()),
        ("group", pa.string()),
        ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))),
        ("label", pa.string()),
        ("source", pa.string()),
        ("meta", pa.string()),
    ]
)
REJECTED = pa.schema([("source", pa.string()), ("line", pa.int64()), ("id", pa.string()), ("reason", pa.string())])


def row_id(messages: Sequence[Message]) -> str:
    """Sha256 (64 hex digits) of the canonical content: roles and texts in order."""
    content = json.dumps([[m["role"], m["content"]] for m in messages], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode("utf-8", "surrogatepass")).hexdigest()


def prompt_of(row: Row) -> str:
    """Everything before the answer, joined; what duplicates and lengths are measured on."""
    return "\n".join(message["content"] for message in row["messages"][:-1])


def completion_of(row: Row) -> str:
    """The answer: the last message."""
    return row["messages"][-1]["content"]


def rejection(row: Row, reason: str) -> Rejected:
    """The record of a dropped row."""
    line = row["meta"].get("line")
    return {"source": row["source"], "line": int(line) if line is not None else None, "id": row["id"], "reason": reason}


def as_table(rows: Sequence[Row]) -> pa.Table:
    """The rows in the columns of ROWS."""
    return pa.Table.from_pylist([{**row, "meta": json.dumps(row["meta"], sort_keys=True)} for row in rows], schema=ROWS)


def as_rows(table: pa.Table) -> Iterator[Row]:
    """The rows of a table in the columns of ROWS, in order."""
    for record in table.to_pylist():
        record["meta"] = json.loads(record["meta"])
        yield cast(Row, record)


class RowWriter:
    """One Parquet file of rows, written in batches so that memory holds one batch; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._writer = _writer(path)
        self._batch: list[Row] = []

    def __enter__(self) -> RowWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()

    def write(self, row: Row) -> None:
        """Add a row at the end."""
        self._batch.append(row)
        if len(self._batch) == BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        self._writer.write_table(as_table(self._batch))
        self._batch.clear()


def write_rows(workspace: Workspace, rows: Iterable[Row], name: str = "rows") -> tuple[tuple[Artifact, ...], int]:
    """Write shards `name-00000.parquet`, … into the workspace; return them and the number of rows.

    Memory holds one batch at a time. No rows give one empty shard.
    """
    remaining = iter(rows)
    batches = takewhile(bool, (list(islice(remaining, size)) for size in _batch_sizes()))
    return write_tables(workspace, map(as_table, batches), name)


def write_tables(
    workspace: Workspace, tables: Iterable[pa.Table], name: str = "rows"
) -> tuple[tuple[Artifact, ...], int]:
    """As `write_rows`; the same rows give the same bytes, however they are cut into tables."""
    names: list[str] = []
    total = 0
    batches = _in_batches(tables)
    a_shard = -(-SHARD_ROWS // BATCH_ROWS)
    while (first := next(batches, None)) is not None or not names:
        names.append(f"{name}-{len(names):05d}.parquet")
        with _writer(workspace.folder / names[-1]) as writer:
            for batch in [] if first is None else chain([first], islice(batches, a_shard - 1)):
                writer.write_table(batch)
                total += batch.num_rows
    return tuple(workspace.artifact(file) for file in names), total


def _writer(path: Path) -> pq.ParquetWriter:
    return pq.ParquetWriter(path, ROWS, compression="zstd")


def _batch_sizes() -> Iterator[int]:
    """How many rows each batch holds: as many as there may be, and the rest at the end of a shard."""
    while True:
        for start in range(0, SHARD_ROWS, BATCH_ROWS):
            yield min(BATCH_ROWS, SHARD_ROWS - start)


def _in_batches(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    waiting: list[pa.Table] = []
    sizes = _batch_sizes()
    size, have = next(sizes), 0
    for table in tables:
        waiting.append(table)
        have += table.num_rows
        while have >= size:
            together = pa.concat_tables(waiting)
            yield together.slice(0, size).combine_chunks()
            waiting, have, size = [together.slice(size)], have - size, next(sizes)
    if have:
        yield pa.concat_tables(waiting).combine_chunks()


def write_rejected(workspace: Workspace, rejected: Iterable[Rejected]) -> tuple[Artifact, int, tuple[Count, ...]]:
    """Write `rejected.parquet`; return it, the number of rows, and the count of each reason."""
    kept = list(rejected)
    pq.write_table(
        pa.Table.from_pylist([dict(r) for r in kept], schema=REJECTED),
        workspace.folder / "rejected.parquet",
        compression="zstd",
    )
    reasons = Counter(r["reason"] for r in kept)
    counts = tuple(Count(name=name, count=count) for name, count in sorted(reasons.items()))
    return workspace.artifact("rejected.parquet"), len(kept), counts


def read_rows(files: Iterable[Path]) -> Iterator[Row]:
    """The rows of the shards, in order, one batch in memory at a time."""
    for table in read_tables(files):
        yield from as_rows(table)


def read_tables(files: Iterable[Path]) -> Iterator[pa.Table]:
    """As `read_rows`, in tables of at most BATCH_ROWS."""
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                yield pa.Table.from_batches([batch])


def shards_of(first: int, count: int) -> range:
    """The numbers of the shards in which so many rows stand, one at least, from the one of that number (from 0) on."""
    return range(first // SHARD_ROWS, (first + count - 1) // SHARD_ROWS + 1)


class RowReader:
    """Any rows of the shards that `write_rows` wrote, by their number; memory holds two batches at a time."""

    def __init__(self, open_shard: Callable[[int], Path], columns: Sequence[str]) -> None:
        self._open_shard = open_shard
        self._columns = list(columns)
        self._batches: dict[tuple[int, int], pa.Table] = {}

    def read(self, first: int, count: int) -> pa.Table:
        """So many rows, from the one of that number (from 0) on."""
        parts: list[pa.Table] = []
        while count:
            shard, row = divmod(first, SHARD_ROWS)
            batch, row = divmod(row, BATCH_ROWS)
            parts.append(self._batch(shard, batch).slice(row, count))
            first, count = first + parts[-1].num_rows, count - parts[-1].num_rows
        return pa.concat_tables(parts)

    def _batch(self, shard: int, batch: int) -> pa.Table:
        found = self._batches.pop((shard, batch), None)
        if found is None:
            with pq.ParquetFile(self._open_shard(shard)) as parquet:
                found = parquet.read_row_group(batch, self._columns)
        self._batches = dict([*list(self._batches.items())[-1:], ((shard, batch), found)])
        return found
