"""The decompressed 4-bit layers give the numbers of training, bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conf.schema import Quantization
from tasks.artifacts import Store
from tasks.evaluate.generate import inference
from tasks.train import exact
from tasks.train.exact import decompress
from tasks.train.model import load_base
from tests.builders import MODEL, QUANTIZATION, make_base

# peft 0.21 asks transformers 5.23 for an attribute by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def logits(model: Any) -> Any:
    import torch

    ids = torch.arange(5, 45).reshape(4, 10)
    with inference("cpu", "bfloat16"):
        return model(input_ids=ids).logits


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny base."""
    place = tmp_path_factory.mktemp("exact")
    store = Store(str(place / "store"), place / "cache")
    return store.open(make_base(store).files[0]).parent


def load(folder: Path, quantization: Quantization = QUANTIZATION) -> Any:
    return load_base(folder, MODEL, quantization)


def test_decompressed_layers_give_the_logits_of_training_bit_for_bit(folder: Path) -> None:
    import torch

    trained_with = load(folder).train()  # in this mode bitsandbytes takes the path that training takes
    evaluated = load(folder)
    assert decompress(evaluated) == 14  # seven linear layers in each of two blocks
    assert torch.equal(logits(evaluated.eval()), logits(trained_with))


def gradients(base: Any) -> Any:
    """Of the weights of a LoRA adapter, all of one step as training takes it."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    lora = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", init_lora_weights=False)
    model = get_peft_model(base, lora).train()
    ids = torch.arange(5, 45).reshape(4, 10)
    with torch.autocast("cpu", torch.bfloat16):
        model(input_ids=ids, labels=ids).loss.backward()
    return torch.cat([weight.grad.flatten() for weight in model.parameters() if weight.grad is not None])


def test_decompressed_layers_give_the_gradients_of_training_bit_for_bit(folder: Path) -> None:
    import torch

    quick = load(folder)
    decompress(quick)
    found, expected = gradients(quick), gradients(load(folder))
    assert expected.abs().max() > 0
    assert torch.equal(found, expected)


def test_without_room_the_layers_stay_packed_and_the_numbers_are_the_same(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(exact, "SHARE_OF_FREE_MEMORY", 0.0)
    packed = load(folder)
    assert decompress(packed) == 0
    assert torch.equal(logits(packed.eval()), logits(load(folder).train()))


def test_a_base_without_4_bit_layers_is_left_alone(folder: Path) -> None:
    assert decompress(load(folder, Quantization(load_in_4bit=False))) == 0
