"""Answers given before: they come back as they were, the model is asked for new rows alone, and a kill harms none."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from conf.settings import PROJECT
from tasks.errors import StoreError
from tasks.evaluate import cache as module
from tasks.evaluate.cache import AnswerCache, Kept, answer_cached, digest_of_example
from tasks.evaluate.generate import Answers, answer, inference
from tasks.evaluate.panel import stop_ids
from tasks.train.prompts import Encoded
from tests.tasks.evaluate.made import Whole

# peft 0.21 asks transformers 5.23 for an attribute by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

ENGINE = "e" * 64
EXAMPLES = [Encoded([1, 2, number], [number, 3]) for number in range(1200)]


def kept(number: int) -> Kept:
    return Kept([number, number + 1], bool(number % 2), number / 7, number % 5, 0.1 * number)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "answers"


@pytest.fixture
def cache(folder: Path) -> Iterator[AnswerCache]:
    with closing(AnswerCache(folder, ENGINE)) as opened:
        yield opened


class Model:
    """The model of the tests, with what it was asked."""

    def __init__(self, whole: Whole) -> None:
        self.whole = whole
        self.asked: list[list[Encoded]] = []

    def __call__(self, examples: list[Encoded]) -> Answers:
        self.asked.append(examples)
        model, tokenizer, _ = self.whole
        options: dict[str, Any] = {"batch_size": 7, "max_new_tokens": 6, "pad_id": 0}
        with inference("cpu", "float32"):
            return answer(model, examples, stop_ids=stop_ids(model, tokenizer), **options)


def test_answers_come_back_exactly_in_this_run_and_a_later_one(cache: AnswerCache, folder: Path) -> None:
    answers = {digest_of_example(example): kept(number) for number, example in enumerate(EXAMPLES)}
    cache.add(answers)
    asked = [*answers, digest_of_example(Encoded([5], [5]))]
    assert cache.known(asked) == answers
    cache.close()
    with closing(AnswerCache(folder, ENGINE)) as later:
        assert later.known(asked) == answers


def test_a_second_time_the_model_is_not_asked_and_all_is_as_it_was(whole: Whole, cache: AnswerCache) -> None:
    model = Model(whole)
    first = answer_cached(whole[2], cache, model)
    second = answer_cached(whole[2], cache, model)
    assert [len(asked) for asked in model.asked] == [len(whole[2])]
    assert first == second._replace(seconds=first.seconds)
    assert second.seconds == pytest.approx(first.seconds)
    assert first.seconds > 0
    assert {True, False} == set(first.ended)


def test_only_new_rows_are_answered_and_the_order_is_that_of_the_rows(whole: Whole, cache: AnswerCache) -> None:
    model = Model(whole)
    answer_cached(whole[2][:10], cache, model)
    found = answer_cached(whole[2][::-1], cache, model)
    assert model.asked[1] == whole[2][:9:-1]
    alone = model(list(whole[2]))
    assert found.token_ids == alone.token_ids[::-1]
    assert found.ended == alone.ended[::-1]
    assert found.nll == pytest.approx(alone.nll[::-1], rel=1e-4)
    assert found.nll_tokens == alone.nll_tokens[::-1]
    assert found.generated_tokens == alone.generated_tokens


def test_equal_rows_are_answered_once_and_count_each(whole: Whole, cache: AnswerCache) -> None:
    model = Model(whole)
    one, other = whole[2][:2]
    found = answer_cached([one, other, one], cache, model)
    assert model.asked == [[one, other]]
    assert found.token_ids[0] == found.token_ids[2] != found.token_ids[1]
    assert found.seconds == pytest.approx(1.5 * answer_cached([one, other], cache, model).seconds)


def test_no_rows_ask_nothing(whole: Whole, cache: AnswerCache) -> None:
    model = Model(whole)
    assert answer_cached([], cache, model) == Answers([], [], [], [], 0)
    assert model.asked == []


def test_another_prompt_another_reference_and_another_border_are_other_rows() -> None:
    rows = [Encoded([1, 2], [3]), Encoded([1], [2, 3]), Encoded([1, 2], []), Encoded([1, 23], []), Encoded([12], [3])]
    assert len({digest_of_example(row) for row in rows}) == len(rows)


def test_another_engine_knows_nothing(cache: AnswerCache, folder: Path) -> None:
    digest = digest_of_example(EXAMPLES[0])
    cache.add({digest: kept(0)})
    with closing(AnswerCache(folder, "f" * 64)) as other:
        assert other.known([digest]) == {}


def test_none_but_the_owner_may_look_into_the_folder(cache: AnswerCache, folder: Path) -> None:
    assert folder.stat().st_mode & 0o777 == 0o700


def test_what_is_no_cache_is_refused_with_the_file_to_delete(folder: Path) -> None:
    folder.mkdir()
    file = folder / f"{ENGINE[:32]}.sqlite"
    file.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreError, match=rf"{file}: not a usable cache \(.*\); delete it"):
        AnswerCache(folder, ENGINE)


def test_two_may_write_and_read_at_once(folder: Path) -> None:
    problems: list[BaseException] = []

    def write(offset: int) -> None:  # half of the rows are also the other's
        try:
            with closing(AnswerCache(folder, ENGINE)) as mine:
                for start in range(offset, offset + 800, 20):
                    some = {digest_of_example(EXAMPLES[n]): kept(n) for n in range(start, start + 20)}
                    mine.add(some)
                    assert mine.known(list(some)) == some
        except BaseException as error:  # told by the test's own thread
            problems.append(error)

    writers = [threading.Thread(target=write, args=(offset,)) for offset in (0, 400)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert problems == []
    with closing(AnswerCache(folder, ENGINE)) as cache:
        assert len(cache.known([digest_of_example(example) for example in EXAMPLES])) == 1200


ENDLESS = """
import itertools, pathlib, sys
from tasks.evaluate.cache import AnswerCache, Kept
cache = AnswerCache(pathlib.Path(sys.argv[1]), "e" * 64)
for batch in itertools.count():
    cache.add({f"{batch} {n}".encode(): Kept([n], True, 0.5, 1, 0.1) for n in range(100)})
    print(batch, flush=True)
"""


def test_a_kill_in_the_midst_of_writing_loses_nothing_that_was_told_and_leaves_no_half(folder: Path) -> None:
    writing = subprocess.Popen([sys.executable, "-c", ENDLESS, folder], cwd=PROJECT, stdout=subprocess.PIPE)
    assert writing.stdout is not None
    told = -1
    while told < 100:
        told = int(writing.stdout.readline())
    os.kill(writing.pid, signal.SIGKILL)
    told = int((writing.stdout.read().split() or [told])[-1])
    writing.stdout.close()
    assert writing.wait() == -signal.SIGKILL
    with closing(AnswerCache(folder, ENGINE)) as cache:
        batches = [cache.known([f"{batch} {n}".encode() for n in range(100)]) for batch in range(told + 3)]
    assert {len(batch) for batch in batches[: told + 1]} == {100}
    assert {len(batch) for batch in batches[told + 1 :]} <= {0, 100}
    with closing(sqlite3.connect(folder / f"{ENGINE[:32]}.sqlite")) as file:
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_is_in_use_stays_however_much_there_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OF_OTHER_ENGINES", 2)
    for number in range(6):
        with closing(AnswerCache(folder, str(number) * 64)) as cache:
            cache.add({b"row": kept(number)})
    day = 24 * 3600
    for number, days in enumerate((40, 29, 31)):
        used = time.time() - days * day
        os.utime(folder / f"{str(number) * 32}.sqlite", (used, used))
    with closing(AnswerCache(folder, ENGINE)):
        assert {file.name[:2] for file in folder.glob("*.sqlite")} == {"11", "33", "44", "55", "ee"}


def test_of_the_files_of_other_engines_the_newest_stay(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_OF_OTHER_ENGINES", 4)
    for number in range(7):
        with closing(AnswerCache(folder, str(number) * 64)) as cache:
            cache.add({b"row": kept(number)})
        file = folder / f"{str(number) * 32}.sqlite"
        os.utime(file, (1_000_000 + number, 1_000_000 + number))
        file.with_name(f"{file.name}-wal").touch()  # as a kill leaves it
    with closing(AnswerCache(folder, "0" * 64)):  # it was the oldest, and is gone
        left = {file.name[:2] for file in folder.glob("*.sqlite*")}
        assert left == {"00", "33", "44", "55", "66"}
