"""Scrub: put placeholders where personal values stand in the texts that may reach a model.

Never logs, counts by value, or writes anything that it found; what leaves here are scrubbed texts and counts by entity.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

import tasks.rows
from conf.schema import Pii, PiiPolicy, digest_of
from tasks.artifacts import Workspace
from tasks.errors import DataError
from tasks.progress import report
from tasks.results import Count, RawData, Recall, ScrubbedData
from tasks.rows import (
    ROWS,
    Message,
    Rejected,
    Row,
    as_rows,
    as_table,
    read_tables,
    rejection,
    row_id,
    write_rejected,
    write_tables,
)
from tasks.scrub import pieces
from tasks.scrub.blocks import CHANGED, BlockIndex, Counts, Past, gathered, in_blocks
from tasks.scrub.cache import SpanCache
from tasks.scrub.look import Spans, Spread, engine_digest, look_at, looked_at
from tasks.scrub.pseudonyms import KEYED, PLACEHOLDER, Numbering, read_or_make_key

if TYPE_CHECKING:
    from tasks.scrub.operators import Scrubbed

__all__ = ["MAX_CHARACTERS", "PLACEHOLDER", "gone", "identity", "is_keyed", "key_of", "open_cache", "scrub_rows"]

# spaCy needs about 1 GB for 100,000 characters at once; no row for training is that long.
MAX_CHARACTERS = 100_000
_ROWS_AT_ONCE = 2048
_REMEMBERED_TEXTS = 5000


@dataclass
class _Tally:
    """What is counted on the way."""

    entities: Counter[str] = field(default_factory=Counter)
    rows_with_entities: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def identity(pii: Pii, cache: Path) -> list[str]:
    """What decides the outcome beside the recipe and the code: what looks, and which key makes pseudonyms.

    Args:
        pii: what to look for and what to do with it.
        cache: the store's local folder, which holds the key.

    Raises:
        StoreError: the key of the pseudonyms cannot be used.
    """
    found = [engine_digest(pii)]
    if is_keyed(pii):
        found.append(hashlib.sha256(b"which key\0" + key_of(cache)).hexdigest()[:16])
    return found


def _outcome(pii: Pii, cache: Path) -> str:
    """Sha256 (64 hex digits) of all that decides what becomes of a row."""
    return digest_of(
        {
            "identity": identity(pii, cache),
            "asked": pii.model_dump(mode="json", include={"entities", "pseudonym_scope", "roles"}),
            "rows": hashlib.sha256(Path(tasks.rows.__file__).read_bytes()).hexdigest(),
            "libraries": {library: version(library) for library in ("faker", "presidio-anonymizer")},
        }
    )


def gone(policy: PiiPolicy) -> tuple[str, ...]:
    """The entities of which nothing that looks real may be left: neither kept nor replaced by a made-up value."""
    left = {"keep", "surrogate"}
    return tuple(sorted(entity for entity, operator in policy.entities.items() if operator not in left))


def open_cache(policy: PiiPolicy, cache: Path) -> SpanCache:
    """The spans found before by a policy, below the store's local folder.

    Raises:
        StoreError: the cache or the key of its digests cannot be used.
    """
    return SpanCache(cache / "spans", engine_digest(policy), key_of(cache))


def scrub_rows(
    raw: RawData, pii: Pii, *, workspace: Workspace, processes: int = 1, spread: Spread | None = None
) -> ScrubbedData:
    """Replace what Presidio finds in every message whose role the recipe names.

    The label is scrubbed where answers are, since it is one. Group, source and meta stay; the id follows from the
    scrubbed messages. Content that is JSON is looked at whole, field names included, and stays valid JSON: its values
    are scrubbed one by one. Equal texts are looked at once, in this run or one before, and rows that an earlier run
    scrubbed among the same neighbours are taken from its result, to the same bytes. `entities` counts finds over
    all rows read, those left by `keep` included, and so does `rows_with_entities`; a row is rejected as
    `pii_<entity>` where the operator is `drop_row`, and as `too_long_to_scrub` above MAX_CHARACTERS, without its id,
    which is a digest of what it says.

    Args:
        raw: the rows as they were read.
        pii: what to look for and what to do with it.
        workspace: where the result is written.
        processes: at most so many look at texts.
        spread: where to look instead of this machine, e.g. a cluster.

    Raises:
        DataError: no row is left.
        ModelError: a model that the policy names is not installed; nothing is ever downloaded.
        RecipeError: no recogniser finds an entity that the recipe names.
        StoreError: the key of the pseudonyms cannot be used.
    """
    tally = _Tally()
    files = [workspace.open(shard) for shard in raw.rows]
    store = workspace.store
    with (
        closing(open_cache(pii, store.cache)) as cache,
        closing(BlockIndex(store, _outcome(pii, store.cache), key_of(store.cache))) as index,
    ):
        scrubbing = _RowScrubber(pii, store.cache, index, tally)
        blocks = map(scrubbing.looked_up, gathered(in_blocks(read_tables(files)), _ROWS_AT_ONCE))
        chunks = ((some, scrubbing.texts(some)) for some in blocks)
        looked = looked_at(chunks, pii, cache, processes=processes, spread=spread)
        rows, n_rows = write_tables(workspace, scrubbing.scrubbed(looked, raw.n_rows))
        index.remember(rows)
    rejected, n_rejected, reasons = write_rejected(workspace, tally.rejected)
    if not n_rows:
        counts = ", ".join(f"{count.name} {count.count:,}" for count in reasons) or "there was none to begin with"
        raise DataError(f"scrub: no row is left ({counts}); see pii.entities in the recipe")
    return ScrubbedData(
        key=workspace.key,
        parents=(raw.digest,),
        rows=rows,
        rejected=rejected,
        n_rows=n_rows,
        n_rejected=n_rejected,
        reasons=reasons,
        entities=tuple(Count(name=name, count=count) for name, count in sorted(tally.entities.items())),
        rows_with_entities=tally.rows_with_entities,
        canaries=_canaries(scrubbing, pii),
        second_look=_second_look(scrubbing.after.texts, pii),
        n_looked_at=len(scrubbing.after.texts),
    )


def is_keyed(policy: PiiPolicy) -> bool:
    """Whether an operator of the policy needs the key."""
    return bool(KEYED & set(policy.entities.values()))


def key_of(cache: Path) -> bytes:
    """The secret of the pseudonyms, and of the digests in the cache."""
    return read_or_make_key(cache / "keys" / "pii.key")


@dataclass
class _Sample:
    """A text of each of so many rows: those with the lowest ids, which are hashes, so that nothing is favoured."""

    size: int
    text_of: Callable[[Row], str]
    _kept: list[tuple[str, str]] = field(default_factory=list)
    _highest: str | None = None

    def offer(self, rows: pa.Table) -> None:
        """Keep the texts of those rows that may be among the lowest."""
        if not self.size:
            return
        ids = rows["id"].to_pylist()
        low = [number for number, row_id in enumerate(ids) if self._highest is None or row_id <= self._highest]
        self._kept += [(row["id"], self.text_of(row)) for row in as_rows(rows.take(low))] if low else []
        if len(self._kept) > 4 * self.size:
            self._kept = sorted(self._kept)[: self.size]
            self._highest = self._kept[-1][0]

    @property
    def texts(self) -> list[str]:
        """Of the rows chosen, in the order of their ids."""
        return [text for _, text in sorted(self._kept)[: self.size]]


def _canaries(scrubbing: _RowScrubber, pii: Pii) -> tuple[Recall, ...]:
    """How many of the values planted into copies of the rows' texts are taken out, by what scrubbed the rows."""
    from tasks.scrub.canaries import plant, recall

    kept = {entity for entity, operator in pii.entities.items() if operator == "keep"}
    planted = plant(scrubbing.before.texts, pii.entities.keys() - kept, seed=0)
    return recall(planted, scrubbing.taken_out) if any(text.spans for text in planted) else ()


def _second_look(texts: list[str], pii: Pii) -> tuple[Count, ...]:
    """What other means find in scrubbed texts, of the entities for which nothing that looks real was put there."""
    from tasks.scrub.second_look import look_again

    return tuple(Count(name=name, count=count) for name, count in sorted(look_again(texts, gone(pii)).items()))


class _Block(NamedTuple):
    """Some rows as they were read: what an earlier run made of them or, where none did, the rows themselves."""

    table: pa.Table
    digest: bytes
    past: Past | None
    rows: list[Row]


class _RowScrubber:
    """Blocks of rows and the spans of their texts in, scrubbed rows out; those that are dropped go to the tally."""

    def __init__(self, pii: Pii, cache: Path, index: BlockIndex, tally: _Tally) -> None:
        from tasks.scrub.operators import Replacer

        self._pii = pii
        self._roles = frozenset(pii.roles)
        self._replacer = Replacer(pii, key_of(cache) if is_keyed(pii) else None)
        self._same_everywhere = "pseudonym" not in pii.entities.values()
        # whether what becomes of a row depends on no row of another block
        self._each_alone = self._same_everywhere or pii.pseudonym_scope == "record"
        self._index = index
        self._scrubbed: dict[str, Scrubbed] = {}
        self._of_group: dict[str, Numbering] = {}
        self._tally = tally
        self.before, self.after = _Sample(pii.canaries, self._one_of), _Sample(pii.second_look, self._text_of)

    def looked_up(self, tables: Sequence[pa.Table]) -> list[_Block]:
        """The blocks, with what an earlier run made of them."""
        digests = [self._index.digest(table) for table in tables]
        known = self._index.known(digests) if self._each_alone else {}
        return [
            _Block(table, digest, known.get(digest), [] if digest in known else list(as_rows(table)))
            for table, digest in zip(tables, digests, strict=True)
        ]

    def texts(self, blocks: Iterable[_Block]) -> list[str]:
        """What is looked at in the rows."""
        rows = (row for block in blocks for row in block.rows if not self._too_long(row))
        return [pieces.read(text).seen for row in rows for text in self._contents(row)]

    def scrubbed(self, looked: Iterable[tuple[list[_Block], Mapping[str, Spans]]], total: int) -> Iterator[pa.Table]:
        """The rows that stay, in order."""
        done = written = 0
        for blocks, found in looked:
            noted = []
            for block in blocks:
                changed, counts = self._from_past(block.past) if block.past else self._anew(block.rows, found)
                self._count(block.table, counts)
                kept = _without(block.table, counts.dropped)
                scrubbed = kept if changed is None else _with(kept, changed)
                self.before.offer(kept)
                self.after.offer(scrubbed)
                yield scrubbed
                noted.append((block.digest, written, scrubbed.num_rows, counts))
                written += scrubbed.num_rows
                done += block.table.num_rows
            if self._each_alone:
                self._index.note(noted)
            report(done, total, "rows")

    def _from_past(self, past: Past) -> tuple[pa.Table | None, Counts]:
        """The changed columns of the rows that stay, or None where nothing changed; and what was counted."""
        return (self._index.read(past) if past.rows and past.counts.rows_with_entities else None), past.counts

    def _anew(self, rows: list[Row], found: Mapping[str, Spans]) -> tuple[pa.Table | None, Counts]:
        entities, rows_with_entities = Counter[str](), 0
        kept: list[Row] = []
        dropped: list[tuple[int, str]] = []
        for number, row in enumerate(rows):
            new, names, reason = self._scrub_row(row, found)
            entities.update(names)
            rows_with_entities += bool(names)
            if reason:
                dropped.append((number, reason))
            else:
                kept.append(new)
        changed = as_table(kept) if kept and rows_with_entities else None
        return changed, Counts(entities, rows_with_entities, dropped)

    def _count(self, rows: pa.Table, counts: Counts) -> None:
        self._tally.entities.update(counts.entities)
        self._tally.rows_with_entities += counts.rows_with_entities
        for number, reason in counts.dropped:
            (row,) = as_rows(rows.slice(number, 1))
            self._tally.rejected.append({**rejection(row, reason), "id": None})

    def _contents(self, row: Row) -> Iterator[str]:
        for message in row["messages"]:
            if message["role"] in self._roles and message["content"]:
                yield message["content"]
        if row["label"] and "assistant" in self._roles:
            yield row["label"]

    def _too_long(self, row: Row) -> bool:
        return any(len(text) > MAX_CHARACTERS for text in self._contents(row))

    def _text_of(self, row: Row) -> str:
        return "\n".join(self._contents(row))

    def _one_of(self, row: Row) -> str:
        """One of the texts, by the row's id, of those that may hold a value."""
        texts = [text for text in self._contents(row) if pieces.read(text).pieces]
        return texts[int(row["id"][-8:], 16) % len(texts)] if texts else ""

    def taken_out(self, contents: Sequence[pieces.Content]) -> list[tuple[tuple[int, int], ...]]:
        """From where to where something else stands in each text, after what is done with the texts of rows."""
        seen = list(dict.fromkeys(content.seen for content in contents))
        found = dict(zip(seen, look_at(seen, policy=self._pii), strict=True))
        return [self._scrub_text(content.raw, found, Numbering()).gone for content in contents]

    def _scrub_row(self, row: Row, found: Mapping[str, Spans]) -> tuple[Row, list[str], str | None]:
        """The row as it goes on, the entities in it, and why it does not go on."""
        if self._too_long(row):
            return row, [], "too_long_to_scrub"
        numbering = Numbering() if self._pii.pseudonym_scope == "record" else self._group(row["group"])
        entities: list[str] = []
        drops: list[str] = []

        def scrub(text: str) -> str:
            if not text:
                return text
            scrubbed = self._scrub_text(text, found, numbering)
            entities.extend(scrubbed.entities)
            if scrubbed.drops:
                drops.append(scrubbed.drops)
            return scrubbed.text

        messages: list[Message] = [
            {"role": m["role"], "content": scrub(m["content"])} if m["role"] in self._roles else m
            for m in row["messages"]
        ]
        label = scrub(row["label"]) if row["label"] and "assistant" in self._roles else row["label"]
        reason = f"pii_{drops[0].lower()}" if drops else None
        if not entities:
            return row, entities, reason
        return {**row, "id": row_id(messages), "messages": messages, "label": label}, entities, reason

    def _scrub_text(self, text: str, found: Mapping[str, Spans], numbering: Numbering) -> Scrubbed:
        """The text as it goes on, the entities in it, and the one that drops its row."""
        known = self._scrubbed.get(text)
        if known is not None:
            return known
        content = pieces.read(text)
        result = self._replacer.scrub(content, found[content.seen], numbering)
        if self._same_everywhere:
            if len(self._scrubbed) >= _REMEMBERED_TEXTS:
                self._scrubbed.clear()
            self._scrubbed[text] = result
        return result

    def _group(self, group: str) -> Numbering:
        return self._of_group.setdefault(group, Numbering())


def _without(rows: pa.Table, dropped: Sequence[tuple[int, str]]) -> pa.Table:
    if not dropped:
        return rows
    numbers = {number for number, _ in dropped}
    return rows.filter([number not in numbers for number in range(rows.num_rows)])


def _with(rows: pa.Table, changed: pa.Table) -> pa.Table:
    """The rows with the CHANGED columns of others."""
    columns = [(changed if name in CHANGED else rows)[name] for name in ROWS.names]
    return pa.Table.from_arrays(columns, schema=ROWS)
