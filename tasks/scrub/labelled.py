"""Texts with labelled personal values: sentences of ours with placeholders, filled with made-up values.

Never reads a real text. A template file holds templates between lines of `---`, with `{{field}}` where a value goes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.scrub.synthetic import FIELDS, Synthesizer

_PLACEHOLDER = re.compile(r"\{\{\s*([a-z_]+)\s*\}\}")
_BETWEEN = re.compile(r"^---\s*$", re.MULTILINE)


class Span(NamedTuple):
    """Characters `start` to `end` (exclusive) of a text are an entity."""

    start: int
    end: int
    entity: str


class Labelled(NamedTuple):
    """A text, its entities in order, and the genre (file) of its template."""

    text: str
    spans: tuple[Span, ...]
    genre: str


class Template(NamedTuple):
    """A text with placeholders, and the file it stands in."""

    text: str
    genre: str


def read_templates(folder: Path) -> list[Template]:
    """All templates of the folder's `.txt` files, in the order of their names.

    Raises:
        ValueError: a placeholder names no field.
    """
    found: list[Template] = []
    for file in sorted(folder.glob("*.txt")):
        texts = _BETWEEN.split(file.read_text(encoding="utf-8"))
        found += [Template(text.strip("\n"), file.stem) for text in texts if text.strip()]
    unknown = {name for template in found for name in _PLACEHOLDER.findall(template.text)} - FIELDS.keys()
    if unknown:
        raise ValueError(f"{folder}: no field is named {', '.join(sorted(unknown))}")
    return found


def fill(template: Template, values: Synthesizer) -> Labelled:
    """The template with a new value in each place."""
    parts: list[str] = []
    spans: list[Span] = []
    length = end = 0
    for match in _PLACEHOLDER.finditer(template.text):
        value = values.value(match.group(1))
        before = template.text[end : match.start()]
        start = length + len(before)
        if value.entity is not None:
            spans.append(Span(start, start + len(value.text), value.entity))
        parts += [before, value.text]
        length = start + len(value.text)
        end = match.end()
    parts.append(template.text[end:])
    return Labelled("".join(parts), tuple(spans), template.genre)


def filled(templates: Sequence[Template], values: Synthesizer, times: int) -> Iterator[Labelled]:
    """Every template so many times, one round after the other."""
    for _ in range(times):
        for template in templates:
            yield fill(template, values)
