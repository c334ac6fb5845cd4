"""Rows that go through the model together, with their cache of keys and values. Never chooses a token.

What all rows begin with goes through the model once: its keys and values are shared out to the rows of every batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

# Logits held at once while reference answers are scored, in numbers: 64 Mi are 0.4 GB in bfloat16 and float32 together.
MAX_LOGITS = 64 * 2**20
IGNORED = -100  # the label that cross-entropy leaves out


class Prefix(NamedTuple):
    """Tokens that all prompts begin with, and their keys and values, one pair of (1, heads, tokens, width) a layer."""

    length: int
    layers: tuple[tuple[Any, Any], ...] = ()


NOTHING_SHARED = Prefix(0)


def common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """The longest beginning of all prompts that leaves each at least one token; none for a single prompt."""
    if len(prompts) < 2:
        return []
    lowest, highest = min(prompts), max(prompts)  # what these two share, all in between share
    most = min(map(len, prompts)) - 1
    same = next((place for place, (one, other) in enumerate(zip(lowest, highest, strict=False)) if one != other), most)
    return lowest[: min(same, most)]


def read_prefix(model: Any, ids: Sequence[int]) -> Prefix:
    """Let the model read `ids` once; no ids give `NOTHING_SHARED`."""
    import torch
    from transformers import DynamicCache

    if not ids:
        return NOTHING_SHARED
    cache = DynamicCache()
    row = torch.tensor([list(ids)], device=model.device)
    last = torch.tensor([len(ids) - 1], device=model.device)  # the logits are of no use: one place of them
    model(input_ids=row, past_key_values=cache, use_cache=True, logits_to_keep=last)
    return Prefix(len(ids), tuple((layer.keys, layer.values) for layer in cache.layers))


class Batch:
    """Rows whose prompts are padded on the left, after what they share, with their cache of keys and values.

    Args:
        model: a causal language model in evaluation mode, on any device.
        prompts: token ids, the shared prefix included.
        pad_id: what fills the rows up; it is masked.
        prefix: what all prompts begin with, as the model read it.
    """

    def __init__(self, model: Any, prompts: list[list[int]], pad_id: int, prefix: Prefix = NOTHING_SHARED) -> None:
        import torch

        from tasks.evaluate.keys import cache_of

        self.model, self.rows = model, len(prompts)
        self.cache = cache_of(self.rows, prefix.layers)
        rests = [prompt[prefix.length :] for prompt in prompts]
        width = max(map(len, rests))
        ids = [[pad_id] * (width - len(rest)) + rest for rest in rests]
        mask = [[1] * prefix.length + [0] * (width - len(rest)) + [1] * len(rest) for rest in rests]
        self._ids = torch.tensor(ids, device=model.device)
        self._mask = torch.tensor(mask, device=model.device)
        # the place of the next token of each row, not counting the padding
        self._next = self._mask.sum(1)

    def read_prompts(self) -> Any:
        """Fill the cache; return the logits (rows, vocabulary) after each prompt."""
        import torch

        width = self._ids.shape[1]
        positions = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -width:]
        # as an index: a slice (logits_to_keep=1) is not contiguous, and torch then copies the output layer once a row
        last = torch.tensor([width - 1], device=self._ids.device)
        return self._forward(self._ids, positions, self._mask, logits_to_keep=last)[:, -1]

    def step(self, ids: Any) -> Any:
        """Append `ids` (rows, width) to every row; return the logits (rows, width, vocabulary) after each."""
        import torch

        width = ids.shape[1]
        positions = self._next[:, None] + torch.arange(width, device=ids.device)
        self._mask = torch.cat([self._mask, self._mask.new_ones(self.rows, width)], dim=1)
        self._next = self._next + width
        return self._forward(ids, positions, self._mask)

    def score(self, references: list[list[int]], first: Any) -> list[float]:
        """The negative log likelihood of each reference in nats, summed over its tokens; 0 for an empty one.

        Teacher forced: each token is predicted from the true ones before it. The cache is afterwards as it was before.
        A slice of the references goes through the model at a time, so that logits never stand for all tokens at once.

        Args:
            references: token ids, one list a row.
            first: the logits (rows, vocabulary) after the prompts.
        """
        import torch

        before = self._mask.shape[1]
        width = max(map(len, references))
        padded = [reference + [IGNORED] * (width - len(reference)) for reference in references]
        labels = torch.tensor(padded, device=self._ids.device, dtype=torch.long)
        stride = max(1, MAX_LOGITS // (self.rows * first.shape[-1]))
        total = _nll(first[:, None], labels[:, :1]) if width else first.new_zeros(self.rows)
        for start in range(0, width - 1, stride):
            fed = labels[:, start : min(start + stride, width - 1)]
            logits = self.step(fed.clamp(min=0))  # what is fed after the end of a reference carries no loss
            total += _nll(logits, labels[:, start + 1 : start + 1 + fed.shape[1]])
        self._cut(before)
        return [float(nll) for nll in total.tolist()]

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


def _nll(logits: Any, labels: Any) -> Any:
    """Each row's (rows,) negative log likelihood of `labels` (rows, width) under `logits` (rows, width, vocabulary)."""
    from torch.nn import functional

    losses = functional.cross_entropy(
        logits.reshape(-1, logits.shape[-1]).float(), labels.reshape(-1), ignore_index=IGNORED, reduction="none"
    )
    return losses.double().view(labels.shape).sum(1)
