"""Answers that were given before, by the digest of prompt and reference: a nightly run pays for the candidate alone.

Holds what a model said, in token ids, and no prompt: personal values that it said too, so the folder is its owner's
alone. Never mixes two models: what decides an answer names the file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tasks.database import all_or_nothing, open_database
from tasks.evaluate.generate import Answers
from tasks.train.prompts import Encoded

_DIGEST_BYTES = 16
_ASKED_AT_ONCE = 500
# Of other engines so many files stay in any case, and more while they are in use: an arm has several, and recipes of
# one night must not push each other's base out. A row takes some 200 bytes.
_OF_OTHER_ENGINES = 32
_UNUSED_SECONDS = 30 * 24 * 3600


class Kept(NamedTuple):
    """The answer to one row, as `Answers` has it; `seconds` is the row's equal share of the call that answered it.

    Of a row whose reference was scored alone the likelihood, and an empty answer.
    """

    token_ids: list[int]
    ended: bool
    nll: float
    nll_tokens: int
    seconds: float


class AnswerCache:
    """A file of SQLite, which two runs may use at once and a kill leaves whole.

    Args:
        folder: where the files lie, one for each engine.
        engine: digest of all that decides an answer beside its row: base, adapter, quantisation, limits, libraries; and
            of what decides how long it takes: machine, threads, size of the batches.
    """

    def __init__(self, folder: Path, engine: str) -> None:
        self._connection = open_database(
            folder / f"{engine[:32]}.sqlite",
            "CREATE TABLE IF NOT EXISTS answers (row BLOB PRIMARY KEY, token_ids TEXT, ended INTEGER, nll REAL, "
            "nll_tokens INTEGER, seconds REAL) WITHOUT ROWID",
            others=_OF_OTHER_ENGINES,
            unused_seconds=_UNUSED_SECONDS,
        )

    def known(self, digests: Sequence[bytes]) -> dict[bytes, Kept]:
        """The answers to those rows that were answered before."""
        found: dict[bytes, Kept] = {}
        for start in range(0, len(digests), _ASKED_AT_ONCE):
            some = digests[start : start + _ASKED_AT_ONCE]
            marks = ",".join("?" * len(some))
            rows = self._connection.execute(f"SELECT * FROM answers WHERE row IN ({marks})", some)  # noqa: S608
            for digest, token_ids, ended, nll, nll_tokens, seconds in rows:
                found[digest] = Kept(json.loads(token_ids), bool(ended), nll, nll_tokens, seconds)
        return found

    def add(self, answers: Mapping[bytes, Kept]) -> None:
        """Keep answers, all or nothing."""
        rows = [
            (digest, json.dumps(kept.token_ids, separators=(",", ":")), *kept[1:]) for digest, kept in answers.items()
        ]
        with all_or_nothing(self._connection) as cursor:
            cursor.executemany("INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?, ?)", rows)

    def close(self) -> None:
        """Give the file back."""
        self._connection.close()


def digest_of_example(example: Encoded) -> bytes:
    """What stands for a row: its prompt and its reference, and nothing else of it."""
    content = json.dumps([example.prompt_ids, example.completion_ids], separators=(",", ":"))
    return hashlib.blake2b(content.encode(), digest_size=_DIGEST_BYTES).digest()


def answer_cached(
    examples: Sequence[Encoded], cache: AnswerCache, answer_new: Callable[[list[Encoded]], Answers]
) -> Answers:
    """Answer what was never answered, and keep it; equal rows are answered once.

    `Answers.seconds` stays a figure to compare with: a row that was known counts with its share of the time that it
    once took, not with the moment of looking it up. In bfloat16 the rows of a batch may sway an answer where two tokens
    are as likely; a known row keeps the answer that it got in its own.

    Args:
        examples: prompts with their reference answers.
        cache: of the model that answers, and of all that decides how.
        answer_new: called once with the rows that are not known, and not at all without any: it may load the model.
    """
    digests = [digest_of_example(example) for example in examples]
    kept = cache.known(list(dict.fromkeys(digests)))
    new = {digest: example for digest, example in zip(digests, examples, strict=True) if digest not in kept}
    if new:
        answered = dict(zip(new, _apart(answer_new(list(new.values()))), strict=True))
        cache.add(answered)
        kept |= answered
    rows = [kept[digest] for digest in digests]
    return Answers(
        [row.token_ids for row in rows],
        [row.ended for row in rows],
        [row.nll for row in rows],
        [row.nll_tokens for row in rows],
        sum(row.seconds for row in rows),
    )


def _apart(answers: Answers) -> list[Kept]:
    """Answers a row, each with an equal share of the seconds: rows of a batch go through the model together."""
    seconds = answers.seconds / len(answers.token_ids)
    rows = zip(answers.token_ids, answers.ended, answers.nll, answers.nll_tokens, strict=True)
    return [Kept(*row, seconds) for row in rows]
