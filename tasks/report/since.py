"""What is not as it was when the champion was made: data, recipe and code, compared value by value. Pure.

Never quotes a row: rows are compared by their ids, which are hashes.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from tasks.results import Frozen

SIDES = ("train", "validation", "test")
SHORT = 120  # characters; of a longer value the lines that differ are shown
MAX_LINES = 60  # of such a difference

# What tells the entries of a list apart, so that one entry more does not make all that follow look changed.
IDENTITY: Mapping[str, tuple[str, ...]] = {
    "datasets": ("path", "name", "split"),
    "gates": ("metric", "arm", "against", "slice"),
    "quality.expectations": ("type", "column"),
    "evaluation.external": ("format", "path"),
}


class Made(NamedTuple):
    """What a model was made of.

    Attributes:
        name: what a person calls it, e.g. `demo version 3`.
        recipe: as resolved, every default spelled out.
        lineage: the stages' results as JSON: raw, clean, checked, split, base, adapter, evaluation.
        manifests: of those results, by the same names; one that is not in this store is missing.
        rows: the ids of each side of the split; a side whose file is not in this store is missing.
    """

    name: str
    recipe: Mapping[str, Any]
    lineage: Mapping[str, Any]
    manifests: Mapping[str, Mapping[str, Any]]
    rows: Mapping[str, frozenset[str]]


class Change(Frozen):
    """One value then and now; None where there was, or is, none. `lines` is a diff where a value is long."""

    what: str
    before: str | None
    after: str | None
    where: str = ""
    lines: tuple[str, ...] = ()

    @property
    def same(self) -> bool:
        """Whether nothing changed."""
        return self.before == self.after


class Moved(Frozen):
    """How many rows of a side are the champion's too, how many are new, and how many are gone."""

    side: str
    kept: int
    added: int
    gone: int


class Since(Frozen):
    """What changed since the champion was made.

    `data` holds counts and digests, the unchanged ones too; `recipe` and `code` only what differs. `rows` is None where
    the champion's rows are not in this store, `code` where its manifests are not. `known` counts the rows of today's
    test side on which the champion was trained: on these its answers prove nothing. Where the champion's record cannot
    be read, `unreadable` says why, and nothing else is known.
    """

    champion: str
    data: tuple[Change, ...]
    rows: tuple[Moved, ...] | None
    known: int | None
    recipe: tuple[Change, ...]
    code: tuple[Change, ...] | None
    unreadable: str | None = None


def unreadable(champion: str, why: str) -> Since:
    """What is known where the champion's record cannot be read."""
    return Since(champion=champion, data=(), rows=None, known=None, recipe=(), code=None, unreadable=why)


def since(champion: Made, now: Made) -> Since:
    """Compare what the champion was made of with what this candidate is made of."""
    rows_there = all(side in made.rows for made in (champion, now) for side in SIDES)
    code_there = bool(champion.manifests) and bool(now.manifests)
    return Since(
        champion=champion.name,
        data=tuple(_data(champion.lineage, now.lineage)),
        rows=tuple(_moved(champion, now)) if rows_there else None,
        known=len(champion.rows["train"] & now.rows["test"]) if rows_there else None,
        recipe=tuple(_recipe(champion.recipe, now.recipe)),
        code=tuple(_code(champion.manifests, now.manifests)) if code_there else None,
    )


COUNTS: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...] = (
    ("rows read", lambda line: line["raw"]["n_rows"] + line["raw"]["n_rejected"]),
    ("rows that could not be read", lambda line: line["raw"]["n_rejected"]),
    ("personal values taken out", lambda line: sum(entity["count"] for entity in line["clean"]["entities"])),
    ("rows dropped by scrubbing", lambda line: line["clean"]["n_rejected"]),
    ("rows dropped by the checks", lambda line: line["checked"]["n_rejected"]),
    ("training rows", lambda line: line["split"]["train"]["n_rows"]),
    ("validation rows", lambda line: line["split"]["validation"]["n_rows"]),
    ("test rows", lambda line: line["split"]["test"]["n_rows"]),
    ("tokens trained on", lambda line: line["adapter"]["train_tokens"]),
)
DIGESTS: tuple[tuple[str, Callable[[Mapping[str, Any]], Any]], ...] = (
    ("test rows, digest", lambda line: line["split"]["test"]["rows"]["sha256"]),
    ("training rows, digest", lambda line: line["split"]["train"]["rows"]["sha256"]),
    ("base model, digest", lambda line: line["base"]["source_sha256"]),
)


def _data(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    """The sources, then the counts and digests of the stages."""
    old, new = ({source["path"]: source for source in line["raw"]["sources"]} for line in (before, after))
    for path in dict.fromkeys((*new, *old)):
        told = [f"{s[path]['rows']:,} rows, {s[path]['sha256'][:12]}" if path in s else None for s in (old, new)]
        yield Change(what=f"source {path}", before=told[0], after=told[1])
    for what, count in COUNTS:
        yield Change(what=what, before=_number(count, before), after=_number(count, after))
    for what, digest in DIGESTS:
        yield Change(what=what, before=_digest(digest, before), after=_digest(digest, after))


def _number(count: Callable[[Mapping[str, Any]], Any], line: Mapping[str, Any]) -> str | None:
    try:
        return f"{count(line):,}"
    except (KeyError, TypeError):  # a record of another version
        return None


def _digest(digest: Callable[[Mapping[str, Any]], Any], line: Mapping[str, Any]) -> str | None:
    try:
        return str(digest(line))[:12]
    except (KeyError, TypeError):
        return None


def _moved(champion: Made, now: Made) -> Iterator[Moved]:
    for side in SIDES:
        old, new = champion.rows[side], now.rows[side]
        yield Moved(side=side, kept=len(old & new), added=len(new - old), gone=len(old - new))


def _recipe(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Change]:
    old, new = (dict(_flat("", recipe)) for recipe in (before, after))
    for key in _whole(old, new):
        old, new = _folded(old, key), _folded(new, key)
    for key in dict.fromkeys((*new, *old)):
        if old.get(key) != new.get(key) or (key in old) != (key in new):
            yield _change(key, old.get(key), new.get(key))


def _whole(old: Mapping[str, str], new: Mapping[str, str]) -> set[str]:
    """Entries of lists, e.g. `gates[accuracy tuned]`, that only one of the two has: each is one change, not eight."""
    sides = [{key[: key.index("]") + 1] for key in side if "]." in key} for side in (old, new)]
    return sides[0] ^ sides[1]


def _folded(values: Mapping[str, str], entry: str) -> dict[str, str]:
    """The values, all keys of the entry as one text; what is null says nothing."""
    inner = {key.removeprefix(f"{entry}."): value for key, value in values.items() if key.startswith(f"{entry}.")}
    kept = {key: value for key, value in values.items() if not key.startswith(f"{entry}.")}
    told = ", ".join(f"{key} {value}" for key, value in inner.items() if value != "null")
    return {**kept, **({entry: told} if inner else {})}


def _change(key: str, before: str | None, after: str | None) -> Change:
    """The values whole where they are short; else their first characters, and the lines that differ."""
    if None in (before, after) or all(
        len(value or "") <= SHORT and "\n" not in (value or "") for value in (before, after)
    ):
        return Change(what=key, before=_cut(before), after=_cut(after))
    lines = list(difflib.unified_diff((before or "").splitlines(), (after or "").splitlines(), n=1, lineterm=""))[2:]
    rest = len(lines) - MAX_LINES
    shown = (*lines[:MAX_LINES], *([f"… {rest:,} more lines"] if rest > 0 else []))
    return Change(what=key, before=_cut(before), after=_cut(after), lines=shown)


def _cut(value: str | None) -> str | None:
    if value is None:
        return None
    first = " ".join(value.split())
    return first if len(first) <= SHORT else f"{first[: SHORT - 1]}…"


def _flat(key: str, value: Any) -> Iterator[tuple[str, str]]:
    """Dotted keys and values as texts; entries of a list by what tells them apart."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), inner)
    elif isinstance(value, list) and value and all(isinstance(item, Mapping) for item in value):
        seen: dict[str, int] = {}
        for item in value:
            name = _name(key, item)
            seen[name] = seen.get(name, 0) + 1
            yield from _flat(name if seen[name] == 1 else f"{name}#{seen[name]}", item)
    else:
        yield key, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _name(key: str, item: Mapping[str, Any]) -> str:
    """`gates[accuracy tuned base]`."""
    own = [str(item[name]) for name in IDENTITY.get(key, ("name", "path")) if item.get(name) is not None]
    return f"{key}[{' '.join(own)}]"


CODE = ("git_revision", "python", "platform")


def _code(before: Mapping[str, Mapping[str, Any]], after: Mapping[str, Mapping[str, Any]]) -> Iterator[Change]:
    """The revision, Python, machine and libraries of each stage; stages that changed alike stand together."""
    found: dict[tuple[str, str | None, str | None], list[str]] = {}
    for stage in after:
        if stage not in before:
            continue
        old, new = (_versions(side[stage]) for side in (before, after))
        for what in dict.fromkeys((*new, *old)):
            if old.get(what) != new.get(what):
                found.setdefault((what, old.get(what), new.get(what)), []).append(stage)
    for (what, was, is_), stages in sorted(found.items(), key=_code_first):
        yield Change(what=what.replace("_", " "), before=was, after=is_, where=", ".join(stages))


def _code_first(item: tuple[tuple[str, str | None, str | None], Sequence[str]]) -> tuple[bool, str, str]:
    what, was, is_ = item[0]
    return what not in CODE, what, f"{was} {is_}"


def _versions(manifest: Mapping[str, Any]) -> dict[str, str | None]:
    revision = manifest.get("git_revision")
    own = {name: manifest.get(name) for name in CODE} | {"git_revision": revision and _short(str(revision))}
    return {name: None if value is None else str(value) for name, value in own.items()} | {
        str(name): str(value) for name, value in (manifest.get("libraries") or {}).items()
    }


def _short(revision: str) -> str:
    """Twelve digits of a commit, and the `+` that says files were changed since."""
    return f"{revision[:12]}{'+' if revision.endswith('+') else ''}"
