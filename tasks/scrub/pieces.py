"""A message's content as the pieces of text to look at: the whole of it, or the values of a JSON answer.

Never lets a replacement break JSON: a value is replaced inside its own quotes, all else stays byte for byte.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

# Strings first, so that a number within a string is never taken for one of its own.
_LITERAL = re.compile(r'"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*')
_KEY_FOLLOWS = re.compile(r"\s*:")
_FIELD_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
# The shortest number that can be personal on its own (a local phone number); shorter ones are quantities.
_DIGITS_OF_A_PERSONAL_NUMBER = 7


class Piece(NamedTuple):
    """`text`, as a reader sees it, and where its literal stands in the content."""

    text: str
    start: int
    end: int
    kind: Literal["text", "json"]


def pieces_of(content: str) -> list[Piece]:
    """The pieces of `content` in order: its JSON values if it is a JSON object or array, else the content itself.

    Of a JSON object the field names stay out, unless one is no plain name (`{"jo@example.org": …}`).
    """
    if not _is_json(content):
        return [Piece(content, 0, len(content), "text")] if content else []
    found = []
    for match in _LITERAL.finditer(content):
        literal = match.group()
        if not literal.startswith('"'):
            if sum(c.isdigit() for c in literal) >= _DIGITS_OF_A_PERSONAL_NUMBER:
                found.append(Piece(literal, *match.span(), "json"))
            continue
        text = json.loads(literal, strict=False)
        is_field_name = _FIELD_NAME.fullmatch(text) and _KEY_FOLLOWS.match(content, match.end())
        if text and not is_field_name:
            found.append(Piece(text, *match.span(), "json"))
    return found


def assemble(content: str, pieces: Sequence[Piece], texts: Sequence[str]) -> str:
    """`content` with each piece replaced by the text at its place; where the text is unchanged, so is the literal."""
    parts: list[str] = []
    end = 0
    for piece, text in zip(pieces, texts, strict=True):
        if text == piece.text:
            continue
        literal = text if piece.kind == "text" else json.dumps(text, ensure_ascii=content.isascii())
        parts += [content[end : piece.start], literal]
        end = piece.end
    return "".join([*parts, content[end:]])


def _is_json(content: str) -> bool:
    if content.lstrip()[:1] not in ("{", "["):
        return False
    try:
        json.loads(content, strict=False)
    except (ValueError, RecursionError):
        return False
    return True
