"""What prompts begin with is read once, and nothing else changes for it."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evaluate.batch import Batch, common_prefix, read_prefix
from tasks.evaluate.generate import SHARED_FROM, Answers, answer, inference, score
from tasks.evaluate.panel import stop_ids
from tasks.train.prompts import Encoded
from tests.tasks.evaluate.made import Whole

# peft 0.21 asks transformers 5.23 for an attribute by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

NEVER = 10**9


def with_beginning(whole: Whole) -> list[Encoded]:
    """The examples after the same 41 tokens, which the model never learned."""
    beginning = [7 + number * 31 % (len(whole[1]) - 7) for number in range(41)]
    return [Encoded(beginning + prompt, completion) for prompt, completion in whole[2]]


def adapted(model: Any) -> Any:
    """The model with an adapter on it that changes what it says."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(1)
    adapter = LoraConfig(r=4, lora_alpha=1, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    return get_peft_model(copy.deepcopy(model), adapter).eval()


@contextmanager
def counted(model: Any) -> Iterator[list[int]]:
    """How many places go through the model, one number a call."""
    places: list[int] = []
    hook = model.register_forward_pre_hook(
        lambda _, __, given: places.append(given["input_ids"].numel()), with_kwargs=True
    )
    try:
        yield places
    finally:
        hook.remove()


def run(model: Any, whole: Whole, shared_from: int, examples: list[Encoded] | None = None) -> Answers:
    with inference("cpu", "float32"):
        return answer(
            model,
            with_beginning(whole) if examples is None else examples,
            stop_ids=stop_ids(model, whole[1]),
            pad_id=0,
            batch_size=5,
            max_new_tokens=24,
            shared_from=shared_from,
        )


@given(st.lists(st.text("ab", min_size=1), min_size=2), st.text("ab"))
def test_the_common_prefix_is_the_longest_that_leaves_each_prompt_a_token(rests: list[str], beginning: str) -> None:
    prompts = [list(map(ord, beginning + rest)) for rest in rests]
    found = common_prefix(prompts)
    assert all(prompt[: len(found)] == found and len(prompt) > len(found) for prompt in prompts)
    longer = {tuple(prompt[: len(found) + 1]) for prompt in prompts}
    assert len(longer) > 1 or min(map(len, prompts)) == len(found) + 1


def test_one_prompt_or_none_shares_nothing() -> None:
    assert common_prefix([]) == common_prefix([[1, 2, 3]]) == []


@pytest.mark.parametrize("arm", ["whole", "adapter", "adapter disabled"])
def test_answers_and_likelihoods_are_those_without_sharing(whole: Whole, arm: str) -> None:
    model = whole[0] if arm == "whole" else adapted(whole[0])
    with model.disable_adapter() if arm == "adapter disabled" else nullcontext():
        shared, apart = run(model, whole, SHARED_FROM), run(model, whole, NEVER)
    assert shared.token_ids == apart.token_ids
    assert shared.ended == apart.ended
    assert shared.nll == pytest.approx(apart.nll, rel=1e-4)
    assert len({tuple(ids) for ids in shared.token_ids}) > 3


def test_the_adapter_reads_the_shared_beginning_too(whole: Whole) -> None:
    model = adapted(whole[0])
    tuned = run(model, whole, SHARED_FROM)
    with model.disable_adapter():
        base = run(model, whole, SHARED_FROM)
    assert base.nll == pytest.approx(run(whole[0], whole, SHARED_FROM).nll, rel=1e-4)
    assert tuned.nll != pytest.approx(base.nll, rel=0.01)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("float64", 1e-11)])
def test_logits_are_those_without_sharing(whole: Whole, dtype: str, tolerance: float) -> None:
    import torch

    model = copy.deepcopy(whole[0]).to(getattr(torch, dtype))
    prompts = [example.prompt_ids for example in with_beginning(whole)]
    with torch.inference_mode():
        prefix = read_prefix(model, common_prefix(prompts))
        shared, apart = Batch(model, prompts, 0, prefix), Batch(model, prompts, 0)
        assert prefix.length >= 41
        first, expected = shared.read_prompts(), apart.read_prompts()
        torch.testing.assert_close(first, expected, atol=tolerance, rtol=tolerance)
        one_by_one = torch.cat([model(input_ids=torch.tensor([prompt])).logits[:, -1] for prompt in prompts])
        torch.testing.assert_close(first, one_by_one, atol=tolerance, rtol=tolerance)
        some = [0, 3, 11]
        shared.keep(some)
        apart.keep(some)
        fed = first[some].argmax(-1)[:, None]
        torch.testing.assert_close(shared.step(fed), apart.step(fed), atol=tolerance, rtol=tolerance)


def test_the_beginning_goes_through_the_model_once_and_then_never(whole: Whole) -> None:
    examples = [Encoded(prompt, []) for prompt, _ in with_beginning(whole)]
    length = len(common_prefix([example.prompt_ids for example in examples]))
    with counted(whole[0]) as shared:
        run(whole[0], whole, length, examples)
    with counted(whole[0]) as apart:
        run(whole[0], whole, length + 1, examples)
    assert shared[0] == length
    assert sum(apart) - sum(shared) == length * (len(examples) - 1)


def test_likelihoods_alone_share_the_beginning_too(whole: Whole) -> None:
    examples = with_beginning(whole)
    with inference("cpu", "float32"), counted(whole[0]) as shared:
        found = score(whole[0], examples, pad_id=0, batch_size=5)
    with inference("cpu", "float32"), counted(whole[0]) as apart:
        expected = score(whole[0], examples, pad_id=0, batch_size=5, shared_from=NEVER)
    assert found.nll == pytest.approx(expected.nll, rel=1e-4)
    assert sum(apart) - sum(shared) >= 41 * (len(examples) - 1)
    assert max(found.nll) > 0


def test_equal_prompts_keep_a_token_each(whole: Whole) -> None:
    examples = [with_beginning(whole)[0]] * 4
    assert run(whole[0], whole, 1, examples).token_ids == run(whole[0], whole, NEVER, examples).token_ids
