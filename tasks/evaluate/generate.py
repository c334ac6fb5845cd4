"""Greedy answers in batches, and the likelihood of the reference answers. Never samples and never reads a file.

A batch reads its prompts once: the reference answers are scored on the cached prompts, the cache is cut back, and the
answers are written from there. Rows that have ended leave the batch, so a long answer does not hold the others.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from tasks.train.prompts import Encoded

# Logits held at once while reference answers are scored, in numbers: 64 Mi are 0.4 GB in bfloat16 and float32 together.
MAX_LOGITS = 64 * 2**20
IGNORED = -100  # the label that cross-entropy leaves out


class Answers(NamedTuple):
    """What one arm made of the rows, in the order of the rows.

    `token_ids` without the token that ended the answer; `generated_tokens` counts it. `nll` is the sum over
    `nll_tokens` reference tokens of the negative log likelihood in nats. `seconds` is the time spent on prompts and
    answers, batched; scoring the references is not in it.
    """

    token_ids: list[list[int]]
    generated_tokens: int
    nll: float
    nll_tokens: int
    seconds: float


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
    on_ended: Callable[[int], None] = _nobody,
) -> Answers:
    """Answer every example, the longest prompts first, so that a lack of memory shows at once.

    Args:
        model: a causal language model in evaluation mode, on any device.
        examples: prompts with their reference answers, in token ids.
        stop_ids: an answer ends with any of these.
        on_ended: told how many rows have ended so far.
    """
    order = sorted(range(len(examples)), key=lambda index: (-len(examples[index].prompt_ids), index))
    token_ids: list[list[int]] = [[] for _ in examples]
    generated, nll, nll_tokens, seconds = 0, 0.0, 0, 0.0
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        part = _answer_batch(
            model,
            [examples[index] for index in rows],
            stop_ids=stop_ids,
            pad_id=pad_id,
            max_new_tokens=max_new_tokens,
            on_ended=partial(_after, start, on_ended),
        )
        for index, ids in zip(rows, part.token_ids, strict=True):
            token_ids[index] = ids
        generated += part.generated_tokens
        nll += part.nll
        nll_tokens += part.nll_tokens
        seconds += part.seconds
    return Answers(token_ids, generated, nll, nll_tokens, seconds)


def _after(before: int, on_ended: Callable[[int], None], ended: int) -> None:
    """Pass on how many rows have ended, with those of the batches before."""
    on_ended(before + ended)


@contextlib.contextmanager
def inference(device_type: str, compute_dtype: str) -> Iterator[None]:
    """No gradients, and the mixed precision that the adapter was trained in (`float32` means none)."""
    import torch

    mixed = compute_dtype != "float32"
    with torch.inference_mode(), torch.autocast(device_type, getattr(torch, compute_dtype), enabled=mixed):
        yield


def _answer_batch(
    model: Any,
    examples: list[Encoded],
    *,
    stop_ids: frozenset[int],
    pad_id: int,
    max_new_tokens: int,
    on_ended: Callable[[int], None],
) -> Answers:
    from transformers import DynamicCache

    began = time.perf_counter()
    batch = _Batch(model, DynamicCache(), [example.prompt_ids for example in examples], pad_id)
    first = batch.read_prompts()
    prompts = time.perf_counter() - began
    nll, nll_tokens = batch.score([example.completion_ids for example in examples], first)
    began = time.perf_counter()
    token_ids, generated = _write(batch, first.argmax(-1), stop_ids, max_new_tokens, on_ended)
    return Answers(token_ids, generated, nll, nll_tokens, prompts + time.perf_counter() - began)


def _write(
    batch: _Batch, tokens: Any, stop_ids: frozenset[int], max_new_tokens: int, on_ended: Callable[[int], None]
) -> tuple[list[list[int]], int]:
    """The answers of a batch whose prompts are read; `tokens` (rows,) are the first tokens of the answers."""
    answers: list[list[int]] = [[] for _ in range(batch.rows)]
    open_rows = list(range(batch.rows))
    generated = 0
    for length in range(1, max_new_tokens + 1):
        generated += len(open_rows)
        going = []
        for slot, token in enumerate(tokens.tolist()):
            if token not in stop_ids:
                answers[open_rows[slot]].append(token)
                going.append(slot)
        if not going or length == max_new_tokens:
            break
        if len(going) < len(open_rows):
            open_rows = [open_rows[slot] for slot in going]
            batch.keep(going)
            tokens = tokens[going]
            on_ended(len(answers) - len(open_rows))
        tokens = batch.step(tokens[:, None])[:, -1].argmax(-1)
    on_ended(len(answers))
    return answers, generated


class _Batch:
    """Rows whose prompts are padded on the left, with their cache of keys and values."""

    def __init__(self, model: Any, cache: Any, prompts: list[list[int]], pad_id: int) -> None:
        import torch

        self.model, self.cache, self.rows = model, cache, len(prompts)
        width = max(len(prompt) for prompt in prompts)
        ids = [[pad_id] * (width - len(prompt)) + prompt for prompt in prompts]
        mask = [[0] * (width - len(prompt)) + [1] * len(prompt) for prompt in prompts]
        self._ids = torch.tensor(ids, device=model.device)
        self._mask = torch.tensor(mask, device=model.device)
        # the place of the next token of each row, not counting the padding
        self._next = self._mask.sum(1)

    def read_prompts(self) -> Any:
        """Fill the cache; return the logits (rows, vocabulary) after each prompt."""
        import torch

        positions = (self._mask.cumsum(1) - 1).clamp(min=0)
        # as an index: a slice (logits_to_keep=1) is not contiguous, and torch then copies the output layer once a row
        last = torch.tensor([self._ids.shape[1] - 1], device=self._ids.device)
        return self._forward(self._ids, positions, self._mask, logits_to_keep=last)[:, -1]

    def step(self, ids: Any) -> Any:
        """Append `ids` (rows, width) to every row; return the logits (rows, width, vocabulary) after each."""
        import torch

        width = ids.shape[1]
        positions = self._next[:, None] + torch.arange(width, device=ids.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(self.rows, width)], dim=1)
        self._next = self._next + width
        return self._forward(ids, positions, self._mask)

    def score(self, references: list[list[int]], first: Any) -> tuple[float, int]:
        """Sum of the negative log likelihoods of the references in nats, and their number of tokens.

        Teacher forced: each token is predicted from the true ones before it. The cache is afterwards as it was before.
        A slice of the references goes through the model at a time, so that logits never stand for all tokens at once.
        """
        import torch

        before = self._mask.shape[1]
        width = max(len(reference) for reference in references)
        padded = [reference + [IGNORED] * (width - len(reference)) for reference in references]
        labels = torch.tensor(padded, device=self._ids.device)
        stride = max(1, MAX_LOGITS // (self.rows * first.shape[-1]))
        total = _nll(first[:, None], labels[:, :1])
        for start in range(0, width - 1, stride):
            fed = labels[:, start : min(start + stride, width - 1)]
            logits = self.step(fed.clamp(min=0))  # what is fed after the end of a reference carries no loss
            total += _nll(logits, labels[:, start + 1 : start + 1 + fed.shape[1]])
        self._cut(before)
        return total, sum(len(reference) for reference in references)

    def keep(self, slots: list[int]) -> None:
        """Let go of all other rows."""
        import torch

        index = torch.tensor(slots, device=self._mask.device)
        self.cache.batch_select_indices(index)
        self._mask, self._next, self.rows = self._mask[index], self._next[index], len(slots)

    def _cut(self, width: int) -> None:
        """Forget what was appended after the first `width` places."""
        extra = self._mask.shape[1] - width
        if extra:
            self.cache.crop(-extra)
            self._mask, self._next = self._mask[:, :width], self._next - extra

    def _forward(self, ids: Any, positions: Any, mask: Any, **options: Any) -> Any:
        return self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=self.cache,
            use_cache=True,
            **options,
        ).logits


def _nll(logits: Any, labels: Any) -> float:
    """Sum of the negative log likelihoods of `labels` (rows, width) under `logits` (rows, width, vocabulary)."""
    from torch.nn import functional

    losses = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).float(), labels.reshape(-1), ignore_index=IGNORED, reduction="none"
    )
    return float(losses.double().sum())
