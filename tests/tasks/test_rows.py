"""Rows on their way: what goes in comes out, whatever its texts, and in shards of a bounded size."""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.artifacts import Store, Workspace
from tasks.results import Artifact
from tasks.rows import (
    REJECTED,
    ROWS,
    Message,
    Rejected,
    Row,
    RowWriter,
    completion_of,
    prompt_of,
    read_rows,
    rejection,
    row_id,
    write_rejected,
    write_rows,
)
from tests.builders import make_rows

# every character that UTF-8 can hold: controls, NUL, combining marks, astral planes; half a surrogate pair it cannot
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXTS}), min_size=1
)
MADE_ROWS = st.fixed_dictionaries(
    {
        "id": TEXTS,
        "group": TEXTS,
        "messages": MESSAGES,
        "label": st.none() | TEXTS,
        "source": TEXTS,
        "meta": st.dictionaries(TEXTS, st.none() | TEXTS | st.integers()),
    }
)


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Workspace]:
    with Store(str(tmp_path / "store"), tmp_path / "cache").writing("ingest", "k") as given_workspace:
        yield given_workspace


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of two rows, shards of five."""
    monkeypatch.setattr("tasks.rows.BATCH_ROWS", 2)
    monkeypatch.setattr("tasks.rows.SHARD_ROWS", 5)


@settings(deadline=None)
@given(st.lists(MADE_ROWS, max_size=4))
def test_rows_come_back_as_they_went(rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.parquet"
        with RowWriter(file) as writer:
            for row in rows:
                writer.write(row)
        assert list(read_rows([file])) == rows


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\x00",
        "a\u0000b",
        "\ufeffbom",
        "e\u0301 is not \u00e9",
        "\U0001f469\u200d\U0001f680",
        "\u202eback",
        "\r\n\t",
    ],
)
def test_a_text_is_never_normalised_nor_cut(workspace: Workspace, text: str) -> None:
    row = make_rows(1)[0]
    row["messages"][0]["content"] = text
    files, _ = write_rows(workspace, [row])
    (found,) = read_rows(_paths(workspace, files))
    assert found["messages"][0]["content"] == text


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize(
    ("count", "shards"), [(0, [0]), (1, [1]), (4, [4]), (5, [5]), (6, [5, 1]), (10, [5, 5]), (13, [5, 5, 3])]
)
def test_shards_are_full_but_for_the_last(workspace: Workspace, count: int, shards: list[int]) -> None:
    rows = make_rows(count)
    files, total = write_rows(workspace, iter(rows))
    assert total == count
    assert [pq.ParquetFile(path).metadata.num_rows for path in _paths(workspace, files)] == shards
    assert [Path(file.path).name for file in files] == [f"rows-{number:05d}.parquet" for number in range(len(shards))]
    assert list(read_rows(_paths(workspace, files))) == rows


def test_no_rows_give_one_empty_shard_with_every_column(workspace: Workspace) -> None:
    files, total = write_rows(workspace, [])
    assert (len(files), total) == (1, 0)
    (path,) = _paths(workspace, files)
    assert pq.read_schema(path) == ROWS
    assert list(read_rows([path])) == []


@pytest.mark.usefixtures("small")
def test_no_more_rows_are_taken_than_fill_a_batch_before_they_are_written(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken, held = 0, list[int]()

    def source() -> Iterator[Row]:
        nonlocal taken
        for row in make_rows(9):
            taken += 1
            held.append(taken - written)
            yield row

    written, write_table = 0, pq.ParquetWriter.write_table

    def counted(writer: pq.ParquetWriter, table: object, *rest: object) -> None:
        nonlocal written
        written += len(table)  # type: ignore[arg-type]  # a pyarrow table, which has no types
        write_table(writer, table, *rest)

    monkeypatch.setattr(pq.ParquetWriter, "write_table", counted)
    write_rows(workspace, source())
    assert (taken, written) == (9, 9)
    assert max(held) <= 2


def test_the_same_rows_give_the_same_bytes(workspace: Workspace) -> None:
    first, _ = write_rows(workspace, make_rows(50), "first")
    second, _ = write_rows(workspace, make_rows(50), "second")
    assert [file.sha256 for file in first] == [file.sha256 for file in second]


@pytest.mark.usefixtures("small")
def test_an_error_of_who_gives_the_rows_is_passed_on(workspace: Workspace) -> None:
    def source() -> Iterator[Row]:
        yield from make_rows(3)
        raise ConnectionError("the line is down")

    with pytest.raises(ConnectionError, match="the line is down"):
        write_rows(workspace, source())


def test_rejected_rows_are_counted_by_reason(workspace: Workspace) -> None:
    rejected: list[Rejected] = [
        {"source": "a.jsonl", "line": 3, "id": None, "reason": "no_json"},
        {"source": "a.jsonl", "line": None, "id": "1" * 64, "reason": "duplicate"},
        {"source": "b.csv", "line": 9, "id": None, "reason": "no_json"},
    ]
    artifact, total, reasons = write_rejected(workspace, iter(rejected))
    assert total == 3
    assert [(reason.name, reason.count) for reason in reasons] == [("duplicate", 1), ("no_json", 2)]
    assert pq.read_table(workspace.folder / "rejected.parquet").to_pylist() == rejected
    assert artifact.path == "ingest/k/rejected.parquet"


def test_nothing_rejected_is_an_empty_file_and_no_reasons(workspace: Workspace) -> None:
    artifact, total, reasons = write_rejected(workspace, [])
    assert (total, reasons) == (0, ())
    assert pq.read_schema(workspace.folder / "rejected.parquet") == REJECTED
    assert artifact.bytes > 0


def test_a_rejection_tells_where_the_row_stood_and_none_of_its_text() -> None:
    row = make_rows(2)[1]
    assert rejection(row, "too_long") == {"source": "made", "line": 2, "id": row["id"], "reason": "too_long"}
    row["meta"] = {}
    assert rejection(row, "too_long")["line"] is None


def test_a_row_id_is_the_sha256_of_roles_and_texts() -> None:
    messages: list[Message] = [{"role": "user", "content": "où ?"}, {"role": "assistant", "content": "là"}]
    content = '[["user","où ?"],["assistant","là"]]'
    assert row_id(messages) == hashlib.sha256(content.encode()).hexdigest()


@settings(deadline=None)
@given(MESSAGES)
def test_a_row_id_does_not_depend_on_how_a_message_is_held(messages: list[Message]) -> None:
    turned = [json.loads(json.dumps({"content": m["content"], "role": m["role"]})) for m in messages]
    assert row_id(turned) == row_id(messages)


@settings(deadline=None)
@given(MESSAGES, MESSAGES)
def test_rows_of_other_content_have_other_ids(one: list[Message], other: list[Message]) -> None:
    assert (row_id(one) == row_id(other)) == (one == other)


def test_texts_cannot_be_moved_between_messages_under_the_same_id() -> None:
    joined: list[Message] = [{"role": "user", "content": 'a"],["user","b'}]
    apart: list[Message] = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]
    assert row_id(joined) != row_id(apart)


def test_half_a_surrogate_pair_has_an_id_too() -> None:
    assert row_id([{"role": "user", "content": "\ud83d"}]) != row_id([{"role": "user", "content": "\ud83e"}])


def test_the_prompt_is_all_but_the_last_message() -> None:
    row = make_rows(1)[0]
    row["messages"] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "Because."},
    ]
    assert prompt_of(row) == "Be brief.\nWhy?"
    assert completion_of(row) == "Because."


def _paths(workspace: Workspace, files: tuple[Artifact, ...]) -> list[Path]:
    return [workspace.folder / Path(file.path).name for file in files]
