"""How fast the arms answer: `python -m benchmarks.evaluate`, about eight minutes on 2 cores.

Side by side in one run, in float32 on the same model (the demo's SmolLM2-135M with an adapter that has just learned a
little) and the same rows (the demo's tickets, with its system message): a loop over transformers' `generate`, its own
batches, and ours; ours with worked examples before each ticket, read once or with every row; and the same rows again
with the cache. No references are scored, as `generate` scores none.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.figures import Figure, show
from conf.load import load_recipe
from conf.schema import Quantization, Recipe
from tasks.artifacts import Store
from tasks.base_model import prepare_base
from tasks.evaluate.batch import common_prefix
from tasks.evaluate.cache import AnswerCache, answer_cached
from tasks.evaluate.generate import Answers, answer, inference
from tasks.evaluate.panel import stop_ids
from tasks.evaluate.shots import choose_shots, with_shots
from tasks.ingest import read_sources
from tasks.results import Base
from tasks.rows import Row, read_rows
from tasks.train.model import load_base, load_tokenizer
from tasks.train.prompts import Encoded, encode

CORES = len(os.sched_getaffinity(0))
ROUNDS = 3
ROWS = 68  # a round: 204 in all, of which one may differ
SHOTS = 4
ROWS_PADDED = 32  # of these, by transformers' own batches
ROWS_WITH_SHOTS = 16  # a round
TAUGHT = 80
NEVER = 10**9  # no prompt shares that many tokens


class Rate(NamedTuple):
    """Rows a second, and rows a second of processor time: on a machine with other work the latter is the steadier."""

    wall: float
    cpu: float


class Arm(NamedTuple):
    """A model that answers, and how."""

    model: Any
    tokenizer: Any
    batch_size: int
    max_new_tokens: int

    def loop(self, examples: Sequence[Encoded]) -> list[list[int]]:
        """A loop over `generate`, greedy, a row at a time."""
        return [ids for example in examples for ids in self._generate([example.prompt_ids])]

    def padded(self, examples: Sequence[Encoded]) -> list[list[int]]:
        """`generate` on as many rows at once as ours, in their order, padded on the left."""
        prompts = [example.prompt_ids for example in examples]
        starts = range(0, len(prompts), self.batch_size)
        return [ids for start in starts for ids in self._generate(prompts[start : start + self.batch_size])]

    def ours(self, examples: Sequence[Encoded], **options: Any) -> Answers:
        """The answers of the evaluation."""
        return answer(
            self.model,
            examples,
            stop_ids=stop_ids(self.model, self.tokenizer),
            pad_id=self.tokenizer.pad_token_id,
            batch_size=self.batch_size,
            max_new_tokens=self.max_new_tokens,
            **options,
        )

    def _generate(self, prompts: Sequence[list[int]]) -> list[list[int]]:
        import torch

        width = max(map(len, prompts))
        padding = [width - len(prompt) for prompt in prompts]
        pad = self.tokenizer.pad_token_id
        output = self.model.generate(
            input_ids=torch.tensor([[pad] * n + prompt for n, prompt in zip(padding, prompts, strict=True)]),
            attention_mask=torch.tensor([[0] * n + [1] * (width - n) for n in padding]),
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
        )
        return [self._until_end(ids) for ids in output[:, width:].tolist()]

    def _until_end(self, ids: list[int]) -> list[int]:
        stops = stop_ids(self.model, self.tokenizer)
        return ids[: next((place for place, token in enumerate(ids) if token in stops), len(ids))]


def prepare(recipe: Recipe, home: Path) -> tuple[Arm, list[Row]]:
    """The base of the recipe in float32 with an adapter that learned from the first rows, and all rows by their id."""
    import torch
    from peft import LoraConfig, get_peft_model

    store = Store(str(home / "store"), home / "cache")
    with store.writing("base", "base") as workspace:
        base: Base = store.commit(workspace, prepare_base(recipe.model, workspace=workspace), {})
    with store.writing("raw", "raw") as workspace:
        raw = read_sources(recipe.datasets, recipe.prompt, recipe.given.folder, None, workspace=workspace)
        store.commit(workspace, raw, {})
    rows = sorted(read_rows(map(store.open, raw.rows)), key=lambda row: row["id"])
    folder = store.open(base.files[0]).parent
    tokenizer = load_tokenizer(folder)
    # sdpa is what transformers takes unasked, and the fastest for all that is compared here
    section = recipe.model.model_copy(update={"attn_implementation": "sdpa"})
    whole = load_base(folder, section, Quantization(load_in_4bit=False, bnb_4bit_compute_dtype="float32"))
    torch.manual_seed(0)
    lora = LoraConfig(
        r=recipe.lora.r,
        lora_alpha=recipe.lora.lora_alpha,
        target_modules=recipe.lora.target_modules,
        task_type="CAUSAL_LM",
    )
    model = get_peft_model(whole, lora)
    teach(model, [encode(row["messages"], recipe.prompt, tokenizer) for row in rows[:TAUGHT]])
    return Arm(model.eval(), tokenizer, recipe.evaluation.batch_size, recipe.evaluation.max_new_tokens), rows[TAUGHT:]


def teach(model: Any, examples: Sequence[Encoded], at_once: int = 8) -> None:
    """One pass over the examples, so that the answers are of the kind and length that they have after a training."""
    import torch

    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=1.0e-3)
    for start in range(0, len(examples), at_once):
        some = examples[start : start + at_once]
        width = max(len(prompt) + len(completion) for prompt, completion in some)
        ids, labels = torch.zeros(len(some), width, dtype=torch.long), torch.full((len(some), width), -100)
        for row, (prompt, completion) in enumerate(some):
            end = len(prompt) + len(completion)
            ids[row, :end] = torch.tensor(prompt + completion)
            labels[row, len(prompt) : end] = torch.tensor(completion)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    print(f"taught by {len(examples)} rows, loss {loss.item():.2f}", flush=True)


def compared(arm: Arm, examples: Sequence[Encoded], home: Path) -> list[Figure]:
    """Rows a second of the three in turn, on other rows each round; what is the same; and the time with the cache."""
    rates: dict[str, list[Rate]] = {"loop": [], "padded": [], "ours": []}
    again: list[float] = []
    same = 0
    for number in range(ROUNDS):
        some = examples[number * ROWS : (number + 1) * ROWS]
        with timed(rates["loop"], len(some)):
            expected = arm.loop(some)
        with timed(rates["padded"], ROWS_PADDED):
            arm.padded(some[:ROWS_PADDED])
        with closing(AnswerCache(home / "answers", f"{number}" * 64)) as cache:
            with timed(rates["ours"], len(some)):
                found = answer_cached(some, cache, arm.ours)
            began = time.perf_counter()
            known = answer_cached(some, cache, _never)
            again.append((time.perf_counter() - began) * rates["ours"][-1].wall / len(some))
        if known != found:
            raise AssertionError("the cache gave other answers back")
        same += sum(one == other for one, other in zip(found.token_ids, expected, strict=True))
        print(
            f"round {number + 1}, load {os.getloadavg()[0]:.1f}: {found.generated_tokens / ROWS:.1f} tokens a row, "
            + ", ".join(f"{way} {rate[-1].wall:.2f} rows/s" for way, rate in rates.items()),
            flush=True,
        )
    return [
        Figure("a loop over generate", _rate(rates["loop"]), unit="rows/s"),
        Figure(f"generate, {arm.batch_size} rows at once", _rate(rates["padded"]), unit="rows/s"),
        Figure(f"ours, {arm.batch_size} rows at once", _rate(rates["ours"]), unit="rows/s"),
        _times("ours over the loop", rates["ours"], rates["loop"], 4),
        _cpu_times("the same, in processor time", rates["ours"], rates["loop"]),
        _times("ours over generate's own batches", rates["ours"], rates["padded"], None),
        Figure("answers the same as the loop's", 100 * same / (ROUNDS * ROWS), 99.5, "%"),
        Figure("all rows known to the cache: share of the time", median(again), 0.01, "", False),
    ]


def shared(arm: Arm, examples: Sequence[Encoded]) -> list[Figure]:
    """Ours with worked examples before each row: read with every row, and read once for all."""
    rates: dict[str, list[Rate]] = {"apart": [], "shared": []}
    same = 0
    for number in range(ROUNDS):
        some = examples[number * ROWS_WITH_SHOTS : (number + 1) * ROWS_WITH_SHOTS]
        with timed(rates["apart"], len(some)):
            expected = arm.ours(some, shared_from=NEVER)
        with timed(rates["shared"], len(some)):
            found = arm.ours(some)
        same += sum(one == other for one, other in zip(found.token_ids, expected.token_ids, strict=True))
        print(
            f"round {number + 1} with examples, load {os.getloadavg()[0]:.1f}: "
            + ", ".join(f"{way} {rate[-1].wall:.2f} rows/s" for way, rate in rates.items()),
            flush=True,
        )
    tokens = len(common_prefix([example.prompt_ids for example in examples]))
    return [
        Figure(f"{SHOTS} examples, read with every row", _rate(rates["apart"]), unit="rows/s"),
        Figure(f"{SHOTS} examples, {tokens} tokens read once", _rate(rates["shared"]), unit="rows/s"),
        _times("read once over read with every row", rates["shared"], rates["apart"], 2),
        _cpu_times("the same, in processor time", rates["shared"], rates["apart"]),
        Figure("answers the same, read once or not", 100 * same / (ROUNDS * ROWS_WITH_SHOTS), unit="%"),
    ]


@contextmanager
def timed(rates: list[Rate], rows: int) -> Iterator[None]:
    """Add the rows a second of what is done inside."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    rates.append(Rate(rows / (time.perf_counter() - wall), rows / (time.process_time() - cpu)))


def _rate(rates: Sequence[Rate]) -> float:
    return median(rate.wall for rate in rates)


def _times(name: str, rates: Sequence[Rate], others: Sequence[Rate], goal: float | None) -> Figure:
    """The median of the rounds' ratios, with their spread."""
    return _spread(name, [rate.wall / other.wall for rate, other in zip(rates, others, strict=True)], goal)


def _cpu_times(name: str, rates: Sequence[Rate], others: Sequence[Rate]) -> Figure:
    return _spread(name, [rate.cpu / other.cpu for rate, other in zip(rates, others, strict=True)], None)


def _spread(name: str, times: Sequence[float], goal: float | None) -> Figure:
    return Figure(f"{name} (from {min(times):.1f} to {max(times):.1f})", median(times), goal, "times")


def _never(examples: list[Encoded]) -> Answers:
    raise AssertionError(f"{len(examples)} rows were not known")


def _bare(rows: Sequence[Row], shots: Sequence[Row], encoded: Callable[[list[Any]], Encoded]) -> list[Encoded]:
    """Prompts without references, after worked examples."""
    messages = [with_shots(row["messages"], [shot["messages"] for shot in shots]) for row in rows]
    return [Encoded(encoded(one).prompt_ids, []) for one in messages]


def main() -> None:
    """Print what was measured."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="one JSON line at the end")
    parser.add_argument("--threads", type=int, default=CORES, help="one a core; fewer where the cores are not free")
    given = parser.parse_args()
    import torch

    torch.set_num_threads(given.threads)
    recipe = load_recipe(Path("demo"))
    with tempfile.TemporaryDirectory() as folder:
        arm, rows = prepare(recipe, Path(folder))
        shots, asked = choose_shots(rows[ROUNDS * ROWS :], SHOTS, seed=0), rows[: ROUNDS * ROWS]

        def encoded(messages: list[Any]) -> Encoded:
            return encode(messages, recipe.prompt, arm.tokenizer)

        with inference("cpu", "float32"):
            warm = _bare(asked[:2], [], encoded)
            arm.loop(warm)
            arm.ours(warm)
            figures = compared(arm, _bare(asked, [], encoded), Path(folder))
            figures += shared(arm, _bare(asked, shots, encoded))
    print(f"{given.threads} threads of torch {torch.__version__}, load {os.getloadavg()[0]:.1f} at the end")
    show("evaluate", figures, as_json=given.json)


if __name__ == "__main__":
    main()
