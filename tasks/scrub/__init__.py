"""Scrub: put placeholders where personal values stand in the texts that may reach a model.

Never logs, counts by value, or writes anything that it found; what leaves here are scrubbed texts and counts by entity.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from conf.schema import Pii
from tasks.artifacts import Workspace
from tasks.errors import DataError
from tasks.progress import report
from tasks.results import Count, RawData, ScrubbedData
from tasks.rows import Message, Rejected, Row, read_rows, rejection, row_id, write_rejected, write_rows
from tasks.scrub.analysis import Finding, Scrubber, build_scrubber
from tasks.scrub.pieces import Piece, assemble, pieces_of
from tasks.scrub.pseudonyms import PLACEHOLDER, read_or_make_key

__all__ = ["MAX_CHARACTERS", "PLACEHOLDER", "identity", "scrub_rows"]

# spaCy needs about 1 GB for 100,000 characters at once; no row for training is that long.
MAX_CHARACTERS = 100_000
_ROWS_AT_ONCE = 512
_REMEMBERED_TEXTS = 100_000


@dataclass
class _Tally:
    """What is counted on the way."""

    entities: Counter[str] = field(default_factory=Counter)
    rows_with_entities: int = 0
    rejected: list[Rejected] = field(default_factory=list)


def identity(pii: Pii, cache: Path) -> list[str]:
    """What decides the outcome beside the recipe and the code: the spaCy pipeline, and which key makes pseudonyms.

    Args:
        pii: what to look for and what to do with it.
        cache: the store's local folder, which holds the key.

    Raises:
        StoreError: the key of the pseudonyms cannot be used.
    """
    spec = importlib.util.find_spec(pii.spacy_model) if pii.spacy_model.isidentifier() else None
    folders = spec.submodule_search_locations if spec else None
    about = Path(folders[0] if folders else pii.spacy_model) / "meta.json"  # names the pipeline's version and parts
    found = [hashlib.sha256(about.read_bytes()).hexdigest()] if about.is_file() else []
    key = _key(pii, cache)
    return found if key is None else [*found, hashlib.sha256(b"which key\0" + key).hexdigest()[:16]]


def scrub_rows(raw: RawData, pii: Pii, *, workspace: Workspace) -> ScrubbedData:
    """Replace what Presidio finds in every message whose role the recipe names.

    The label is scrubbed where answers are, since it is one. Group, source and meta stay; the id follows from the
    scrubbed messages. Content that is JSON stays valid JSON: its values are scrubbed one by one. Equal texts are
    analysed once. `entities` counts finds over all rows read, those left by `keep` included, and so does
    `rows_with_entities`; a row is rejected as `pii_<entity>` where the operator is `drop_row`, and as
    `too_long_to_scrub` above MAX_CHARACTERS, without its id, which is a digest of what it says.

    Raises:
        DataError: no row is left.
        ModelError: the spaCy pipeline is not installed; nothing is ever downloaded.
        RecipeError: no recogniser finds an entity that the recipe names.
        StoreError: the key of the pseudonyms cannot be used.
    """
    scrub = build_scrubber(pii, _key(pii, workspace.store.cache))
    tally = _Tally()
    files = [workspace.open(shard) for shard in raw.rows]
    rows, n_rows = write_rows(workspace, _scrubbed(read_rows(files), raw.n_rows, pii, scrub, tally))
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
    )


def _key(pii: Pii, cache: Path) -> bytes | None:
    """The secret of the pseudonyms, where the recipe asks for any."""
    return read_or_make_key(cache / "keys" / "pii.key") if "hash" in pii.entities.values() else None


def _scrubbed(rows: Iterable[Row], total: int, pii: Pii, scrub: Scrubber, tally: _Tally) -> Iterator[Row]:
    """The rows that stay, scrubbed, in order; the others go to the tally."""
    known: dict[str, Finding] = {}
    rows = iter(rows)
    done = 0
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        _look_up(some, pii, scrub, known)
        for row in some:
            scrubbed = _scrub_row(row, pii, known, tally)
            if scrubbed is not None:
                yield scrubbed
        done += len(some)
        report(done, total, "rows")
        if len(known) > _REMEMBERED_TEXTS:
            known.clear()


def _look_up(rows: Iterable[Row], pii: Pii, scrub: Scrubber, known: dict[str, Finding]) -> None:
    """Add the findings of every text of the rows that is not known yet."""
    texts = {piece.text for row in rows if not _too_long(row, pii) for piece in _pieces(row, pii)}
    new = sorted(
        texts - known.keys(), key=lambda text: (len(text), text)
    )  # like lengths together: less padding, and the same batches every time
    known.update(zip(new, scrub(new), strict=True))


def _scrub_row(row: Row, pii: Pii, known: dict[str, Finding], tally: _Tally) -> Row | None:
    """The row as it goes on, or None where it is rejected."""
    if _too_long(row, pii):
        tally.rejected.append({**rejection(row, "too_long_to_scrub"), "id": None})
        return None
    findings = [known[piece.text] for piece in _pieces(row, pii)]
    entities = [entity for finding in findings for entity in finding.entities]
    tally.entities.update(entities)
    tally.rows_with_entities += bool(entities)
    drops = next((finding.drops for finding in findings if finding.drops), None)
    if drops is not None:
        tally.rejected.append({**rejection(row, f"pii_{drops.lower()}"), "id": None})
        return None
    messages = [_scrub_message(message, pii, known) for message in row["messages"]]
    label = row["label"] and known[row["label"]].text if "assistant" in pii.roles else row["label"]
    return {**row, "id": row_id(messages), "messages": messages, "label": label}


def _scrub_message(message: Message, pii: Pii, known: dict[str, Finding]) -> Message:
    if message["role"] not in pii.roles:
        return message
    pieces = pieces_of(message["content"])
    texts = [known[piece.text].text for piece in pieces]
    return {"role": message["role"], "content": assemble(message["content"], pieces, texts)}


def _pieces(row: Row, pii: Pii) -> Iterator[Piece]:
    for message in row["messages"]:
        if message["role"] in pii.roles:
            yield from pieces_of(message["content"])
    if row["label"] and "assistant" in pii.roles:
        yield Piece(row["label"], 0, len(row["label"]), "text")


def _too_long(row: Row, pii: Pii) -> bool:
    return any(len(message["content"]) > MAX_CHARACTERS for message in row["messages"] if message["role"] in pii.roles)
