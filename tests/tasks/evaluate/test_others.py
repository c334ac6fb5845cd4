"""Files of other tools: whose they are, what they are called, and that none hides another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from conf.schema import OF_CANDIDATE, External
from tasks.artifacts import sha256_of
from tasks.errors import DataError, RecipeError
from tasks.evaluate.others import Other, files_of_others, metrics_of, others
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


def read(folder: Path, *paths: str, adapter_sha256: str | None = WEIGHTS, data: Path | None = None) -> list[Other]:
    """What a recipe in this folder that names these files hears of the adapter."""
    section = [External(format="lm_eval", path=path, adapter_sha256=adapter_sha256) for path in paths]
    return others(files_of_others(section, str(folder), data, ADAPTER))


def test_two_files_of_one_format_both_count(tmp_path: Path) -> None:
    files = written(tmp_path, mmlu=0.4, arc=0.3)
    found = read(tmp_path, "mmlu.json", "arc.json")
    assert [(other.file, other.sha256) for other in found] == [(file.name, sha256_of(file)) for file in files]
    assert [(m.arm, m.name, m.value) for m in metrics_of(found)] == [
        ("tuned", "lm_eval.mmlu.acc", 0.4),
        ("tuned", "lm_eval.arc.acc", 0.3),
    ]


def test_a_figure_that_stands_in_two_files_is_refused(tmp_path: Path) -> None:
    written(tmp_path, mmlu=0.4, mmlu_=0.5)
    with pytest.raises(DataError, match=r"lm_eval\.mmlu\.acc stands in mmlu\.json and in mmlu_\.json; leave one"):
        read(tmp_path, "mmlu.json", "mmlu_.json")


def test_a_file_of_another_adapter_says_nothing_and_hides_nothing(tmp_path: Path) -> None:
    written(tmp_path, mmlu=0.4)
    assert read(tmp_path, "mmlu.json", adapter_sha256="cd" * 32) == []


def test_a_file_that_names_its_adapter_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"evaluation\.external: mmlu\.json: no such file; looked for "):
        read(tmp_path, "mmlu.json")


def test_each_candidate_finds_its_own_results_by_the_digest_in_their_path(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = f"nightly/{OF_CANDIDATE}/results.json"
    of_another, own = tmp_path / "nightly" / ("cd" * 32), tmp_path / "data" / "nightly" / WEIGHTS
    for folder, accuracy in ((of_another, 0.9), (own, 0.4)):
        folder.mkdir(parents=True)
        (file,) = written(folder, mmlu=accuracy)
        file.rename(folder / "results.json")
    assert read(tmp_path, path, adapter_sha256=None) == []  # not tested yet, so that a gate refuses; it says which
    assert f"lm_eval says nothing of this adapter yet: no {tmp_path / 'nightly' / WEIGHTS}" in caplog.text
    (other,) = read(tmp_path, path, adapter_sha256=None, data=tmp_path / "data")
    assert other.figures == (("lm_eval.mmlu.acc", 0.4),)


@pytest.mark.parametrize("more", [{}, {"path": f"{OF_CANDIDATE}.json", "adapter_sha256": WEIGHTS}])
def test_a_recipe_says_whose_results_a_file_holds_and_says_it_once(more: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match=r"whose results are they\? Give adapter_sha256, or"):
        External.model_validate({"format": "garak", "path": "report.jsonl", **more})
