"""The chain of decisions: what is appended stays, and what is changed, moved, removed or half-written is seen."""

from __future__ import annotations

import json
import multiprocessing
import stat
from pathlib import Path

import pytest

from conf.schema import digest_of
from tasks.errors import LedgerError
from tasks.ledger import Enrolled, Entry, Expired, Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "home" / "ledger.jsonl")
    for name in ("ann", "bob", "cem"):
        ledger.append(Enrolled(approver=name, login="root"))
    return ledger


def lines(ledger: Ledger) -> list[str]:
    return ledger.path.read_text().splitlines(keepends=True)


def test_what_is_appended_is_read_in_order_and_chained(ledger: Ledger) -> None:
    entries = ledger.entries()
    assert [entry.event for entry in entries] == [Enrolled(approver=n, login="root") for n in ("ann", "bob", "cem")]
    assert [entry.number for entry in entries] == [0, 1, 2]
    assert [entry.previous for entry in entries] == ["0" * 64, entries[0].digest, entries[1].digest]


def test_a_ledger_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert Ledger(tmp_path / "ledger.jsonl").entries() == ()


def test_only_its_owner_may_read_it(ledger: Ledger) -> None:
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


@pytest.mark.parametrize("line", [0, 1, 2])
def test_an_edited_entry_is_named(ledger: Ledger, line: int) -> None:
    found = lines(ledger)
    found[line] = found[line].replace('"root"', '"eve"')
    ledger.path.write_text("".join(found))
    with pytest.raises(LedgerError, match=rf"ledger\.jsonl:{line + 1}: was changed"):
        ledger.entries()


def test_an_entry_edited_with_its_digest_breaks_the_next(ledger: Ledger) -> None:
    found = lines(ledger)
    record = json.loads(found[1].replace('"root"', '"eve"'))
    del record["sha256"]
    forged = Entry.model_validate_json(json.dumps(record))
    found[1] = json.dumps({**forged.model_dump(mode="json"), "sha256": forged.digest}) + "\n"
    ledger.path.write_text("".join(found))
    with pytest.raises(LedgerError, match=r"ledger.jsonl:3: does not follow the one before"):
        ledger.entries()


@pytest.mark.parametrize("left", [[1, 2], [0, 2], [1, 0, 2], [0, 0, 1, 2]])
def test_a_removed_moved_or_doubled_entry_is_seen(ledger: Ledger, left: list[int]) -> None:
    found = lines(ledger)
    ledger.path.write_text("".join(found[number] for number in left))
    with pytest.raises(LedgerError, match="does not follow"):
        ledger.entries()


def test_nothing_is_appended_to_a_broken_chain(ledger: Ledger) -> None:
    broken = "".join(lines(ledger)[1:])
    ledger.path.write_text(broken)
    with pytest.raises(LedgerError):
        ledger.append(Enrolled(approver="eve", login="root"))
    assert ledger.path.read_text() == broken


@pytest.mark.parametrize("junk", ["no json\n", "{}\n", "[]\n", '{"sha256": "x"}\n'])
def test_a_line_that_is_no_entry_is_named(ledger: Ledger, junk: str) -> None:
    with ledger.path.open("a") as stream:
        stream.write(junk)
    with pytest.raises(LedgerError, match=r"ledger\.jsonl:4: is no entry"):
        ledger.entries()


def test_a_half_written_line_is_none_and_goes_with_the_next(ledger: Ledger) -> None:
    whole = ledger.path.read_bytes()
    for length in (1, 40, 200):
        ledger.path.write_bytes(whole + whole.splitlines()[0][:length])  # a process was killed while it wrote
        assert len(ledger.entries()) == 3
    entry = ledger.append(Expired(request="a" * 64, why="nobody decided"))
    assert entry.number == 3
    assert len(ledger.entries()) == 4


def test_an_error_of_the_decision_appends_nothing(ledger: Ledger) -> None:
    before = ledger.path.read_bytes()

    def refuse(entries: tuple[Entry, ...]) -> Enrolled:
        raise RuntimeError(len(entries))

    with pytest.raises(RuntimeError, match="3"):
        ledger.append_if(refuse)
    assert ledger.path.read_bytes() == before


def test_what_is_busy_may_append_itself(ledger: Ledger) -> None:
    with ledger.busy():
        ledger.append(Enrolled(approver="dan", login="root"))
    assert len(ledger.entries()) == 4


def _append(path: Path, count: int) -> None:
    for _ in range(count):
        Ledger(path).append(Enrolled(approver="ann", login="root"))


def test_processes_that_write_at_once_keep_the_chain_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    path = tmp_path / "ledger.jsonl"
    processes = [context.Process(target=_append, args=(path, 20)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [entry.number for entry in Ledger(path).entries()] == list(range(60))


def test_a_line_of_an_older_version_that_knew_fewer_fields_keeps_its_digest(tmp_path: Path) -> None:
    event = {"kind": "expired", "request": "ab", "why": "old"}
    record = {"number": 0, "at": "2026-01-01T00:00:00Z", "previous": "0" * 64, "event": event}
    older = {
        **record,
        "event": {"kind": "refused", "request": "ab", "claimed": "ann", "why": "wrong"},
    }  # no attempt yet
    for line in (record, older):
        ledger = Ledger(tmp_path / f"{line['event']['kind']}.jsonl")  # type: ignore[index]
        ledger.path.write_text(json.dumps({**line, "sha256": digest_of(line)}) + "\n")
        (entry,) = ledger.entries()
        assert entry.digest == digest_of(line)
        assert ledger.append(Enrolled(approver="ann", login="root")).previous == digest_of(line)
        assert len(ledger.entries()) == 2
