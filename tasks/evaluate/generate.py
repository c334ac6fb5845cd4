"""Greedy answers in batches, and the likelihood of the reference answers. Never samples and never reads a file.

A batch reads its prompts once: the reference answers are scored on the cached prompts, the cache is cut back, and the
answers are written from there. Rows that have ended leave the batch, so a long answer does not hold the others. What
all prompts begin with, a system message or examples, is read once for all batches.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from tasks.evaluate.batch import Batch, Prefix, common_prefix, read_prefix
from tasks.evaluate.constrain import Paths, Trie
from tasks.train.prompts import Encoded

# A shared beginning of fewer tokens is read with each row: a call of the model of its own costs more.
SHARED_FROM = 16


class Answers(NamedTuple):
    """What one arm made of the rows, in the order of the rows.

    Attributes:
        token_ids: the answers, without the token that ended them.
        ended: whether the model ended the answer; False for one cut at `max_new_tokens`.
        nll: the negative log likelihood in nats of each row's reference, summed over its tokens; 0 without one.
        nll_tokens: the number of tokens of each reference.
        seconds: the time spent on prompts and answers, batched; scoring the references is not in it.
    """

    token_ids: list[list[int]]
    ended: list[bool]
    nll: list[float]
    nll_tokens: list[int]
    seconds: float

    @property
    def generated_tokens(self) -> int:
        """The tokens that were written, those that ended an answer included."""
        return sum(map(len, self.token_ids)) + sum(self.ended)


class Scores(NamedTuple):
    """Of each row the negative log likelihood of its reference in nats, summed over its tokens, and their number."""

    nll: list[float]
    nll_tokens: list[int]


def _nobody(ended: int) -> None:
    """The listener where no one looks."""


def answer(
    model: Any,
    examples: Sequence[Encoded],
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    batch_size: int,
    max_new_tokens: int,
    allowed: Trie | None = None,
    shared_from: int = SHARED_FROM,
    on_ended: Callable[[int], None] = _nobody,
) -> Answers:
    """Answer every example, the longest prompts first, so that a lack of memory shows at once.

    Args:
        model: a causal language model in evaluation mode, on any device.
        examples: prompts with their reference answers, in token ids; one without a reference is only answered.
        stop_ids: an answer ends with any of these.
        allowed: the closed set of answers, if there is one; what only one of them can still become is written out
            without asking the model. The likelihood of the references is that without a set.
        shared_from: the fewest tokens at the beginning of all prompts for which they are read once for all rows.
        on_ended: told how many rows have ended so far.
    """
    token_ids: list[list[int]] = [[] for _ in examples]
    ended, nll = [False] * len(examples), [0.0] * len(examples)
    began = time.perf_counter()
    prefix = _shared(model, examples, shared_from)
    seconds = time.perf_counter() - began
    for start, rows in _batches(examples, batch_size):
        part = _answer_batch(
            model,
            [examples[index] for index in rows],
            prefix,
            pad_id,
            _Limits(stop_ids, max_new_tokens, allowed),
            on_ended=partial(_after, start, on_ended),
        )
        for slot, index in enumerate(rows):
            token_ids[index], ended[index], nll[index] = part.token_ids[slot], part.ended[slot], part.nll[slot]
        seconds += part.seconds
    return Answers(token_ids, ended, nll, [len(example.completion_ids) for example in examples], seconds)


def score(
    model: Any, examples: Sequence[Encoded], *, pad_id: int, batch_size: int, shared_from: int = SHARED_FROM
) -> Scores:
    """The likelihood of the references alone: no answer is written.

    Args:
        model: a causal language model in evaluation mode, on any device.
        examples: prompts with their reference answers, in token ids; `texts` makes them of running text.
        shared_from: as for `answer`.
    """
    nll = [0.0] * len(examples)
    prefix = _shared(model, examples, shared_from)
    for _, rows in _batches(examples, batch_size):
        batch = Batch(model, [examples[index].prompt_ids for index in rows], pad_id, prefix)
        part = batch.score([examples[index].completion_ids for index in rows], batch.read_prompts())
        for index, value in zip(rows, part, strict=True):
            nll[index] = value
    return Scores(nll, [len(example.completion_ids) for example in examples])


def texts(chunks: Sequence[list[int]]) -> list[Encoded]:
    """Running text as examples for `score`: the first token of a chunk (at least one) is given, the rest is scored."""
    return [Encoded(chunk[:1], chunk[1:]) for chunk in chunks]


@contextlib.contextmanager
def inference(device_type: str, compute_dtype: str) -> Iterator[None]:
    """No gradients, and the mixed precision that the adapter was trained in (`float32` means none)."""
    import torch

    mixed = compute_dtype != "float32"
    with torch.inference_mode(), torch.autocast(device_type, getattr(torch, compute_dtype), enabled=mixed):
        yield


def _shared(model: Any, examples: Sequence[Encoded], shared_from: int) -> Prefix:
    """What all prompts begin with, read once where it is worth that."""
    ids = common_prefix([example.prompt_ids for example in examples])
    return read_prefix(model, ids if len(ids) >= shared_from else ())


def _batches(examples: Sequence[Encoded], batch_size: int) -> Iterator[tuple[int, list[int]]]:
    """Places of examples that go together, the longest prompts first, and how many went before.

    As few batches as `batch_size` allows, of like size: a step for a few rows takes nearly as long as for many.
    """
    order = sorted(range(len(examples)), key=lambda index: (-len(examples[index].prompt_ids), index))
    count = math.ceil(len(order) / batch_size)
    for number in range(count):
        start, end = len(order) * number // count, len(order) * (number + 1) // count
        yield start, order[start:end]


def _after(before: int, on_ended: Callable[[int], None], ended: int) -> None:
    """Pass on how many rows have ended, with those of the batches before."""
    on_ended(before + ended)


class _Limits(NamedTuple):
    """What ends an answer, and what it may be."""

    stop_ids: frozenset[int]
    max_new_tokens: int
    allowed: Trie | None


def _answer_batch(
    model: Any,
    examples: list[Encoded],
    prefix: Prefix,
    pad_id: int,
    limits: _Limits,
    on_ended: Callable[[int], None],
) -> Answers:
    began = time.perf_counter()
    batch = Batch(model, [example.prompt_ids for example in examples], pad_id, prefix)
    first = batch.read_prompts()
    prompts = time.perf_counter() - began
    references = [example.completion_ids for example in examples]
    nll = batch.score(references, first)
    began = time.perf_counter()
    token_ids, ended = _write(batch, first, limits, on_ended)
    return Answers(token_ids, ended, nll, list(map(len, references)), prompts + time.perf_counter() - began)


def _write(
    batch: Batch, logits: Any, limits: _Limits, on_ended: Callable[[int], None]
) -> tuple[list[list[int]], list[bool]]:
    """The answers of a batch whose prompts are read; `logits` (rows, vocabulary) are those after the prompts."""
    answers: list[list[int]] = [[] for _ in range(batch.rows)]
    ended = [False] * batch.rows
    open_rows = list(range(batch.rows))
    paths = Paths(limits.allowed, batch.rows) if limits.allowed else None
    while True:
        tokens = paths.choose(logits) if paths else logits.argmax(-1)
        going = []
        for slot, (row, token) in enumerate(zip(open_rows, tokens.tolist(), strict=True)):
            room = limits.max_new_tokens - len(answers[row])
            answers[row] += [token, *(paths.settled(slot) if paths else ())][:room]
            if answers[row][-1] in limits.stop_ids:
                answers[row].pop()
                ended[row] = True
            elif len(answers[row]) < limits.max_new_tokens:
                going.append(slot)
        if not going:
            break
        if len(going) < len(open_rows):
            open_rows = [open_rows[slot] for slot in going]
            batch.keep(going)
            tokens = tokens[going]
            if paths:
                paths.keep(going)
            on_ended(len(answers) - len(open_rows))
        logits = batch.step(tokens[:, None])[:, -1]
    on_ended(len(answers))
    return answers, ended
