"""Answers out of a closed set: which token may come next. Never changes a likelihood, only what is chosen.

All arms are held to the same set, so that a base that does not know the form of an answer is compared by what it would
answer. The choice is greedy, token by token, as without a set: not the label that is the most likely as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Node = dict[int, Any]  # token id -> the node after it; the one after the token that ends an answer is empty


class Trie:
    """A closed set of answers by their token ids; each ends with the token that ends an answer.

    Args:
        answers: token ids of each, as `tasks.train.prompts.encode` gives a completion: at least one answer, none empty.
    """

    def __init__(self, answers: Sequence[list[int]]) -> None:
        if not answers or not all(answers):
            raise ValueError("a closed set needs at least one answer, and each answer a token")
        self.root: Node = {}
        for ids in answers:
            node = self.root
            for token in ids:
                node = node.setdefault(token, {})


class Paths:
    """Where each row of a batch stands in the set."""

    def __init__(self, allowed: Trie, rows: int) -> None:
        self._nodes = [allowed.root] * rows

    def choose(self, logits: Any) -> Any:
        """The likeliest token (rows,) that the set allows under `logits` (rows, vocabulary); the rows go on to it."""
        import torch

        allowed = [sorted(node) for node in self._nodes]  # by id: of equals the first wins, as without a set
        width = max(map(len, allowed))
        padded = [ids + ids[:1] * (width - len(ids)) for ids in allowed]
        ids = torch.tensor(padded, device=logits.device)
        tokens = ids.gather(1, logits.gather(1, ids).argmax(1, keepdim=True))[:, 0]
        self._nodes = [node[token] for node, token in zip(self._nodes, tokens.tolist(), strict=True)]
        return tokens

    def settled(self, slot: int) -> list[int]:
        """What is left of a row's answer if only one is still possible, else nothing: the model need not be asked."""
        rest: list[int] = []
        node = self._nodes[slot]
        while len(node) == 1:
            ((token, node),) = node.items()
            rest.append(token)
        return [] if node else rest

    def keep(self, slots: list[int]) -> None:
        """Let go of all other rows."""
        self._nodes = [self._nodes[slot] for slot in slots]
