"""Greedy answers: batched is the same as one by one, and the references are scored as a plain forward pass would."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.evaluate import batch
from tasks.evaluate.generate import Answers, answer, inference, score, texts
from tasks.evaluate.panel import stop_ids
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
    assert batched.nll_tokens == single.nll_tokens == [len(example.completion_ids) for example in whole[2]]


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
    assert not any(endless.ended)
    assert endless.generated_tokens == 5 * len(whole[2])


def test_the_token_that_ends_an_answer_is_counted_but_not_kept(whole: Whole) -> None:
    answers = run(whole)
    assert all(answers.ended)
    assert answers.generated_tokens == sum(len(ids) for ids in answers.token_ids) + len(answers.token_ids)


def test_a_row_has_ended_where_its_answer_fits_and_is_cut_where_it_does_not(whole: Whole) -> None:
    lengths = [len(ids) for ids in run(whole).token_ids]
    longest = max(lengths)
    cut = run(whole, max_new_tokens=longest)  # no room for the longest and the token that ends it
    assert cut.ended == [length < longest for length in lengths]
    assert {True, False} == set(cut.ended)


def likelihoods(whole: Whole, examples: list[Encoded]) -> list[float]:
    """The negative log likelihood of each reference by one plain forward pass a row."""
    import torch

    found = []
    for prompt, completion in examples:
        with inference("cpu", "float32"):
            logits = whole[0](input_ids=torch.tensor([prompt + completion])).logits[0, len(prompt) - 1 : -1]
        logs = logits.double().log_softmax(-1)
        found.append(-sum(float(logs[place, token]) for place, token in enumerate(completion)))
    return found


@pytest.mark.parametrize("logits_at_once", [1, 400 * 7 * 2, batch.MAX_LOGITS])
def test_the_likelihood_equals_that_of_one_plain_forward_pass(
    whole: Whole, monkeypatch: pytest.MonkeyPatch, logits_at_once: int
) -> None:
    monkeypatch.setattr(batch, "MAX_LOGITS", logits_at_once)
    expected = pytest.approx(likelihoods(whole, whole[2]), rel=1e-4)
    assert run(whole).nll == expected
    with inference("cpu", "float32"):
        alone = score(whole[0], whole[2], pad_id=0, batch_size=7)
    assert alone.nll == expected
    assert alone.nll_tokens == [len(example.completion_ids) for example in whole[2]]


def test_running_text_is_scored_from_its_second_token_on(whole: Whole) -> None:
    import torch

    _, tokenizer, _ = whole
    ids = tokenizer("please close my account, the line is down, ticket 77")["input_ids"]
    chunks = [ids[:9], ids[9:], ids[:1]]
    with inference("cpu", "float32"):
        found = score(whole[0], texts(chunks), pad_id=0, batch_size=2)
        losses = [float(whole[0](**_labelled(torch.tensor([chunk]))).loss) for chunk in chunks[:2]]
    assert found.nll_tokens == [8, len(ids) - 10, 0]
    assert found.nll == pytest.approx([loss * n for loss, n in zip([*losses, 0.0], found.nll_tokens, strict=True)])


def _labelled(ids: Any) -> dict[str, Any]:
    return {"input_ids": ids, "labels": ids}


def test_rows_without_a_reference_are_answered_and_not_scored(whole: Whole) -> None:
    some = [Encoded(one.prompt_ids, one.completion_ids if n % 3 else []) for n, one in enumerate(whole[2])]
    none = [Encoded(one.prompt_ids, []) for one in whole[2]]
    full, mixed, bare = run(whole), run(whole, examples=some), run(whole, examples=none)
    assert full.token_ids == mixed.token_ids == bare.token_ids
    assert mixed.nll == pytest.approx([nll if n % 3 else 0.0 for n, nll in enumerate(full.nll)], rel=1e-4)
    assert mixed.nll_tokens == [len(one.completion_ids) for one in some]
    assert bare.nll == [0.0] * len(none)
    assert bare.nll_tokens == [0] * len(none)


@pytest.mark.parametrize(("rows", "most", "sizes"), [(24, 23, [12, 12]), (23, 8, [7, 8, 8]), (7, 7, [7]), (1, 7, [1])])
def test_batches_are_as_few_as_may_be_and_of_like_size(whole: Whole, rows: int, most: int, sizes: list[int]) -> None:
    seen: list[int] = []
    hook = whole[0].register_forward_pre_hook(
        lambda _, __, given: seen.append(len(given["input_ids"])), with_kwargs=True
    )
    try:
        bare = [Encoded(example.prompt_ids, []) for example in whole[2][:rows]]
        run(whole, examples=bare, batch_size=most, max_new_tokens=1)
    finally:
        hook.remove()
    assert seen == sizes


def test_no_rows_ask_nothing(whole: Whole) -> None:
    assert run(whole, examples=[])[:4] == ([], [], [], [])


def test_scoring_the_references_leaves_the_answers_alone(whole: Whole) -> None:
    other = [Encoded(example.prompt_ids, [5, 6, 7] * 9) for example in whole[2]]
    assert run(whole).token_ids == run(whole, examples=other).token_ids


def test_ended_rows_are_told_and_the_last_count_is_all(whole: Whole) -> None:
    told: list[int] = []
    run(whole, on_ended=told.append)
    assert told == sorted(told)
    assert told[-1] == len(whole[2])
