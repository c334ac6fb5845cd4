"""Grown data: what an earlier run made of the same rows is taken from its result, and is what a cold run makes."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.schema import Pii
from conf.settings import PROJECT
from tasks.artifacts import Store
from tasks.errors import StoreError
from tasks.results import ScrubbedData
from tasks.rows import Row, as_table, row_id
from tasks.scrub import MAX_CHARACTERS, scrub_rows
from tasks.scrub.blocks import in_blocks
from tasks.scrub.operators import Replacer
from tests.builders import raw_data
from tests.tasks.scrub.small import pipeline

Change = Callable[[list[Row]], list[Row]]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A model that reads nothing: patterns find enough here."""
    return pipeline(tmp_path_factory.mktemp("blank"))


@pytest.fixture
def pii(reader: str) -> Pii:
    return pii_of(reader)


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of 40 rows, shards of 130: a result of some hundred rows has many, and blocks lie across them."""
    monkeypatch.setattr("tasks.rows.BATCH_ROWS", 40)
    monkeypatch.setattr("tasks.rows.SHARD_ROWS", 130)


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every content that is scrubbed by this code, and not taken from an earlier result."""
    contents: list[str] = []
    scrub_content = Replacer.scrub

    def recording(self: Replacer, content: Any, *rest: Any) -> Any:
        contents.append(content.raw)
        return scrub_content(self, content, *rest)

    monkeypatch.setattr(Replacer, "scrub", recording)
    return contents


def pii_of(model: str, **changes: Any) -> Pii:
    entities = {"EMAIL_ADDRESS": "replace", "IP_ADDRESS": "keep", "CREDIT_CARD": "drop_row"}
    given = {"models": {"en": model}, "entities": entities, "canaries": 20, "second_look": 30}
    return Pii.model_validate({**given, **changes})


def rows_from(numbers: range, source: str = "a.jsonl") -> list[Row]:
    """Rows of which some have finds, some none, some are dropped, and some have a label."""
    return [row(number, place, source) for place, number in enumerate(numbers, 1)]


def row(number: int, line: int, source: str = "a.jsonl") -> Row:
    kinds = [
        f"Write to jo{number}@example.org",
        f"Where is parcel {number}?",
        f"The router {number} is at 192.168.178.{number % 250}",
        f'{{"ticket": {number}, "from": "jo@example.org"}}',
    ]
    question = f"Card 4111 1111 1111 1111, ticket {number}" if number % 37 == 0 else kinds[number % 4]
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": "Hello"}]
    return {
        "id": row_id(messages),  # type: ignore[arg-type]
        "group": str(number),
        "messages": messages,  # type: ignore[typeddict-item]
        "label": [None, "delivery", f"jo{number}@example.org"][number % 3],
        "source": source,
        "meta": {"line": line, "side": None},
    }


def scrub(home: Path, rows: list[Row], pii: Pii, key: str) -> ScrubbedData:
    store = Store(str(home / "store"), home / "cache")
    raw = raw_data(store, rows, key)
    with store.writing("scrub", key) as workspace:
        return store.commit(workspace, scrub_rows(raw, pii, workspace=workspace), {})


def all_but_places(result: ScrubbedData) -> dict[str, Any]:
    """A result without what names it: two runs that make the same differ in nothing else."""
    told = result.model_dump(exclude={"key", "parents"})
    files = [told["rejected"], *told["rows"]]
    for file in files:
        file["path"] = Path(file["path"]).name
    return told


# --- the same to the byte

CHANGES: dict[str, Change] = {
    "the same rows": lambda rows: rows,
    "rows after them": lambda rows: [*rows, *rows_from(range(1000, 1030))],
    "rows before them": lambda rows: [*rows_from(range(1000, 1030)), *rows],
    "rows within them": lambda rows: [*rows[:77], *rows_from(range(1000, 1030)), *rows[77:]],
    "rows taken out": lambda rows: [*rows[9:150], *rows[170:]],
    "a file beside them": lambda rows: [*rows_from(range(1000, 1400), "0.jsonl"), *rows],
    "a row changed": lambda rows: [*rows[:200], row(5000, 201), *rows[201:]],
    "another label": lambda rows: [*rows[:200], {**rows[200], "label": "al@example.org"}, *rows[201:]],
    "other lines, groups and sources": lambda rows: [
        {**row, "meta": {"line": n, "side": "test"}, "group": f"g{n}", "source": "b.csv"} for n, row in enumerate(rows)
    ],
    "a row too long to scrub": lambda rows: [*rows[:50], long_row(), *rows[50:]],
    "all in another order": lambda rows: sorted(rows, key=lambda row: row["id"]),
}


def long_row() -> Row:
    messages = [{"role": "user", "content": "a" * (MAX_CHARACTERS + 1)}]
    return {**row(1, 1), "id": row_id(messages), "messages": messages}  # type: ignore[arg-type,typeddict-item]


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("name", CHANGES)
def test_after_a_change_the_result_is_that_of_a_cold_run_to_the_byte(tmp_path: Path, pii: Pii, name: str) -> None:
    rows = rows_from(range(400))
    scrub(tmp_path / "grown", rows, pii, "before")
    changed = CHANGES[name](rows)
    after = scrub(tmp_path / "grown", changed, pii, "after")
    cold = scrub(tmp_path / "cold", changed, pii, "after")
    assert all_but_places(after) == all_but_places(cold)
    again = scrub(tmp_path / "grown", changed, pii, "again")
    assert all_but_places(again) == all_but_places(cold)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.lists(st.integers(0, 90), max_size=120), min_size=2, max_size=3))
def test_whatever_runs_came_before_the_result_is_that_of_a_cold_run(
    tmp_path_factory: pytest.TempPathFactory, reader: str, runs: list[list[int]]
) -> None:
    home, pii = tmp_path_factory.mktemp("grown"), pii_of(reader)
    for number, numbers in enumerate(runs):
        rows = [*rows_from(range(40)), *(row(n, line) for line, n in enumerate(numbers))]
        result = scrub(home, rows, pii, str(number))
    assert all_but_places(result) == all_but_places(scrub(tmp_path_factory.mktemp("cold"), rows, pii, "cold"))


@pytest.mark.parametrize("operator", ["hash", "surrogate", "pseudonym"])
def test_a_keyed_operator_gives_what_it_gave(tmp_path: Path, reader: str, replaced: list[str], operator: str) -> None:
    pii = pii_of(reader, entities={"EMAIL_ADDRESS": operator}, canaries=0)  # they are scrubbed by the same code
    rows = rows_from(range(100))
    first = scrub(tmp_path, rows, pii, "first")
    replaced.clear()
    assert all_but_places(scrub(tmp_path, rows, pii, "second")) == all_but_places(first)
    assert replaced == []


# --- only what is new is done


def test_of_grown_data_only_what_stands_about_the_new_rows_is_done_again(
    tmp_path: Path, pii: Pii, replaced: list[str]
) -> None:
    rows = rows_from(range(2000))
    scrub(tmp_path, rows, pii, "before")
    replaced.clear()
    scrub(tmp_path, [*rows, *rows_from(range(3000, 3020))], pii, "after")
    assert {f"Write to jo{number}@example.org" for number in range(3000, 3020, 4)} <= set(replaced)
    assert len(replaced) < 3 * (20 + 64)  # a question, an answer and a label each; at most one block of old rows


def test_where_nothing_is_new_nothing_is_looked_at_or_replaced(
    tmp_path: Path, pii: Pii, replaced: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = rows_from(range(300))
    without = pii.model_copy(update={"canaries": 0})  # they are looked for by the same code
    first = scrub(tmp_path, rows, without, "first")
    replaced.clear()
    monkeypatch.setattr("tasks.scrub.look.look_at", lambda *_, **__: pytest.fail("looked again"))
    shutil.rmtree(tmp_path / "cache" / "spans")
    second = scrub(tmp_path, rows, without, "second")
    assert (replaced, all_but_places(second)) == ([], all_but_places(first))


def test_each_run_is_remembered_at_its_own_place_so_that_the_one_before_may_go(
    tmp_path: Path, pii: Pii, replaced: list[str]
) -> None:
    rows = rows_from(range(300))
    without = pii.model_copy(update={"canaries": 0})  # they are scrubbed by the same code
    for key in ("first", "second"):
        result = scrub(tmp_path, rows, without, key)
    shutil.rmtree(tmp_path / "store" / "scrub" / "first")
    replaced.clear()
    assert all_but_places(scrub(tmp_path, rows, without, "third")) == all_but_places(result)
    assert replaced == []


# --- what does not count


@pytest.mark.parametrize(
    "changes",
    [
        {"entities": {"EMAIL_ADDRESS": "replace"}},
        {"entities": {"EMAIL_ADDRESS": "keep", "IP_ADDRESS": "replace", "CREDIT_CARD": "drop_row"}},
        {"roles": ("assistant",)},
        {"score_threshold": 0.9},
        {"deny_list": ("parcel",)},
    ],
)
def test_another_policy_takes_nothing_over(tmp_path: Path, reader: str, pii: Pii, changes: dict[str, Any]) -> None:
    rows = rows_from(range(200))
    scrub(tmp_path / "both", rows, pii, "before")
    other = pii_of(reader, **changes)
    result = scrub(tmp_path / "both", rows, other, "after")
    assert all_but_places(result) == all_but_places(scrub(tmp_path / "alone", rows, other, "after"))


def test_a_numbering_over_a_group_is_counted_from_its_first_row_in_each_run(tmp_path: Path, reader: str) -> None:
    pii = pii_of(reader, entities={"EMAIL_ADDRESS": "pseudonym"}, pseudonym_scope="group")
    rows: list[Row] = [{**row, "group": "one"} for row in rows_from(range(200))]
    scrub(tmp_path / "grown", rows, pii, "before")
    shutil.copytree(tmp_path / "grown" / "cache" / "keys", tmp_path / "cold" / "cache" / "keys")
    grown: list[Row] = [{**rows[0], **row(1000, 1), "group": "one"}, *rows]
    after = scrub(tmp_path / "grown", grown, pii, "after")
    assert all_but_places(after) == all_but_places(scrub(tmp_path / "cold", grown, pii, "after"))


def remove(file: Path) -> None:
    file.unlink()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def alter(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("damage", [remove, cut, alter])
def test_an_earlier_file_that_is_not_what_it_was_is_not_read(
    tmp_path: Path, pii: Pii, replaced: list[str], damage: Callable[[Path], None]
) -> None:
    rows = rows_from(range(400))
    before = scrub(tmp_path, rows, pii, "before")
    damage(tmp_path / "store" / before.rows[1].path)
    replaced.clear()
    after = scrub(tmp_path, rows, pii, "after")
    assert all_but_places(after) == all_but_places(before)
    assert 0 < len(replaced) < 3 * 300  # the rows of one shard of four, and the blocks that reach into it


def test_an_index_that_is_none_is_refused_with_the_file_to_delete(tmp_path: Path, pii: Pii) -> None:
    scrub(tmp_path, rows_from(range(10)), pii, "first")
    (file,) = (tmp_path / "cache" / "blocks").glob("*.sqlite")
    for rest in file.parent.iterdir():
        rest.unlink()
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=rf"{file}: not a usable cache \(.*\); delete it"):
        scrub(tmp_path, rows_from(range(10)), pii, "second")


# --- nothing gets out


def test_the_index_holds_no_text_and_no_digest_that_could_be_guessed(tmp_path: Path, pii: Pii) -> None:
    rows = rows_from(range(100))
    scrub(tmp_path, rows, pii, "first")
    folder = tmp_path / "cache" / "blocks"
    assert folder.stat().st_mode & 0o777 == 0o700
    written = b"".join(file.read_bytes() for file in folder.iterdir())
    assert b"EMAIL_ADDRESS" in written  # so the bytes that are looked through are those of the entries
    for row in rows:
        for text in (row["messages"][0]["content"], str(row["label"] or "parcel"), row["id"]):
            assert text.encode() not in written
            assert hashlib.sha256(text.encode()).digest()[:16] not in written


# --- a kill, and two at once

ENDLESS = """
import sys
from pathlib import Path
import tasks.scrub.blocks
from tests.tasks.scrub.test_blocks import pii_of, rows_from, scrub
home, model = sys.argv[1:]
note = tasks.scrub.blocks.BlockIndex.note
def slow(self, blocks):
    note(self, blocks)
    print("noted", flush=True)
    sys.stdin.readline()
tasks.scrub.blocks.BlockIndex.note = slow
scrub(Path(home), rows_from(range(5000)), pii_of(model), "killed")
"""


def test_a_kill_leaves_what_earlier_runs_left_and_no_more(
    tmp_path: Path, reader: str, pii: Pii, replaced: list[str]
) -> None:
    scrub(tmp_path, rows_from(range(300)), pii, "before")
    running = subprocess.Popen(
        [sys.executable, "-c", ENDLESS, tmp_path, reader], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert running.stdout is not None
    assert running.stdin is not None
    assert running.stdout.readline() == b"noted\n"
    os.kill(running.pid, signal.SIGKILL)
    assert running.wait() == -signal.SIGKILL
    running.stdout.close()
    running.stdin.close()
    replaced.clear()
    rows = rows_from(range(5000))
    after = scrub(tmp_path, rows, pii, "after")
    assert len(replaced) > 0
    assert "Write to jo4@example.org" not in replaced  # of the run before the killed one
    assert all_but_places(after) == all_but_places(scrub(tmp_path / "cold", rows, pii, "after"))


def test_two_runs_at_once_make_what_each_makes_alone(tmp_path: Path, pii: Pii) -> None:
    scrub(tmp_path / "both", rows_from(range(300)), pii, "before")
    data = {"one": rows_from(range(100, 700)), "other": rows_from(range(200, 900))}
    results: dict[str, ScrubbedData] = {}
    problems: list[BaseException] = []

    def run(name: str) -> None:
        try:
            results[name] = scrub(tmp_path / "both", data[name], pii, name)
        except BaseException as error:  # told by the test's own thread
            problems.append(error)

    runs = [threading.Thread(target=run, args=(name,)) for name in data]
    for thread in runs:
        thread.start()
    for thread in runs:
        thread.join()
    assert problems == []
    for name, rows in data.items():
        assert all_but_places(results[name]) == all_but_places(scrub(tmp_path / name, rows, pii, name))


# --- blocks


def blocks_of(rows: list[Row], size: int) -> list[list[str]]:
    tables = (as_table(rows[start : start + size]) for start in range(0, len(rows), size))
    return [block["id"].to_pylist() for block in in_blocks(tables)]


@pytest.fixture
def many() -> list[Row]:
    return rows_from(range(1000))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_blocks_hold_every_row_in_order_however_the_tables_are_cut(many: list[Row], size: int) -> None:
    blocks = blocks_of(many, size)
    assert [row_id for block in blocks for row_id in block] == [row["id"] for row in many]
    assert blocks == blocks_of(many, 64)
    assert all(block for block in blocks)


def test_a_row_put_in_changes_one_block_alone(many: list[Row]) -> None:
    before = blocks_of(many, 64)
    after = blocks_of([*many[:500], row(5000, 1), *many[500:]], 64)
    assert sum(block not in before for block in after) <= 2  # the row may end a block and so make two of one


def test_blocks_of_equal_rows_have_an_end(many: list[Row]) -> None:
    equal = next(row for row in many if not row["id"].endswith("0"))
    assert [len(block) for block in blocks_of([equal] * 150, 40)] == [64, 64, 22]
    assert blocks_of([], 40) == []
