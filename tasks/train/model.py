"""Load the base model and its tokenizer. Never reaches the network and never reads a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from conf.schema import Model, Quantization


def load_base(folder: Path, model: Model, quantization: Quantization, device: str = "cpu") -> Any:
    """The base as the recipe holds it in memory: NF4 by bitsandbytes, or whole.

    Args:
        folder: safetensors and config, as the base stage left them.
        device: "cpu", or "cuda:0" and so on.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    dtype = getattr(torch, quantization.bnb_4bit_compute_dtype)
    quantized = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantization.bnb_4bit_quant_type,
        bnb_4bit_use_double_quant=quantization.bnb_4bit_use_double_quant,
        bnb_4bit_compute_dtype=dtype,
    )
    base = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        quantization_config=quantized if quantization.load_in_4bit else None,
        attn_implementation=model.attn_implementation,
        device_map={"": device},
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
    )
    _keep_weights_as_quantised(base)
    return base


def _keep_weights_as_quantised(base: Any) -> None:
    """Stop bitsandbytes 0.50 from repacking the weights for its inference kernel on CPUs with AVX512-BF16.

    It repacks at the first forward pass in evaluation mode, rounds the scales to bf16 on the way, and puts them back,
    changed, when a checkpoint is written: each validation would change the frozen base, and its kernel has no gradient.
    """
    for module in base.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer, with a padding token that is not the end of a text where the vocabulary has one."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if tokenizer.pad_token is None or tokenizer.pad_token == tokenizer.eos_token:
        tokenizer.pad_token = tokenizer.unk_token or tokenizer.eos_token
    return tokenizer


def device_of(local_rank: int = 0) -> str:
    """The device of a process: its GPU where there is one."""
    import torch

    return f"cuda:{local_rank}" if torch.cuda.is_available() else "cpu"
