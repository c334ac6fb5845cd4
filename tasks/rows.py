"""Rows on their way: Parquet (zstd, sharded) with the columns that every stage shares, and the rows rejected.

Never writes the text of a rejected row.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
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


class RowWriter:
    """One Parquet file of rows, written in batches so that memory holds one batch; use as a context manager."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, ROWS, compression="zstd")
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
        records = [{**row, "meta": json.dumps(row["meta"], sort_keys=True)} for row in self._batch]
        self._writer.write_table(pa.Table.from_pylist(records, schema=ROWS))
        self._batch.clear()


def write_rows(workspace: Workspace, rows: Iterable[Row], name: str = "rows") -> tuple[tuple[Artifact, ...], int]:
    """Write shards `name-00000.parquet`, … into the workspace; return them and the number of rows.

    Memory holds one batch at a time. No rows give one empty shard.
    """
    names: list[str] = []
    total = 0
    remaining = iter(rows)
    while not names or (total and total % SHARD_ROWS == 0):
        first = next(remaining, None)
        if first is None and names:
            break
        names.append(f"{name}-{len(names):05d}.parquet")
        with RowWriter(workspace.folder / names[-1]) as writer:
            for row in [] if first is None else chain([first], islice(remaining, SHARD_ROWS - 1)):
                writer.write(row)
                total += 1
    return tuple(workspace.artifact(file) for file in names), total


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
    for file in files:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(batch_size=BATCH_ROWS):
                for record in batch.to_pylist():
                    record["meta"] = json.loads(record["meta"])
                    yield cast(Row, record)
