"""Files of other tools: whose they are, what they are called, and that none hides another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conf.schema import Evaluation
from tasks.artifacts import sha256_of
from tasks.errors import DataError
from tasks.evaluate.others import metrics_of, others
from tasks.results import Adapter, Artifact

WEIGHTS = "ab" * 32
ADAPTER = Adapter(
    key="k",
    files=(Artifact(path="train/k/adapter_model.safetensors", sha256=WEIGHTS, bytes=1),),
    history=Artifact(path="train/k/history.jsonl", sha256="0" * 64, bytes=1),
    steps=1,
    best_step=1,
    train_tokens=1,
    train_loss=1.0,
    eval_loss=None,
)


def written(folder: Path, **accuracies: float) -> list[Path]:
    """A file of lm-evaluation-harness a task, named by it."""
    files = []
    for task, accuracy in accuracies.items():
        file = folder / f"{task}.json"
        file.write_text(json.dumps({"results": {task.rstrip("_"): {"acc,none": accuracy}}, "configs": {}}))
        files.append(file)
    return files


def section(*files: Path, **more: Any) -> Evaluation:
    entries = [{"format": "lm_eval", "path": file.name, "adapter_sha256": WEIGHTS, **more} for file in files]
    return Evaluation.model_validate({"task": "classification", "external": entries})


def test_two_files_of_one_format_both_count(tmp_path: Path) -> None:
    files = written(tmp_path, mmlu=0.4, arc=0.3)
    found = others(section(*files), files, ADAPTER)
    assert [(other.file, other.sha256) for other in found] == [(file.name, sha256_of(file)) for file in files]
    assert [(m.arm, m.name, m.value) for m in metrics_of(found)] == [
        ("tuned", "lm_eval.mmlu.acc", 0.4),
        ("tuned", "lm_eval.arc.acc", 0.3),
    ]


def test_a_figure_that_stands_in_two_files_is_refused(tmp_path: Path) -> None:
    files = written(tmp_path, mmlu=0.4, mmlu_=0.5)
    with pytest.raises(DataError, match=r"lm_eval\.mmlu\.acc stands in mmlu\.json and in mmlu_\.json; leave one"):
        others(section(*files), files, ADAPTER)


def test_a_file_of_another_adapter_says_nothing_and_hides_nothing(tmp_path: Path) -> None:
    files = written(tmp_path, mmlu=0.4)
    assert others(section(*files, adapter_sha256="cd" * 32), files, ADAPTER) == []
