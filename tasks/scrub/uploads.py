"""A second look over what is about to be uploaded, files and texts of a record, by other means than those that scrub.

Says how much it saw, by file and entity; never what.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from conf.schema import Pii, Recipe
from tasks.errors import GateRefused
from tasks.scrub import gone
from tasks.scrub.second_look import look_again, without

_GIVEN = ("id", "label", "prompt", "expected")  # columns of predictions that no model wrote
_CUT = " … ("  # how the report's page ends what it cuts
_READ_ALOUD = frozenset({"alt", "aria-label", "content", "href", "title"})


def look_over(uploads: Mapping[str, Iterable[str]], pii: Pii, answers: Collection[str] = ()) -> dict[str, Any]:
    """What each upload holds of what was to be gone: `{name: {texts, seen, proven, in_answers}}`, all counts.

    Only what is `proven` by a parser or a checksum refuses, not a suspected name. Answers of models are counted apart
    and refuse nothing here: a base model may well make up an address, and the answers of each arm have a figure and
    gates of their own (`second_look`). Equal texts of an upload count once. What is on the allow list is no find.

    Args:
        uploads: names, as the record will have them, and the texts of each.
        pii: what was to be gone, and how many proven values may be left.
        answers: texts that models wrote; see `answers_in`.

    Raises:
        GateRefused: more proven values than `upload_limit`; a line a file, with counts.
    """
    found = {name: _look(texts, pii, frozenset(answers)) for name, texts in uploads.items()}
    _refuse(found, pii.upload_limit)
    return found


def look_over_recipe(recipe: Recipe) -> None:
    """The recipe alone, before a run begins: one of hours need not end on a line of its recipe.

    Raises:
        GateRefused: as `look_over`.
    """
    texts = [without(text, recipe.pii.allow_list) for text in texts_of_recipe(recipe)]
    _refuse({"recipe": {"proven": look_again(texts, gone(recipe.pii), sure=True)}}, recipe.pii.upload_limit)


def _refuse(found: Mapping[str, Any], limit: int) -> None:
    if sum(sum(of["proven"].values()) for of in found.values()) > limit:
        raise GateRefused(
            *(
                f"second look: {', '.join(f'{count} {entity}' for entity, count in sorted(of['proven'].items()))} in "
                f"{name}, so nothing is uploaded; take them out, or see pii.upload_limit"
                for name, of in found.items()
                if of["proven"]
            )
        )


def _look(texts: Iterable[str], pii: Pii, answers: Collection[str]) -> dict[str, Any]:
    own, others = list[str](), list[str]()
    for text in dict.fromkeys(texts):
        (others if _is_answer(text.strip(), answers) else own).append(without(text, pii.allow_list))
    seen = look_again(own, gone(pii))
    return {
        "texts": len(own) + len(others),
        "seen": dict(sorted(seen.items())),
        "proven": dict(sorted(look_again(own, seen, sure=True).items())),
        "in_answers": dict(sorted(look_again(others, gone(pii)).items())),
    }


def _is_answer(text: str, answers: Collection[str]) -> bool:
    if text in answers:
        return True
    begun, cut, _ = text.rpartition(_CUT)
    return bool(cut) and any(answer.startswith(begun) for answer in answers)


def answers_in(predictions: Path) -> frozenset[str]:
    """The texts that only models wrote: one that is also a question or a reference is not among them."""
    table = pq.read_table(predictions)
    given = {text.strip() for name in _GIVEN if name in table.column_names for text in _strings(table[name])}
    written = {text.strip() for name in table.column_names if name not in _GIVEN for text in _strings(table[name])}
    return frozenset(written - given)


def texts_of_recipe(recipe: Recipe) -> list[str]:
    """Its values, its file and what was set otherwise."""
    return [*texts_in(recipe.resolved()), *recipe.given.text.splitlines(), *recipe.given.overrides]


def texts_in(value: Any) -> Iterator[str]:
    """The strings of a JSON value, names of fields too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for name, inner in value.items():
            yield from texts_in(name)
            yield from texts_in(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from texts_in(inner)


def texts_of(file: Path) -> Iterator[str]:
    """The texts of a Parquet, JSON, JSONL or HTML file; the lines of any other, or of one that is not what it says."""
    try:
        if file.suffix == ".parquet":
            yield from _of_parquet(file)
            return
        text = file.read_text(encoding="utf-8", errors="replace")
        if file.suffix == ".json":
            yield from texts_in(json.loads(text))
            return
    except (pa.ArrowInvalid, ValueError):
        text = file.read_text(encoding="utf-8", errors="replace")
    if file.suffix == ".html":
        yield from _of_html(text)
    elif file.suffix == ".jsonl":
        for line in text.splitlines():
            yield from _of_line(line)
    else:
        yield from text.splitlines()


def _of_line(line: str) -> Iterator[str]:
    try:
        yield from texts_in(json.loads(line))
    except ValueError:
        yield line


def _of_parquet(file: Path) -> Iterator[str]:
    with pq.ParquetFile(file) as parquet:
        for batch in parquet.iter_batches():
            for name in batch.schema.names:
                yield from _strings(batch[name])


def _strings(column: Any) -> Iterator[str]:
    """The texts of a column, at any depth; numbers and flags hold none."""
    kind = column.type
    if pa.types.is_nested(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind):
        yield from texts_in(column.to_pylist())


def _of_html(text: str) -> list[str]:
    page = _Page()
    page.feed(text)
    page.close()
    return page.texts


class _Page(HTMLParser):
    """What a person can read of a page. Pictures and drawings are paths and base64, which hold any digits."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[str] = []
        self._style = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._style = tag == "style"
        self.texts += [
            value for name, value in attrs if value and name in _READ_ALOUD and not value.startswith("data:")
        ]

    def handle_endtag(self, tag: str) -> None:  # noqa: ARG002  # what HTMLParser gives
        self._style = False

    def handle_data(self, data: str) -> None:
        if data.strip() and not self._style:
            self.texts.append(data)
