"""The GPU path: the same training on a CUDA device. Run it with `pytest -m gpu` on a machine that has one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tasks.artifacts import Store
from tasks.train import smoke_test, train_adapter
from tests.builders import LORA, MODEL, PLAIN, QUANTIZATION, TRAINING, make_base, make_split

pytestmark = pytest.mark.gpu


def test_an_adapter_trained_on_a_gpu_learns(tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    split, base = make_split(store), make_base(store)
    model = MODEL.model_copy(update={"attn_implementation": "sdpa"})
    with store.writing("smoke", "s") as workspace:
        smoke = smoke_test(split, base, model, PLAIN, QUANTIZATION, LORA, TRAINING, threads=2, workspace=workspace)
        store.commit(workspace, smoke, {})
    with store.writing("train", "t") as workspace:
        adapter = train_adapter(
            split,
            smoke,
            base,
            model,
            PLAIN,
            QUANTIZATION,
            LORA,
            TRAINING,
            tracking=None,
            threads=2,
            workspace=workspace,
        )
    assert adapter.eval_loss is not None
    assert adapter.train_loss < smoke.first_loss
