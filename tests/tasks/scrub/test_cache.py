"""The spans found before: they come back, hold no text, and outlive whoever wrote them."""

from __future__ import annotations

import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conf.settings import PROJECT
from tasks.errors import StoreError
from tasks.scrub.cache import SpanCache
from tasks.scrub.spans import Found

KEY = b"k" * 32
ENGINE = "e" * 64
SPANS = (Found(0, 6, "PERSON", 0.72), Found(9, 23, "EMAIL_ADDRESS", 1.0))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "spans"


@pytest.fixture
def cache(folder: Path) -> Iterator[SpanCache]:
    with closing(SpanCache(folder, ENGINE, KEY)) as opened:
        yield opened


def test_spans_come_back_as_they_went_in_this_run_and_a_later_one(cache: SpanCache, folder: Path) -> None:
    found = {cache.digest("one"): SPANS, cache.digest("none"): ()}
    cache.add(found)
    asked = [*found, cache.digest("never seen")]
    assert cache.known(asked) == found
    cache.close()
    with closing(SpanCache(folder, ENGINE, KEY)) as later:
        assert later.known(asked) == found
        assert all(isinstance(span, Found) for span in later.known(asked)[later.digest("one")])


def test_as_many_may_be_asked_for_as_there_are(cache: SpanCache) -> None:
    found = {cache.digest(str(number)): (Found(number, number + 1, "AGE", 0.5),) for number in range(40_000)}
    cache.add(found)
    assert cache.known(list(found)) == found


def test_what_is_found_anew_replaces_what_was_there(cache: SpanCache) -> None:
    digest = cache.digest("one")
    cache.add({digest: ()})
    cache.add({digest: SPANS})
    assert cache.known([digest]) == {digest: SPANS}


@settings(deadline=None)
@given(st.text(), st.text())
def test_another_text_has_another_digest(tmp_path_factory: pytest.TempPathFactory, one: str, other: str) -> None:
    with closing(SpanCache(tmp_path_factory.getbasetemp() / "digests", ENGINE, KEY)) as cache:
        assert (cache.digest(one) == cache.digest(other)) == (one == other)


def test_half_a_surrogate_pair_has_a_digest_too(cache: SpanCache) -> None:
    assert cache.digest("\ud83d") != cache.digest("\ude00")


def test_another_key_or_another_way_of_looking_knows_nothing(cache: SpanCache, folder: Path) -> None:
    cache.add({cache.digest("one"): SPANS})
    for engine, key in ((ENGINE, b"l" * 32), ("f" * 64, KEY)):
        with closing(SpanCache(folder, engine, key)) as other:
            assert other.known([other.digest("one")]) == {}


def test_neither_a_text_nor_a_value_nor_a_digest_that_could_be_guessed_is_written(
    cache: SpanCache, folder: Path
) -> None:
    text = "Jo Doe / jo@example.org"
    cache.add({cache.digest(text): SPANS})
    opened = b"".join(file.read_bytes() for file in folder.iterdir())
    cache.close()
    closed = b"".join(file.read_bytes() for file in folder.iterdir())
    guessed = [hashlib.blake2b(text.encode(), digest_size=16).digest(), hashlib.sha256(text.encode()).digest()[:16]]
    for written in (opened, closed):
        assert cache.digest(text) in written  # so the bytes that are looked through are those of the entry
        assert b"EMAIL_ADDRESS" in written
        for secret in (text.encode(), b"Jo Doe", b"jo@example.org", b"example", KEY, *guessed):
            assert secret not in written


def test_none_but_the_owner_may_look_into_the_folder(cache: SpanCache, folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_no_cache_is_refused_with_the_file_to_delete(folder: Path) -> None:
    folder.mkdir()
    file = folder / f"{ENGINE[:32]}.sqlite"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=rf"{file}: not a usable cache \(.*\); delete it"):
        SpanCache(folder, ENGINE, KEY)


WRITER = """
import pathlib, sys
from tasks.scrub.cache import SpanCache
from tests.tasks.scrub.test_cache import ENGINE, KEY, SPANS, batches_of
folder, name = sys.argv[1:]
print("ready", flush=True)
sys.stdin.readline()
cache = SpanCache(pathlib.Path(folder), ENGINE, KEY)
for texts in batches_of(name):
    cache.add({cache.digest(text): SPANS for text in texts})
    assert len(cache.known([cache.digest(text) for text in texts])) == len(texts)
"""


def batches_of(name: str) -> list[list[str]]:
    """What a run called so writes; half of it the other writes too."""
    return [[f"{name if n % 2 else 'both'} {batch} {n}" for n in range(20)] for batch in range(150)]


def test_two_processes_may_make_write_and_read_it_at_once(folder: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, folder, name], cwd=PROJECT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for name in ("a", "b")
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write(b"\n")
        writer.stdin.flush()
    for writer in writers:
        writer.communicate()
    assert [writer.returncode for writer in writers] == [0, 0]
    with closing(SpanCache(folder, ENGINE, KEY)) as cache:
        texts = {text for name in ("a", "b") for texts in batches_of(name) for text in texts}
        assert len(cache.known([cache.digest(text) for text in texts])) == len(texts) == 150 * 30


ENDLESS = """
import itertools, pathlib, sys
from tasks.scrub.cache import SpanCache
cache = SpanCache(pathlib.Path(sys.argv[1]), "e" * 64, b"k" * 32)
for batch in itertools.count():
    cache.add({cache.digest(f"{batch} {n}"): () for n in range(100)})
    print(batch, flush=True)
"""


def test_a_kill_in_the_midst_of_writing_loses_nothing_that_was_told_and_leaves_no_half(folder: Path) -> None:
    writing = subprocess.Popen([sys.executable, "-c", ENDLESS, folder], cwd=PROJECT, stdout=subprocess.PIPE)
    assert writing.stdout is not None
    told = -1
    while told < 200:
        told = int(writing.stdout.readline())
    os.kill(writing.pid, signal.SIGKILL)
    told = int((writing.stdout.read().split() or [told])[-1])
    writing.stdout.close()
    assert writing.wait() == -signal.SIGKILL
    with closing(SpanCache(folder, ENGINE, KEY)) as cache:
        batches = [cache.known([cache.digest(f"{batch} {n}") for n in range(100)]) for batch in range(told + 3)]
    assert {len(batch) for batch in batches[: told + 1]} == {100}
    assert {len(batch) for batch in batches[told + 1 :]} <= {0, 100}
    with closing(sqlite3.connect(folder / f"{ENGINE[:32]}.sqlite")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_of_the_files_for_other_ways_of_looking_the_four_newest_stay(folder: Path) -> None:
    for number in range(7):
        with closing(SpanCache(folder, str(number) * 64, KEY)) as cache:
            cache.add({cache.digest("one"): SPANS})
        file = folder / f"{str(number) * 32}.sqlite"
        os.utime(file, (1_000_000 + number, 1_000_000 + number))
        file.with_name(f"{file.name}-wal").touch()  # as a kill leaves it
    with closing(SpanCache(folder, "0" * 64, KEY)):  # it was the oldest, and is gone
        left = {file.name[:2] for file in folder.glob("*.sqlite*")}
        assert left == {"00", "33", "44", "55", "66"}
    with closing(SpanCache(folder, "0" * 64, KEY)) as back:
        assert back.known([back.digest("one")]) == {}


def test_a_file_that_another_run_has_just_removed_ends_no_run(folder: Path) -> None:
    folder.mkdir()
    (folder / "gone.sqlite").symlink_to(folder / "nowhere")  # listed, and not there when it is looked at
    with closing(SpanCache(folder, "0" * 64, KEY)) as cache:
        assert cache.known([cache.digest("one")]) == {}
