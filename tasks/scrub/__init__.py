"""Scrub: put placeholders where personal values stand in the texts that may reach a model.

Never logs, counts by value, or writes anything that it found; what leaves here are scrubbed texts and counts by entity.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from conf.schema import Pii, PiiPolicy
from tasks.artifacts import Workspace
from tasks.errors import DataError
from tasks.progress import report
from tasks.results import Count, RawData, Recall, ScrubbedData
from tasks.rows import Message, Rejected, Row, read_rows, rejection, row_id, write_rejected, write_rows
from tasks.scrub import pieces
from tasks.scrub.cache import SpanCache
from tasks.scrub.look import Spans, Spread, engine_digest, in_chunks, look_at, looked_at
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
    are scrubbed one by one. Equal texts are looked at once, in this run or one before. `entities` counts finds over
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
    scrubbing = _RowScrubber(pii, workspace.store.cache, tally)
    with closing(open_cache(pii, workspace.store.cache)) as cache:
        chunks = ((rows, scrubbing.texts(rows)) for rows in in_chunks(read_rows(files), _ROWS_AT_ONCE))
        looked = looked_at(chunks, raw.n_rows, pii, cache, processes=processes, spread=spread)
        rows, n_rows = write_rows(workspace, scrubbing.scrubbed(looked, raw.n_rows))
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
        canaries=_canaries(scrubbing.before.texts, pii),
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
    """The texts of so many rows: those with the lowest ids, which are hashes, so that the choice favours nothing."""

    size: int
    _kept: list[tuple[str, str]] = field(default_factory=list)

    def offer(self, row: Row, text: str) -> None:
        """Keep the row's text for now."""
        if self.size:
            self._kept.append((row["id"], text))
            if len(self._kept) > 4 * self.size:
                self._kept = sorted(self._kept)[: self.size]

    @property
    def texts(self) -> list[str]:
        """Of the rows chosen, in the order of their ids."""
        return [text for _, text in sorted(self._kept)[: self.size]]


def _canaries(texts: list[str], pii: Pii) -> tuple[Recall, ...]:
    """How many of the values planted into copies of the texts are found, by what scrubbed the rows."""
    from tasks.scrub.canaries import plant, recall

    taken = [entity for entity, operator in pii.entities.items() if operator != "keep"]
    return recall(plant(texts, taken, seed=0), partial(look_at, policy=pii)) if texts and taken else ()


def _second_look(texts: list[str], pii: Pii) -> tuple[Count, ...]:
    """What other means find in scrubbed texts, of the entities for which nothing that looks real was put there."""
    from tasks.scrub.second_look import look_again

    return tuple(Count(name=name, count=count) for name, count in sorted(look_again(texts, gone(pii)).items()))


class _RowScrubber:
    """Rows and the spans of their texts in, scrubbed rows out; those that are dropped go to the tally."""

    def __init__(self, pii: Pii, cache: Path, tally: _Tally) -> None:
        from tasks.scrub.operators import Replacer

        self._pii = pii
        self._roles = frozenset(pii.roles)
        self._replacer = Replacer(pii, key_of(cache) if is_keyed(pii) else None)
        self._same_everywhere = "pseudonym" not in pii.entities.values()
        self._scrubbed: dict[str, Scrubbed] = {}
        self._of_group: dict[str, Numbering] = {}
        self._tally = tally
        self.before, self.after = _Sample(pii.canaries), _Sample(pii.second_look)

    def texts(self, rows: Iterable[Row]) -> list[str]:
        """What is looked at in the rows."""
        return [pieces.read(text).seen for row in rows if not self._too_long(row) for text in self._contents(row)]

    def scrubbed(self, looked: Iterable[tuple[list[Row], Mapping[str, Spans]]], total: int) -> Iterator[Row]:
        """The rows that stay, in order."""
        done, began = 0, time.monotonic()
        for rows, found in looked:
            for row in rows:
                scrubbed = self._scrub_row(row, found)
                if scrubbed is not None:
                    self.before.offer(row, "\n".join(self._contents(row)))
                    self.after.offer(scrubbed, "\n".join(self._contents(scrubbed)))
                    yield scrubbed
            done += len(rows)
            report(done, total, "rows", f"{done / max(time.monotonic() - began, 1e-3):,.0f} rows/s")

    def _contents(self, row: Row) -> Iterator[str]:
        for message in row["messages"]:
            if message["role"] in self._roles and message["content"]:
                yield message["content"]
        if row["label"] and "assistant" in self._roles:
            yield row["label"]

    def _too_long(self, row: Row) -> bool:
        return any(len(m["content"]) > MAX_CHARACTERS for m in row["messages"] if m["role"] in self._roles)

    def _scrub_row(self, row: Row, found: Mapping[str, Spans]) -> Row | None:
        """The row as it goes on, or None where it is rejected."""
        if self._too_long(row):
            self._tally.rejected.append({**rejection(row, "too_long_to_scrub"), "id": None})
            return None
        numbering = Numbering() if self._pii.pseudonym_scope == "record" else self._group(row["group"])
        entities: list[str] = []
        drops: list[str] = []

        def scrub(text: str) -> str:
            if not text:
                return text
            new, names, dropping = self._scrub_text(text, found, numbering)
            entities.extend(names)
            if dropping:
                drops.append(dropping)
            return new

        messages: list[Message] = [
            {"role": m["role"], "content": scrub(m["content"])} if m["role"] in self._roles else m
            for m in row["messages"]
        ]
        label = scrub(row["label"]) if row["label"] and "assistant" in self._roles else row["label"]
        self._tally.entities.update(entities)
        self._tally.rows_with_entities += bool(entities)
        if drops:
            self._tally.rejected.append({**rejection(row, f"pii_{drops[0].lower()}"), "id": None})
            return None
        return {**row, "id": row_id(messages), "messages": messages, "label": label} if entities else row

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
