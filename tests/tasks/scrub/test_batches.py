"""What a model reads at once: in order, complete, and never more than memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from tasks.scrub import batches
from tasks.scrub.batches import cut, in_batches
from tasks.scrub.engine import build_analyzer
from tasks.scrub.finder import Finder
from tasks.scrub.ner.tags import TAGGER
from tests.tasks.scrub.small import policy_of


def test_short_texts_come_in_full_batches_and_long_ones_in_small_ones() -> None:
    texts = ["a" * 10] * 600 + ["b" * 90_000] * 3 + ["c" * 300_000, "d"]
    some = list(in_batches(texts))
    assert [text for batch in some for text in batch] == texts
    assert [len(batch) for batch in some] == [256, 256, 90, 1, 1, 1]


def test_no_batch_is_empty() -> None:
    assert list(in_batches([])) == []
    assert list(in_batches(["a" * 300_000])) == [["a" * 300_000]]


def test_a_long_text_is_cut_after_blanks_and_whole_again_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "CHARACTERS_AT_ONCE", 10)
    assert list(cut("Ask Jo Doe\nabout it, andwithoutanyblank")) == [
        "Ask Jo ",
        "Doe\nabout ",
        "it, ",
        "andwithout",
        "anyblank",
    ]
    assert list(cut("Ask Jo Doe")) == ["Ask Jo Doe"]
    assert list(cut("")) == [""]


def test_the_model_reads_only_so_many_characters_at_once_and_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of("PERSON", "EMAIL_ADDRESS")
    texts = [f"My name is Sarah Thompson, case {n}, write to jo{n}@example.org. " + "It broke. " * n for n in range(40)]
    whole = Finder(policy).find(texts)
    model = (
        build_analyzer("spacy", "tunegate", "en", (), frozenset(policy.entities))
        .nlp_engine.nlp["en"]
        .get_pipe(TAGGER)
        .model
    )
    read: list[int] = []
    predict = type(model).predict

    def recording(self: Any, docs: Sequence[Any]) -> Any:
        if self is model:
            read.append(sum(len(doc.text) for doc in docs))
        return predict(self, docs)

    monkeypatch.setattr(type(model), "predict", recording)
    monkeypatch.setattr(batches, "CHARACTERS_AT_ONCE", 2_000)
    assert Finder(policy).find(texts) == whole
    assert sum(read) == sum(map(len, texts))
    assert max(read) <= 2_000
    assert all(len(found) >= 2 for found in whole)
