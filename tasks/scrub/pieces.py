"""A message's content as what is looked at and what may be replaced: the whole of it, or the values of a JSON text.

Never lets a replacement break JSON: a value is replaced inside its own quotes, all else stays byte for byte.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

# Strings first, so that a number within a string is never taken for one of its own.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')
_HALF = re.compile("[\ud800-\udfff]")
_KEY_FOLLOWS = re.compile(r"\s*:")
# A number of an account or a key that stands as a name has more digits than a name.
_FIELD_NAME = re.compile(r"(?!(?:[^0-9]*[0-9]){4})[A-Za-z_][A-Za-z0-9_-]{0,63}")
# The shortest number that can be personal on its own (a local phone number); shorter ones are quantities.
_DIGITS_OF_A_PERSONAL_NUMBER = 7


class Piece(NamedTuple):
    """A value: `start` to `end` of its literal in the content, and `seen_from` to `seen_to` in what is looked at."""

    start: int
    end: int
    seen_from: int
    seen_to: int
    kind: Literal["text", "json"]


class Content(NamedTuple):
    """A text, what is looked at of it (JSON with its strings decoded, names of fields and all), and what may change."""

    raw: str
    seen: str
    pieces: tuple[Piece, ...]


@functools.lru_cache(maxsize=4096)  # a text is read before it is looked at and after, and many come again
def read(raw: str) -> Content:
    """The pieces of `raw` in order: its JSON values if it is a JSON object or array, else the content itself.

    Of a JSON object the field names stay, unless one is no plain name (`{"jo@example.org": …}`).
    """
    if not _is_json(raw):
        return Content(raw, whole(raw), (Piece(0, len(raw), 0, len(raw), "text"),) if raw else ())
    parts: list[str] = []
    pieces = []
    length = end = 0
    for match in _LITERAL.finditer(raw):
        before = raw[end : match.start()]
        literal = match.group()
        start = length + len(before)
        if literal.startswith('"'):
            text = whole(json.loads(literal, strict=False))
            names_a_field = is_field_name(text) and _KEY_FOLLOWS.match(raw, match.end())
            parts += [before, '"', text, '"']
            length = start + len(text) + 2
            if text and not names_a_field:
                pieces.append(Piece(*match.span(), start + 1, length - 1, "json"))
        else:
            parts += [before, literal]
            length = start + len(literal)
            if sum(c.isdigit() for c in literal) >= _DIGITS_OF_A_PERSONAL_NUMBER:
                pieces.append(Piece(*match.span(), start, length, "json"))
        end = match.end()
    return Content(raw, "".join([*parts, raw[end:]]), tuple(pieces))


def is_field_name(text: str) -> bool:
    """Whether it is a plain name of a field, which says nothing of a person."""
    return _FIELD_NAME.fullmatch(text) is not None


def assemble(content: Content, texts: Sequence[str]) -> str:
    """The raw content with a new text for each piece; where a text is unchanged, so is its literal.

    Field names of one object that became alike are numbered, `<PERSON>` and `<PERSON> 2`: each field stays one.
    """
    changed = {
        piece: text
        for piece, text in zip(content.pieces, texts, strict=True)
        if text != content.seen[piece.seen_from : piece.seen_to]
    }
    if any(_KEY_FOLLOWS.match(content.raw, piece.end) for piece in changed if piece.kind == "json"):
        changed = _kept_apart(content.raw, changed)
    parts: list[str] = []
    end = 0
    for piece, text in changed.items():
        literal = text if piece.kind == "text" else json.dumps(text, ensure_ascii=content.raw.isascii())
        parts += [content.raw[end : piece.start], literal]
        end = piece.end
    return "".join([*parts, content.raw[end:]])


def _kept_apart(raw: str, changed: Mapping[Piece, str]) -> dict[Piece, str]:
    """The new texts, with a number where a field name would be that of another field of its object."""
    names = {start: (which, name) for start, which, name in _field_names(raw)}
    renamed = {piece.start for piece in changed} & names.keys()
    old_of = {names[start]: names[start][1] for start in names.keys() - renamed}  # by object and new name
    apart: dict[Piece, str] = {}
    for piece, text in changed.items():
        apart[piece] = text
        number = 1
        if piece.start in renamed:
            which, old = names[piece.start]
            while old_of.setdefault((which, apart[piece]), old) != old:
                number += 1
                apart[piece] = f"{text} {number}"
    return apart


def _field_names(raw: str) -> Iterator[tuple[int, int, str]]:
    """Where the literal of each field name begins, the number of its object, and the name."""
    within: list[int] = []
    objects = end = 0
    for match in _LITERAL.finditer(raw):
        for mark in raw[end : match.start()]:
            if mark in "{[":
                objects += 1
                within.append(objects)
            elif mark in "}]":
                within.pop()
        end = match.end()
        if match.group().startswith('"') and _KEY_FOLLOWS.match(raw, end):
            yield match.start(), within[-1], whole(json.loads(match.group(), strict=False))


def whole(text: str) -> str:
    """With U+FFFD for each half of a surrogate pair, which JSON may hold and no library reads."""
    return _HALF.sub("\ufffd", text)


def _is_json(content: str) -> bool:
    if content.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(content, strict=False)
    except (ValueError, RecursionError):
        return False
    return True
