"""Worked examples before the question: of every label, short, in both styles, and picked by their score."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import pytest

from conf.schema import Prompt
from tasks.evaluate.batch import common_prefix
from tasks.evaluate.shots import best_of, choose_shots, with_shots
from tasks.rows import Message, Row
from tasks.train.prompts import encode, prompt_text
from tests.builders import ANSWERS, PLAIN, QUESTIONS, make_rows
from tests.tiny import tiny_tokenizer

SYSTEM: Message = {"role": "system", "content": "One word."}
CHAT = Prompt(style="chat")


def row(question: str, answer: str, label: str | None = None) -> Row:
    turns: list[Message] = [SYSTEM, {"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"id": question, "group": "", "messages": turns, "label": label, "source": "", "meta": {}}


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny_tokenizer([*QUESTIONS, *ANSWERS])


SHOTS = [row("no card", "card")["messages"], row("no line", "outage")["messages"]]
ASKED = row("close it", "closing")["messages"]


def test_examples_are_turns_of_a_chat_after_the_one_system_message(tokenizer: Any) -> None:
    assert prompt_text(with_shots(ASKED, SHOTS), CHAT, tokenizer) == (
        "<|system|>One word.<|end|><|user|>no card<|end|><|assistant|>card<|end|>"
        "<|user|>no line<|end|><|assistant|>outage<|end|><|user|>close it<|end|><|assistant|>"
    )


def test_examples_are_lines_in_the_plain_style(tokenizer: Any) -> None:
    assert prompt_text(with_shots(ASKED, SHOTS), PLAIN, tokenizer) == (
        "One word.\nno card\ncard\nno line\noutage\nclose it\n"
    )


@pytest.mark.parametrize("prompt", [CHAT, PLAIN])
def test_the_answer_stays_as_it_was(tokenizer: Any, prompt: Prompt) -> None:
    shown = encode(with_shots(ASKED, SHOTS), prompt, tokenizer)
    assert shown.completion_ids == encode(ASKED, prompt, tokenizer).completion_ids
    assert with_shots(ASKED, []) == list(ASKED)


def test_without_a_system_message_the_examples_come_first() -> None:
    assert with_shots(ASKED[1:], SHOTS)[0] == SHOTS[0][1]


@pytest.mark.parametrize("prompt", [CHAT, PLAIN])
def test_all_rows_begin_with_the_same_tokens_so_that_examples_are_read_once(tokenizer: Any, prompt: Prompt) -> None:
    rows = [with_shots([SYSTEM, *made["messages"]], SHOTS) for made in make_rows(12)]
    ids = [encode(messages, prompt, tokenizer).prompt_ids for messages in rows]
    shared = tokenizer.decode(common_prefix(ids))
    assert all(part in shared for part in ("One word.", "no card", "card", "no line", "outage"))


@pytest.mark.parametrize("k", [1, 3, 4, 6, 8])
def test_every_label_comes_once_before_one_comes_twice(k: int) -> None:
    counts = Counter(chosen["label"] for chosen in choose_shots(make_rows(80), k, seed=3))
    assert counts.total() == k
    assert len(counts) == min(k, 4)
    assert max(counts.values()) - min(counts.values()) <= 1


def test_the_examples_are_among_the_shortest_of_their_label() -> None:
    rows = [row(f"{'long ' * number}question {label} {number}", label, label) for label in "ab" for number in range(40)]
    for seed in range(20):
        chosen = choose_shots(rows, 6, seed)
        assert len({one["id"] for one in chosen}) == 6
        assert max(one["messages"][1]["content"].count("long") for one in chosen) < 10  # a quarter of forty


def test_rare_labels_give_what_they_have_and_the_others_the_rest() -> None:
    rows = [row(f"question {number}", "a", "a") for number in range(10)] + [row("rare", "b", "b")]
    assert Counter(one["label"] for one in choose_shots(rows, 5, seed=0)) == {"a": 4, "b": 1}
    assert len(choose_shots(rows, 50, seed=0)) == 11
    assert choose_shots([], 5, seed=0) == choose_shots(rows, 0, seed=0) == []


def test_equal_seeds_choose_equally_whatever_the_order_of_the_rows_and_others_otherwise() -> None:
    rows = make_rows(80)
    assert choose_shots(rows, 6, seed=1) == choose_shots(rows[::-1], 6, seed=1)
    assert len({tuple(one["id"] for one in choose_shots(rows, 6, seed)) for seed in range(10)}) > 5


def test_a_row_more_changes_few_examples_and_a_label_more_no_order_of_the_others() -> None:
    rows = make_rows(400)
    known = [choose_shots(rows[:399], 8, seed) for seed in range(20)]
    grown = [choose_shots(rows, 8, seed) for seed in range(20)]
    ids = [
        ({one["id"] for one in before}, {one["id"] for one in after})
        for before, after in zip(known, grown, strict=True)
    ]
    assert sum(len(before - after) for before, after in ids) <= 8  # of 160: a row more of a hundred draws no others
    more = [row(f"another {number}", "x", "another label") for number in range(40)]
    for seed in range(20):
        with_more = [one["id"] for one in choose_shots([*rows, *more], 10, seed) if one["label"] != "another label"]
        without = [one["id"] for one in choose_shots(rows, 10, seed)]
        assert with_more == without[: len(with_more)]


def test_rows_without_a_label_and_rows_that_come_twice_serve_too() -> None:
    rows = [row(f"question {number}", "a") for number in range(5)]
    assert len({one["id"] for one in choose_shots([*rows, *rows], 10, seed=0)}) == 5
    assert len(choose_shots([*rows, *rows], 10, seed=0)) == 5


@pytest.mark.parametrize(
    ("scores", "place"),
    [([0.1, 0.5, 0.3], 1), ([0.5, 0.5], 0), ([0.2], 0), ([math.nan, -1.0], 1), ([math.nan, math.nan], 0)],
)
def test_the_best_is_the_first_of_the_highest(scores: list[float], place: int) -> None:
    assert best_of(range(len(scores)), scores.__getitem__) == place


def test_the_best_of_none_is_an_error() -> None:
    with pytest.raises(ValueError, match="empty"):
        best_of([], float)
