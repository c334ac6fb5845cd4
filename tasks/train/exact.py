"""Decompress a 4-bit base once instead of at every step and token, on a CPU. Never changes a number.

bitsandbytes decompresses a layer's weight at each forward and backward pass of training; doing it once gives the same
logits and gradients bit for bit. `load_base` keeps its fused inference kernel off, whose logits are others.
"""

from __future__ import annotations

from functools import partial
from typing import Any

# Decompressed weights take four times the room; beyond this share of the free memory they stay packed.
SHARE_OF_FREE_MEMORY = 0.25


def decompress(model: Any) -> int:
    """Decompress the 4-bit layers that stand on the CPU; return how many.

    None where they would not fit. Layers on a GPU are left alone.
    """
    import bitsandbytes as bnb
    import psutil
    import torch

    layers = [
        layer for layer in model.modules() if isinstance(layer, bnb.nn.Linear4bit) and layer.weight.device.type == "cpu"
    ]
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
