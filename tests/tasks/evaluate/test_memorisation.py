"""Canaries that were left in a throw-away training are found in the model, and in no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tasks.evaluate.memorisation import ALTERNATIVES, Canary, Exposure, exposures, is_leak, leaks, make_canaries
from tests.tiny import tiny_base

pytestmark = pytest.mark.slow


def trained(folder: Path, texts: list[str], epochs: int) -> tuple[Any, Any]:
    """A tiny model that has read the texts so many times, and its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tiny_base(folder, texts)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    batches = [torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]]) for text in texts]
    model.train()
    for _ in range(epochs):
        for batch in batches:
            loss = model(input_ids=batch, labels=batch).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    return model.eval(), tokenizer


@pytest.fixture(scope="module")
def canaries() -> list[Canary]:
    return make_canaries(8, seed=3)


def test_values_that_were_left_in_the_training_texts_are_known_by_heart(tmp_path: Path, canaries: list[Canary]) -> None:
    model, tokenizer = trained(tmp_path, [canary.prefix + canary.value for canary in canaries], epochs=60)
    found = exposures(model, tokenizer, canaries)
    assert leaks(found) >= 6
    assert sum(exposure.bits for exposure in found) / len(found) > 5
    assert is_leak(found)


def test_values_that_were_scrubbed_before_training_are_not(tmp_path: Path, canaries: list[Canary]) -> None:
    scrubbed = [f"{canary.prefix}<{canary.field.upper()}>" for canary in canaries]
    model, tokenizer = trained(tmp_path, scrubbed, epochs=60)
    found = exposures(model, tokenizer, canaries)
    assert sum(exposure.bits for exposure in found) / len(found) < 4
    assert not any(exposure.extracted for exposure in found)
    assert not is_leak(found)


def test_one_first_rank_of_many_is_chance_and_three_are_not() -> None:
    by_chance = [Exposure(1, 7.0, False), *[Exposure(60, 1.1, False)] * 30]
    assert not is_leak(by_chance)
    assert is_leak([*[Exposure(1, 7.0, False)] * 3, *[Exposure(60, 1.1, False)] * 28])


def test_a_value_that_the_model_says_counts_whatever_its_rank() -> None:
    assert leaks([Exposure(ALTERNATIVES, 0.1, True), Exposure(50, 1.4, False)]) == 1
