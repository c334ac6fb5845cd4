"""Answers out of a closed set: always one of it, the one that greedy choice leads to, and no likelihood changes."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.evaluate.constrain import Paths, Trie
from tasks.evaluate.generate import Answers, answer, inference
from tasks.evaluate.panel import stop_ids
from tests.tasks.evaluate.made import Whole

# peft 0.21 asks transformers 5.23 for an attribute by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")

# what the model learned to say, what it never said, and labels of which one begins with another
SETS = (
    ("so", "so so so", "so so so so so", "so so so so so so so"),
    ("card", "outage", "closing", "login"),
    ("line", "line down", "line is down", "login"),
    ("card",),
)


def closed(whole: Whole, labels: tuple[str, ...]) -> Trie:
    return Trie([ids_of(whole, label) for label in labels])


def ids_of(whole: Whole, label: str) -> list[int]:
    tokenizer = whole[1]
    return [*tokenizer(label, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]


def run(whole: Whole, **changes: Any) -> Answers:
    model, tokenizer, examples = whole
    options = {"batch_size": 7, "max_new_tokens": 24, "stop_ids": stop_ids(model, tokenizer), "pad_id": 0, **changes}
    with inference("cpu", "float32"):
        return answer(model, examples, **options)


def greedy(whole: Whole, prompt: list[int], answers: list[list[int]]) -> list[int]:
    """One row by plain forward passes: at each place the likeliest token with which some answer goes on."""
    import torch

    said: list[int] = []
    while said not in answers:
        following = sorted({ids[len(said)] for ids in answers if ids[: len(said)] == said})
        with inference("cpu", "float32"):
            logits = whole[0](input_ids=torch.tensor([prompt + said])).logits[0, -1]
        said.append(max(following, key=lambda token: float(logits[token])))
    return said


@pytest.mark.parametrize("labels", SETS)
def test_each_answer_is_the_one_of_the_set_that_greedy_choice_leads_to(whole: Whole, labels: tuple[str, ...]) -> None:
    answers = [ids_of(whole, label) for label in labels]
    found = run(whole, allowed=Trie(answers))
    assert [[*ids, whole[1].eos_token_id] for ids in found.token_ids] == [
        greedy(whole, example.prompt_ids, answers) for example in whole[2]
    ]
    assert all(found.ended)


def test_a_set_that_holds_every_answer_changes_none(whole: Whole) -> None:
    free = run(whole)
    assert run(whole, allowed=closed(whole, SETS[0])).token_ids == free.token_ids
    assert len({tuple(ids) for ids in free.token_ids}) == 4


def test_the_likelihood_of_the_references_knows_no_set(whole: Whole) -> None:
    assert run(whole, allowed=closed(whole, SETS[1])).nll == pytest.approx(run(whole).nll, rel=1e-4)


def test_an_answer_that_is_settled_is_written_out_without_the_model(whole: Whole) -> None:
    calls: list[int] = []
    hook = whole[0].register_forward_pre_hook(lambda *_: calls.append(1))
    try:
        model, tokenizer, examples = whole
        bare = [example._replace(completion_ids=[]) for example in examples]
        with inference("cpu", "float32"):
            found = answer(
                model,
                bare,
                stop_ids=stop_ids(model, tokenizer),
                pad_id=0,
                batch_size=len(bare),
                max_new_tokens=24,
                allowed=closed(whole, ("card",)),
            )
    finally:
        hook.remove()
    assert len(calls) == 1  # the prompts
    assert set(map(tuple, found.token_ids)) == {tuple(ids_of(whole, "card")[:-1])}
    assert found.generated_tokens == len(bare) * len(ids_of(whole, "card"))


def test_a_label_that_does_not_fit_is_cut_and_has_not_ended(whole: Whole) -> None:
    ids = ids_of(whole, "closing")
    found = run(whole, allowed=closed(whole, ("closing",)), max_new_tokens=len(ids) - 1)
    assert set(map(tuple, found.token_ids)) == {tuple(ids[:-1])}
    assert not any(found.ended)
    assert all(run(whole, allowed=closed(whole, ("closing",)), max_new_tokens=len(ids)).ended)


def test_of_equally_likely_tokens_the_first_id_is_chosen_as_without_a_set() -> None:
    import torch

    paths = Paths(Trie([[9, 1], [4, 1], [7, 1]]), 2)
    logits = torch.zeros(2, 12)
    logits[1, [7, 9]] = 1.0
    logits[:, 5] = 8.0  # outside the set
    assert paths.choose(logits).tolist() == [4, 7]


@pytest.mark.parametrize("answers", [[], [[]], [[1, 2], []]])
def test_an_empty_set_or_an_empty_answer_is_refused(answers: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="at least one answer"):
        Trie(answers)
