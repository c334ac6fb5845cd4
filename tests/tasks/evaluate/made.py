"""Tiny models that really learned their answers, in seconds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from tasks.artifacts import Store
from tasks.results import Adapter, Base, Split
from tasks.rows import Message, read_rows
from tasks.train.exact import decompress
from tasks.train.model import load_base, load_tokenizer
from tasks.train.prompts import Encoded, encode
from tests.builders import ANSWERS, MODEL, PLAIN, QUANTIZATION, QUESTIONS, make_base, make_split
from tests.tiny import tiny_tokenizer

Whole = tuple[Any, Any, list[Encoded]]


class Made(NamedTuple):
    """What an evaluation is given."""

    store: Store
    split: Split
    base: Base
    adapter: Adapter


def make(folder: Path) -> Made:
    """A store with a split, a tiny base, and an adapter that learned the answers on it."""
    store = Store(str(folder / "store"), folder / "cache")
    split, base = make_split(store), make_base(store)
    return Made(store, split, base, _learned_adapter(store, split, base))


def whole_model() -> Whole:
    """A tiny Llama in float32 that learned answers of different lengths, its tokenizer, and prompts of other texts."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tiny_tokenizer(list(ANSWERS))
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            eos_token_id=tokenizer.eos_token_id,
        )
    )

    def examples(numbers: range) -> list[Encoded]:
        """The kind of question decides how often its answer is said, which the tokenizer does not know as a word."""
        texts = [
            (f"{QUESTIONS[number % 4]}, ticket {number * 7919 % 1000}", " ".join(["so"] * (1 + 2 * (number % 4))))
            for number in numbers
        ]
        messages: list[list[Message]] = [
            [{"role": "user", "content": question}, {"role": "assistant", "content": said}] for question, said in texts
        ]
        return [encode(turns, PLAIN, tokenizer) for turns in messages]

    _learn(model, examples(range(60)), steps=60, learning_rate=3.0e-3, dtype=torch.float32)
    return model.eval(), tokenizer, examples(range(60, 84))


def _learn(model: Any, rows: list[Encoded], *, steps: int, learning_rate: float, dtype: Any) -> float:
    """Some steps of AdamW, all rows at once; the last loss."""
    import torch

    width = max(len(row.prompt_ids) + len(row.completion_ids) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full_like(ids, -100)
    for row, (prompt, completion) in enumerate(rows):
        end = len(prompt) + len(completion)
        ids[row, :end] = torch.tensor(prompt + completion)
        labels[row, len(prompt) : end] = torch.tensor(completion)
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=learning_rate)
    last = math.nan
    for _ in range(steps):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            loss = model(input_ids=ids, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        last = loss.item()
    return last


def _learned_adapter(store: Store, split: Split, base: Base) -> Adapter:
    """An adapter on the 4-bit base, trained on the training rows."""
    import torch
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(0)
    folder = store.open(base.files[0]).parent
    tokenizer = load_tokenizer(folder)
    loaded = load_base(folder, MODEL, QUANTIZATION)
    decompress(loaded)
    model = get_peft_model(loaded, LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM"))
    rows = [encode(row["messages"], PLAIN, tokenizer) for row in read_rows([store.open(split.train.rows)])]
    loss = _learn(model, rows, steps=60, learning_rate=1.0e-2, dtype=torch.bfloat16)
    with store.writing("train", "learned") as workspace:
        model.save_pretrained(workspace.folder / "adapter")
        (workspace.folder / "history.jsonl").write_text("")
        names = ("adapter/adapter_config.json", "adapter/adapter_model.safetensors")
        result = Adapter(
            key="learned",
            files=tuple(workspace.artifact(name) for name in names),
            history=workspace.artifact("history.jsonl"),
            steps=60,
            best_step=60,
            train_tokens=1,
            train_loss=loss,
            eval_loss=None,
        )
        store.commit(workspace, result, {})
    return result
