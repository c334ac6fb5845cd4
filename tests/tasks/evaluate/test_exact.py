"""The decompressed 4-bit layers give the numbers of training, bit for bit."""

from __future__ import annotations

from typing import Any

import pytest

from conf.schema import Quantization
from tasks.evaluate import exact
from tasks.evaluate.exact import decompress
from tasks.evaluate.generate import inference
from tasks.train.model import load_base
from tests.builders import MODEL, QUANTIZATION
from tests.tasks.evaluate.made import Made

# peft 0.21 asks transformers 5.23 for an attribute by its old name
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")


def logits(model: Any) -> Any:
    import torch

    ids = torch.arange(5, 45).reshape(4, 10)
    with inference("cpu", "bfloat16"):
        return model(input_ids=ids).logits


def load(made: Made, quantization: Quantization = QUANTIZATION) -> Any:
    return load_base(made.store.open(made.base.files[0]).parent, MODEL, quantization)


def test_decompressed_layers_give_the_logits_of_training_bit_for_bit(made: Made) -> None:
    import torch

    trained_with = load(made).train()  # in this mode bitsandbytes takes the path that training takes
    evaluated = load(made)
    assert decompress(evaluated) == 14  # seven linear layers in each of two blocks
    assert torch.equal(logits(evaluated.eval()), logits(trained_with))


def test_without_room_the_layers_stay_packed_and_the_numbers_are_the_same(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(exact, "SHARE_OF_FREE_MEMORY", 0.0)
    packed = load(made)
    assert decompress(packed) == 0
    assert torch.equal(logits(packed.eval()), logits(load(made).train()))


def test_a_base_without_4_bit_layers_is_left_alone(made: Made) -> None:
    assert decompress(load(made, Quantization(load_in_4bit=False))) == 0
