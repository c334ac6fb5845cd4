"""Make a 4-bit base answer with the numbers it was trained with, and faster, on a CPU. Never changes a weight.

On a CPU with AVX512-BF16 bitsandbytes takes a fused kernel for inference, which rounds the scales of the blocks to
bfloat16: its logits differ from those of training. Decompressing each layer once gives the training numbers bit for
bit, and saves decompressing it at every token.
"""

from __future__ import annotations

from functools import partial
from typing import Any

# Decompressed weights take four times the room; beyond this share of the free memory they stay packed.
SHARE_OF_FREE_MEMORY = 0.25


def use_training_numbers(model: Any) -> int:
    """Switch every 4-bit layer on the CPU to the arithmetic of training; return how many were decompressed.

    Call before the first forward pass. Layers on a GPU, where training and inference agree, are left alone.
    """
    import bitsandbytes as bnb
    import psutil
    import torch

    layers = [
        layer for layer in model.modules() if isinstance(layer, bnb.nn.Linear4bit) and layer.weight.device.type == "cpu"
    ]
    for layer in layers:
        layer.support_avx512bf16_for_cpu = False
    # with another compute type bitsandbytes converts on the way, so the short cut would not be the same sum
    fitting = [
        layer
        for layer in layers
        if layer.weight.quant_state.dtype == torch.bfloat16 and layer.compute_dtype == torch.bfloat16
    ]
    needed = 2 * sum(layer.in_features * layer.out_features for layer in fitting)
    if needed > SHARE_OF_FREE_MEMORY * psutil.virtual_memory().available:
        return 0
    for layer in fitting:
        weight = bnb.functional.dequantize_4bit(layer.weight.data.view(-1, 1), layer.weight.quant_state)
        layer.forward = partial(_linear, weight=weight, bias=layer.bias)
    return len(fitting)


def _linear(x: Any, *, weight: Any, bias: Any) -> Any:
    """What `Linear4bit.forward` does after decompressing its weight."""
    from torch.nn import functional

    return functional.linear(x.to(weight.dtype), weight, None if bias is None else bias.to(weight.dtype)).to(x.dtype)
