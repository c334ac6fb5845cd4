"""Greedy answers: batched is the same as one by one, and the references are scored as a plain forward pass would."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.evaluate import generate
from tasks.evaluate.arms import stop_ids
from tasks.evaluate.generate import Answers, answer, inference
from tasks.train.prompts import Encoded
from tests.tasks.evaluate.made import Whole

# peft 0.21 asks transformers 5.23 for an attribute by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def run(whole: Whole, **changes: Any) -> Answers:
    model, tokenizer, examples = whole
    options = {"batch_size": 7, "max_new_tokens": 24, "stop_ids": stop_ids(model, tokenizer), "pad_id": 0, **changes}
    with inference("cpu", "float32"):
        return answer(model, options.pop("examples", examples), **options)


def test_batched_answers_equal_those_one_by_one(whole: Whole) -> None:
    batched, single = run(whole), run(whole, batch_size=1)
    assert batched.token_ids == single.token_ids
    assert batched.generated_tokens == single.generated_tokens
    assert batched.nll == pytest.approx(single.nll, rel=1e-4)
    assert batched.nll_tokens == single.nll_tokens == sum(len(example.completion_ids) for example in whole[2])


def test_answers_equal_those_of_transformers_generate(whole: Whole) -> None:
    import torch

    model, tokenizer, examples = whole
    expected = []
    for example in examples:
        ids = torch.tensor([example.prompt_ids])
        with inference("cpu", "float32"):
            output = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False
            )
        new = output[0, ids.shape[1] :].tolist()
        expected.append([token for token in new if token != tokenizer.eos_token_id])
    assert run(whole).token_ids == expected


def test_answers_of_different_lengths_end_on_their_own(whole: Whole) -> None:
    lengths = {len(ids) for ids in run(whole).token_ids}
    assert len(lengths) == 4
    assert max(lengths) < 24


def test_the_answers_do_not_depend_on_the_order_of_the_rows(whole: Whole) -> None:
    forward, backward = run(whole), run(whole, examples=whole[2][::-1])
    assert forward.token_ids == backward.token_ids[::-1]


def test_without_an_end_an_answer_has_exactly_max_new_tokens(whole: Whole) -> None:
    endless = run(whole, stop_ids=frozenset(), max_new_tokens=5)
    assert {len(ids) for ids in endless.token_ids} == {5}
    assert endless.generated_tokens == 5 * len(whole[2])


def test_the_token_that_ends_an_answer_is_counted_but_not_kept(whole: Whole) -> None:
    answers = run(whole)
    ended = sum(len(ids) for ids in answers.token_ids) + len(answers.token_ids)
    assert answers.generated_tokens == ended


@pytest.mark.parametrize("logits_at_once", [1, 400 * 7 * 2, generate.MAX_LOGITS])
def test_the_likelihood_equals_that_of_one_plain_forward_pass(
    whole: Whole, monkeypatch: pytest.MonkeyPatch, logits_at_once: int
) -> None:
    import torch

    model, _, examples = whole
    expected = 0.0
    for prompt, completion in examples:
        with inference("cpu", "float32"):
            logits = model(input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        likelihoods = logits.double().log_softmax(-1)
        expected -= sum(float(likelihoods[place, token]) for place, token in enumerate(completion))
    monkeypatch.setattr(generate, "MAX_LOGITS", logits_at_once)
    answers = run(whole)
    assert answers.nll == pytest.approx(expected, rel=1e-4)


def test_scoring_the_references_leaves_the_answers_alone(whole: Whole) -> None:
    other = [Encoded(example.prompt_ids, [5, 6, 7] * 9) for example in whole[2]]
    assert run(whole).token_ids == run(whole, examples=other).token_ids


def test_ended_rows_are_told_and_the_last_count_is_all(whole: Whole) -> None:
    told: list[int] = []
    run(whole, on_ended=told.append)
    assert told == sorted(told)
    assert told[-1] == len(whole[2])
