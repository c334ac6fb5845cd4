"""What is looked at in a content and what may change in it: JSON stays JSON, and all else stays byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.scrub.pieces import assemble, read

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(TEXTS, VALUES, max_size=3) | st.lists(VALUES, max_size=3)


def texts_of(raw: str) -> list[str]:
    """What may change in a content, as it is looked at."""
    content = read(raw)
    return [content.seen[piece.seen_from : piece.seen_to] for piece in content.pieces]


def strings_in(value: Any) -> Iterator[str]:
    """The strings of a JSON value that are no field names, in order."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from strings_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from strings_in(inner)


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("", []),
        (" \n", [" \n"]),
        ("Where is it?", ["Where is it?"]),
        ("{not json}", ["{not json}"]),
        ('"a string"', ['"a string"']),
        ("1234567", ["1234567"]),
        ("{}", []),
        ('{"a": "b", "c": [1, 2.5, "d\\"e", ""]}', ["b", 'd"e']),
        (' \n["x", 1234567, 123456, -12345678.0, true, null]', ["x", "1234567", "-12345678.0"]),
        ('{"first name": "Jo", "key": "\\ud83d\\ude00"}', ["first name", "Jo", "\U0001f600"]),
        ('{"a" : "a", "b"\n:"b"}', ["a", "b"]),
        ('{"GB29NWBK60161331926819": "closed", "line_2": "x"}', ["GB29NWBK60161331926819", "closed", "x"]),
        ('{"a": "1, \\"b\\": 2", "c": "12345678"}', ['1, "b": 2', "12345678"]),
        ('{"a": "line\nbreak"}', ["line\nbreak"]),  # not strict JSON, and written all the same
        ('{"a": "x"} and more', ['{"a": "x"} and more']),
        ("[" * 100_000, ["[" * 100_000]),  # too deep for any parser
    ],
)
def test_the_pieces_of_a_content_are_its_values(content: str, texts: list[str]) -> None:
    assert texts_of(content) == texts
    assert assemble(read(content), texts) == content


def test_json_is_looked_at_decoded_with_its_field_names() -> None:
    raw = '{"name": "Jos\\u00e9 \\"Pepe\\" Ruiz", "n": [1, "a\\/b"]}'
    assert read(raw).seen == '{"name": "José "Pepe" Ruiz", "n": [1, "a/b"]}'


@settings(deadline=None)
@given(OBJECTS, st.booleans(), st.sampled_from([None, 2]))
def test_the_same_texts_give_the_same_bytes_however_the_json_is_written(
    value: Any, ascii_only: bool, indent: int
) -> None:
    raw = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    assert assemble(read(raw), texts_of(raw)) == raw


@settings(deadline=None)
@given(OBJECTS.filter(lambda value: any(strings_in(value))), TEXTS)
def test_another_text_in_every_piece_leaves_valid_json_of_the_same_shape(value: Any, text: str) -> None:
    raw = json.dumps(value)
    content = read(raw)
    changed = assemble(content, [f"{text}." for _ in content.pieces])
    assert [given for given in strings_in(value) if given] != []
    assert all(found == f"{text}." for found in strings_in(json.loads(changed)) if found)


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_comes_back_unchanged(raw: str) -> None:
    assert assemble(read(raw), texts_of(raw)) == raw


def test_a_replaced_piece_is_quoted_as_json_needs_it() -> None:
    content = read('{"a": "b", "n": 1234567}')
    assert json.loads(assemble(content, ['say "b"\n', "<X>"])) == {"a": 'say "b"\n', "n": "<X>"}


def test_a_replaced_piece_is_escaped_as_the_content_around_it_is() -> None:
    assert assemble(read('{"a": "x", "b": "\\u00fc"}'), ["Zoë", "ü"]) == '{"a": "Zo\\u00eb", "b": "\\u00fc"}'
    assert assemble(read('{"a": "x", "b": "ü"}'), ["Zoë", "ü"]) == '{"a": "Zoë", "b": "ü"}'


@pytest.mark.parametrize(
    ("raw", "texts", "expected"),
    [
        ('{"a@x": 1, "b@x": 2}', ["<E>", "<E>"], '{"<E>": 1, "<E> 2": 2}'),
        ('{"a@x": 1, "b@x": 2, "c@x": 3}', ["<E>", "<E>", "<E>"], '{"<E>": 1, "<E> 2": 2, "<E> 3": 3}'),
        ('{"a@x": 1, "a@x": 2}', ["<E>", "<E>"], '{"<E>": 1, "<E>": 2}'),  # one name twice stays one
        ('[{"a@x": 1}, {"b@x": 2}]', ["<E>", "<E>"], '[{"<E>": 1}, {"<E>": 2}]'),
        ('{"a@x": {"b@x": 1}, "c@x": []}', ["<E>", "<E>", "<E>"], '{"<E>": {"<E>": 1}, "<E> 2": []}'),
        ('{"<E>": 1, "a@x": 2}', ["<E>", "<E>"], '{"<E>": 1, "<E> 2": 2}'),
        ('{"a@x": 1, "<E>": 2}', ["<E>", "<E>"], '{"<E> 2": 1, "<E>": 2}'),
        ('{"a@x": 1, "Bonn": 2}', ["Bonn"], '{"Bonn 2": 1, "Bonn": 2}'),
        ('{"a@x" : "a@x", "k}{": "b@x"}', ["<E>", "<E>", "k}{", "<E>"], '{"<E>" : "<E>", "k}{": "<E>"}'),
        ('{"a@x": 1, "<E> 2": 2, "b@x": 3}', ["<E>", "<E> 2", "<E>"], '{"<E>": 1, "<E> 2": 2, "<E> 3": 3}'),
    ],
)
def test_field_names_of_one_object_that_become_alike_are_numbered(raw: str, texts: list[str], expected: str) -> None:
    assert assemble(read(raw), texts) == expected


@settings(deadline=None)
@given(OBJECTS)
def test_every_field_stays_one_whatever_becomes_of_its_name(value: Any) -> None:
    def fields(value: Any) -> list[int]:
        inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        return [len(value) if isinstance(value, dict) else 0, *(n for one in inner for n in fields(one))]

    content = read(json.dumps(value))
    assert fields(json.loads(assemble(content, ["<E>" for _ in content.pieces]))) == fields(value)


def test_each_piece_needs_its_text() -> None:
    with pytest.raises(ValueError, match="shorter"):
        assemble(read('["a", "b"]'), ["a"])
