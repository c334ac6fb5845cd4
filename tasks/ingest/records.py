"""The records of a JSONL, CSV or Parquet file, each bad line with its reason. Never holds a whole file in memory."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pyarrow as pa
import pyarrow.parquet as pq

from conf.schema import Dataset
from tasks.errors import DataError
from tasks.ingest.hub import from_huggingface
from tasks.ingest.places import Fetched, unreadable
from tasks.ingest.texts import is_unicode

# A record of a source, or the reason why there is none, with its line (or row) number from 1.
Numbered = tuple[int, "dict[str, object] | str"]
BOM = b"\xef\xbb\xbf"


def records_of(dataset: Dataset, source: Fetched, temporary: Path) -> Iterator[Numbered]:
    """The records of one source, one at a time, each with its number."""
    if dataset.type == "huggingface":
        yield from from_huggingface(dataset, source.place, temporary)
        return
    place = cast(Path, source.place)
    try:
        if dataset.type == "parquet":
            yield from _from_parquet(place)
            return
        with _uncompressed(place) as stream:
            yield from (_from_jsonl if dataset.type == "jsonl" else _from_csv)(stream, dataset.path)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, pa.ArrowException) as error:
        raise unreadable(str(place), error) from None  # its text may hold a cell, and a log shows causes


def _uncompressed(path: Path) -> BinaryIO:
    """The bytes; `.gz`, `.bz2` and `.xz` are unpacked on the way."""
    packed: dict[str, Callable[[Path, str], Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    opened = packed.get(path.suffix.lower(), Path.open)(path, "rb")
    return cast(BinaryIO, opened)


def _from_jsonl(stream: BinaryIO, _path: str) -> Iterator[Numbered]:
    for number, line in enumerate(stream, start=1):
        content = line.removeprefix(BOM) if number == 1 else line
        if content.strip():
            yield number, _parse_json_object(content)


def _parse_json_object(line: bytes) -> dict[str, object] | str:
    try:
        value = json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        return "wrong_encoding"
    except (ValueError, RecursionError):
        return "broken_json"
    return value if isinstance(value, dict) else "not_an_object"


def _refuse_constant(name: str) -> object:
    """NaN and Infinity are Python's own addition to JSON (RFC 8259, section 6, permits none)."""
    raise ValueError(name)


def _from_csv(stream: BinaryIO, path: str) -> Iterator[Numbered]:
    """Records after RFC 4180; one that runs over several lines counts once, by its first line."""
    # surrogateescape carries a wrong byte to the record that holds it, where the strict decoder would end the file
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="surrogateescape", newline="") as text:
        reader = csv.reader(text, strict=True)
        header = _csv_header(reader, path)
        while True:
            number = reader.line_num + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                yield number, "broken_csv"
                continue
            if cells:
                yield number, _csv_record(header, cells)


def _csv_header(reader: Iterator[list[str]], path: str) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise DataError(f"{path}: its first line is no CSV header; write one column name a column") from error
    if len(set(header)) != len(header):
        raise DataError(f"{path}: two columns of the same name in the first line; give each its own")
    return header


def _csv_record(header: list[str], cells: list[str]) -> dict[str, object] | str:
    if any(not is_unicode(cell) for cell in cells):
        return "wrong_encoding"
    if len(cells) != len(header):
        return "wrong_column_count"
    return dict(zip(header, cells, strict=True))


def _from_parquet(path: Path) -> Iterator[Numbered]:
    number = 0
    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(batch_size=1024):
            for index in range(batch.num_rows):
                number += 1
                try:
                    yield number, batch.slice(index, 1).to_pylist()[0]
                except UnicodeDecodeError:
                    yield number, "wrong_encoding"
