"""`tunegate scrub`: a file in, the same file without personal values out, and on request where they stood.

Never prints or logs a value; writes the whole output or none of it.
"""

from __future__ import annotations

import csv
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path
from typing import Any, Protocol

from conf.schema import PiiPolicy
from tasks.errors import DataError, RecipeError
from tasks.progress import report
from tasks.scrub import MAX_CHARACTERS, is_keyed, key_of, open_cache, pieces
from tasks.scrub.look import Spans, in_chunks, looked_at
from tasks.scrub.operators import Replacer
from tasks.scrub.pseudonyms import Numbering
from tasks.scrub.spans import within

SPANS = "spans"
FORMATS = (".jsonl", ".csv", ".parquet")
_ROWS_AT_ONCE = 2048

Record = dict[str, Any]
Change = Callable[[str | None, str], str]  # of a text at its path, or of the name of a field, which has none


@dataclass
class Stats:
    """What was counted: never a value."""

    rows: int = 0
    rows_with_entities: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    entities: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0


class _Output(Protocol):
    def write(self, records: list[Record]) -> None: ...
    def close(self) -> None: ...


def scrub_file(source: Path, target: Path, policy: PiiPolicy, cache: Path, *, spans: bool, processes: int) -> Stats:
    """Scrub every text of every row of a JSONL, CSV or Parquet file, at any depth; what is no text stays.

    Args:
        source: the file to read.
        target: the file to write, of the same kind; replaced if it is there.
        policy: what to look for and what to do with it.
        cache: the store's local folder, with the key and the spans found before.
        spans: add a column `spans`: `[{field, start, end, entity_type, score}]`, places in the original text of the
            field (`messages.0.content` for what is nested). In a CSV file it is JSON.
        processes: at most so many look at texts.

    Raises:
        DataError: a file of another kind, a broken line, or a text longer than MAX_CHARACTERS.
        ModelError: a model that the policy names is not installed.
        RecipeError: no recogniser finds an entity that the policy names, or it numbers pseudonyms within a group.
    """
    if policy.pseudonym_scope == "group":
        raise RecipeError("pseudonym_scope: group is for a recipe's rows; those of a file have no group: take record")
    kind = source.suffix.lower()
    if kind not in FORMATS or target.suffix.lower() != kind:
        raise DataError(f"{source} to {target}: both must be {', '.join(FORMATS)}, and of the same kind")
    if not source.is_file():
        raise DataError(f"{source}: no such file")
    if not target.parent.is_dir():
        raise DataError(f"{target}: there is no folder {target.parent}")
    began = time.monotonic()
    stats = Stats()
    replacer = Replacer(policy, key_of(cache) if is_keyed(policy) else None)
    work = _Work(replacer, stats, spans=spans, names=kind == ".jsonl")  # those of Parquet are its schema
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")  # two at once: each its own, and the last one stays
    try:
        with ExitStack() as stack:
            total, records, output = _opened(kind, source, aside, spans=spans)
            stack.callback(output.close)
            found_before = stack.enter_context(closing(open_cache(policy, cache)))
            chunks = (
                (some, [text for record in some for text in _seen(record)])
                for some in in_chunks(records, _ROWS_AT_ONCE)
            )
            for some, found in looked_at(chunks, policy, found_before, processes=processes):
                output.write([new for record in some if (new := work.scrub(record, found)) is not None])
                stats.rows += len(some)
                report(stats.rows, total, "rows")
        aside.replace(target)
    except UnicodeDecodeError as error:
        raise DataError(f"{source}: not UTF-8 text") from error
    except csv.Error as error:
        raise DataError(f"{source}: no CSV ({error})") from error
    finally:
        aside.unlink(missing_ok=True)
    stats.seconds = time.monotonic() - began
    return stats


class _Work:
    """Records and the spans of their texts in, scrubbed records out."""

    def __init__(self, replacer: Replacer, stats: Stats, *, spans: bool, names: bool) -> None:
        self._replacer = replacer
        self._stats = stats
        self._spans = spans
        self._names = names

    def scrub(self, record: Record, found: Mapping[str, Spans]) -> Record | None:
        """The record as it goes on, or None where an operator drops it."""
        numbering, entities = Numbering(), Counter[str]()
        drops: list[str] = []
        places: list[Record] = []

        def scrub_text(path: str | None, text: str) -> str:
            if path is None and not self._names:
                return text
            content = pieces.read(text)
            spans = found[content.seen]
            scrubbed = self._replacer.scrub(content, spans, numbering)
            entities.update(scrubbed.entities)
            drops.extend([scrubbed.drops] if scrubbed.drops else [])
            if self._spans and path is not None:
                places.extend(_places(path, content, spans))
            return scrubbed.text

        if self._spans and SPANS in record:
            raise DataError(f"there is a column {SPANS} already: rename it, or leave out --spans")
        result = {name: _mapped(name, value, scrub_text) for name, value in record.items()}
        self._stats.entities.update(entities)
        self._stats.rows_with_entities += bool(entities)
        if drops:
            self._stats.dropped[drops[0]] += 1
            return None
        return {**result, SPANS: places} if self._spans else result


def _places(path: str, content: pieces.Content, found: Spans) -> Iterator[Record]:
    """Spans in the characters of the original field; all of a JSON string that was written with escapes."""
    for piece in content.pieces:
        start, end = piece.start, piece.end
        if piece.kind == "json" and content.raw[start] == '"':
            start, end = start + 1, end - 1
        as_written = content.raw[start:end] == content.seen[piece.seen_from : piece.seen_to]
        for span in within(found, piece.seen_from, piece.seen_to):
            place = (start + span.start, start + span.end) if as_written else (start, end)
            yield {
                "field": path,
                "start": place[0],
                "end": place[1],
                "entity_type": span.entity,
                "score": span.score,
            }


def _mapped(path: str, value: Any, change: Change) -> Any:
    """The value with every text in it changed, at any depth: names of nested fields too, if they are no plain ones."""
    if isinstance(value, str):
        return change(path, value) if value else value
    if isinstance(value, dict):
        names = _named(value, change)
        return {names[name]: _mapped(f"{path}.{names[name]}", inner, change) for name, inner in value.items()}
    if isinstance(value, list | tuple):  # of Parquet a tuple is a key of a map and its value: both are data
        return type(value)(_mapped(f"{path}.{index}", inner, change) for index, inner in enumerate(value))
    if isinstance(value, bytes):
        raise DataError(f"{path.partition('.')[0]}: bytes, which are not looked at; give text, or leave the column out")
    return value


def _named(names: Iterable[str], change: Change) -> dict[str, str]:
    """The new name of each field of an object; those that became alike are numbered: each field stays one."""
    new = {name: name if not name or pieces.is_field_name(name) else change(None, name) for name in names}
    taken = {name for name in new if new[name] == name}
    for old, name in new.items():
        if name != old:
            numbered = (f"{name} {number}" for number in count(2))
            new[old] = next(free for free in chain([name], numbered) if free not in taken)
            taken.add(new[old])
    return new


def _seen(record: Record) -> Iterator[str]:
    """The texts that are looked at in a record."""
    texts: list[str] = []
    for number, (name, value) in enumerate(record.items(), 1):

        def note(_path: str | None, text: str, number: int = number) -> str:
            if len(text) > MAX_CHARACTERS:  # the column's name may be personal where a file has no header
                raise DataError(
                    f"column {number}: a text of {len(text):,} characters; at most {MAX_CHARACTERS:,} are looked at"
                )
            texts.append(pieces.read(text).seen)
            return text

        _mapped(name, value, note)
    yield from texts


# ---- the three kinds of files


def _opened(kind: str, source: Path, target: Path, *, spans: bool) -> tuple[int, Iterator[Record], _Output]:
    """As `_open`; a file that is not of its kind is an error of the data."""
    from pyarrow import ArrowInvalid

    try:
        return _open(kind, source, target, spans=spans)
    except ArrowInvalid as error:
        raise DataError(f"{source}: no Parquet file") from error


def _open(kind: str, source: Path, target: Path, *, spans: bool) -> tuple[int, Iterator[Record], _Output]:
    """How many rows there are, the rows, and what writes them."""
    if kind == ".jsonl":
        return _lines(source), _read_jsonl(source), _JsonLines(target)
    if kind == ".csv":
        with source.open(encoding="utf-8-sig", newline="") as stream:
            header = csv.DictReader(stream).fieldnames or []
        _refuse_twins(source, header)
        return _lines(source) - 1, _read_csv(source), _Csv(target, [*header, *([SPANS] if spans else [])])
    import pyarrow.parquet as pq

    with pq.ParquetFile(source) as parquet:
        total, schema = parquet.metadata.num_rows, parquet.schema_arrow
    _refuse_twins(source, schema.names)
    if spans and SPANS in schema.names:
        raise DataError(f"{source}: there is a column {SPANS} already: rename it, or leave out --spans")
    return total, _read_parquet(source), _Parquet(target, schema, spans=spans)


def _refuse_twins(source: Path, names: Iterable[str]) -> None:
    """A row as a dict would hold one of them alone. By number: a file without a header begins with a row of data."""
    first: dict[str, int] = {}
    for number, name in enumerate(names, 1):
        if (twin := first.setdefault(name, number)) != number:
            raise DataError(f"{source}: columns {twin} and {number} have the same name: rename one")


def _lines(path: Path) -> int:
    with path.open("rb") as stream:
        return sum(block.count(b"\n") for block in iter(lambda: stream.read(1 << 20), b""))


def _read_jsonl(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig") as stream:
        for number, line in enumerate(stream, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except ValueError as error:
                raise DataError(f"{path}:{number}: not JSON ({type(error).__name__})") from None
            if not isinstance(record, dict):
                raise DataError(f"{path}:{number}: not a JSON object")
            yield record


def _read_csv(path: Path) -> Iterator[Record]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        for record in reader:
            if None in record or None in record.values():
                raise DataError(f"{path}:{reader.line_num}: another number of fields than the header has")
            yield record


def _read_parquet(path: Path) -> Iterator[Record]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as parquet:
        for batch in parquet.iter_batches(batch_size=_ROWS_AT_ONCE):
            yield from batch.to_pylist()


def _line(record: Record) -> str:
    text = json.dumps(record, ensure_ascii=False)
    # half a surrogate pair has no place in UTF-8, and an escape of its own in JSON
    return (text if text.isascii() or _encodes(text) else json.dumps(record)) + "\n"


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._stream = path.open("w", encoding="utf-8")

    def write(self, records: list[Record]) -> None:
        self._stream.writelines(_line(record) for record in records)

    def close(self) -> None:
        self._stream.close()


class _Csv:
    def __init__(self, path: Path, header: list[str]) -> None:
        self._stream = path.open("w", encoding="utf-8", newline="")
        self._writer = csv.DictWriter(self._stream, header)
        self._writer.writeheader()

    def write(self, records: list[Record]) -> None:
        for record in records:
            spans = {SPANS: json.dumps(record[SPANS])} if SPANS in record else {}
            self._writer.writerow({**record, **spans})

    def close(self) -> None:
        self._stream.close()


class _Parquet:
    def __init__(self, path: Path, schema: Any, *, spans: bool) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        if spans:
            kinds = [("field", pa.string()), ("start", pa.int64()), ("end", pa.int64()), ("entity_type", pa.string())]
            schema = schema.append(pa.field(SPANS, pa.list_(pa.struct([*kinds, ("score", pa.float64())]))))
        self._schema, self._table = schema, pa.Table
        self._writer = pq.ParquetWriter(path, schema, compression="zstd")

    def write(self, records: list[Record]) -> None:
        self._writer.write_table(self._table.from_pylist(records, schema=self._schema))

    def close(self) -> None:
        self._writer.close()
