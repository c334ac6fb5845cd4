"""The evaluate stage: base and tuned answer the same untouched rows. Never skips a row or learns a label from one.

One base stands in memory: the tuned arm is the base with the adapter, the base arm the same with the adapter disabled.
Latency is the wall time of prompts and answers over the rows of an arm, in batches: compare it between the arms of one
run, not with a single request.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple, get_args

import pyarrow as pa
import pyarrow.parquet as pq

from conf.schema import Arm, Model, Prompt, Quantization
from conf.schema import Evaluation as EvaluationSection
from tasks.artifacts import Workspace
from tasks.errors import DataError
from tasks.evaluate import metrics
from tasks.evaluate.exact import decompress
from tasks.evaluate.generate import Answers, answer, inference
from tasks.evaluate.report import build
from tasks.progress import report
from tasks.results import Adapter, Base, Evaluation, Metric, Split
from tasks.rows import Row, completion_of, read_rows
from tasks.scrub.second_look import look_again
from tasks.train.model import device_of, load_base, load_tokenizer
from tasks.train.prompts import Encoded, encode

ARMS: tuple[Arm, ...] = get_args(Arm)
PREDICTIONS = pa.schema(
    [(name, pa.string()) for name in ("id", "label", "prompt", "expected", "base", "tuned")]
    + [(name, pa.bool_()) for name in ("base_correct", "tuned_correct")]
)


class ArmResult(NamedTuple):
    """The answers of one arm as texts, and what they are worth."""

    texts: list[str]
    scores: metrics.Scores


def evaluate_arms(
    split: Split,
    base: Base,
    adapter: Adapter,
    prompt: Prompt,
    model: Model,
    quantization: Quantization,
    evaluation: EvaluationSection,
    *,
    gone: tuple[str, ...] = (),
    threads: int,
    workspace: Workspace,
) -> Evaluation:
    """Answer the test rows with both arms, measure, and keep predictions and report.

    Raises:
        DataError: there are no test rows, or their answers do not fit the task.
        RecipeError: the JSON Schema is not one.
        ModelError: the chat template fits no prompt that stands before an answer.
    """
    rows = held_out_rows(split, evaluation, workspace)
    labels = label_set(split, evaluation, workspace)
    # before any model is loaded: references that do not fit the task would else fail after minutes of work
    _score([completion_of(row) for row in rows], rows, labels, evaluation)
    tokenizer = load_tokenizer(workspace.open_folder(base.files))
    examples = [encode(row["messages"], prompt, tokenizer) for row in rows]
    loaded = load_arms(base, adapter, model, quantization, threads, workspace)
    arms: dict[Arm, ArmResult] = {}
    for arm in ARMS:
        answers = run_arm(loaded, arm, examples, tokenizer, quantization, evaluation)
        texts = [text.strip() for text in tokenizer.batch_decode(answers.token_ids, skip_special_tokens=True)]
        scores = _score(texts, rows, labels, evaluation)
        figures = {**scores.metrics, **_costs(answers, len(rows)), "second_look": _second_look(texts, gone)}
        arms[arm] = ArmResult(texts, scores._replace(metrics=figures))
    _write_predictions(rows, arms, workspace)
    content = build(evaluation.task, len(rows), labels, {arm: result.scores for arm, result in arms.items()})
    (workspace.folder / "report.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    return Evaluation(
        key=workspace.key,
        parents=(split.digest, base.digest, adapter.digest),
        predictions=workspace.artifact("predictions.parquet"),
        report=workspace.artifact("report.json"),
        n_rows=len(rows),
        metrics=tuple(
            Metric(arm=arm, name=name, value=value)
            for arm, result in arms.items()
            for name, value in result.scores.metrics.items()
        ),
    )


def held_out_rows(split: Split, evaluation: EvaluationSection, workspace: Workspace) -> list[Row]:
    """The test rows by id, all or the first `max_test_rows`: ids are hashes, so the choice favours nothing.

    Raises:
        DataError: there are none.
    """
    rows = sorted(read_rows([workspace.open(split.test.rows)]), key=lambda row: row["id"])
    if not rows:
        raise DataError("evaluation: no test rows; raise split.test_size or give a dataset with side: test")
    return rows[: evaluation.max_test_rows]


def label_set(split: Split, evaluation: EvaluationSection, workspace: Workspace) -> tuple[str, ...]:
    """The closed set of a classification: the recipe's, or the answers of the training rows. Empty for other tasks."""
    if evaluation.task != "classification":
        return ()
    if evaluation.labels is not None:
        return evaluation.labels
    return tuple(sorted({completion_of(row).strip() for row in read_rows([workspace.open(split.train.rows)])}))


def load_arms(
    base: Base, adapter: Adapter, model: Model, quantization: Quantization, threads: int, workspace: Workspace
) -> Any:
    """The base with the adapter on it, in evaluation mode."""
    import torch
    from peft import PeftModel

    torch.set_num_threads(threads)
    loaded = load_base(workspace.open_folder(base.files), model, quantization, device_of())
    decompress(loaded)
    return PeftModel.from_pretrained(loaded, workspace.open_folder(adapter.files)).eval()


def run_arm(
    loaded: Any,
    arm: Arm,
    examples: Sequence[Encoded],
    tokenizer: Any,
    quantization: Quantization,
    evaluation: EvaluationSection,
) -> Answers:
    """Let one arm answer; `loaded` is a PeftModel whose adapter is the tuned arm."""
    report(0, len(examples), "rows", arm)
    with (
        loaded.disable_adapter() if arm == "base" else contextlib.nullcontext(),
        inference(loaded.device.type, quantization.bnb_4bit_compute_dtype),
    ):
        return answer(
            loaded,
            examples,
            stop_ids=stop_ids(loaded, tokenizer),
            pad_id=tokenizer.pad_token_id or 0,
            batch_size=evaluation.batch_size,
            max_new_tokens=evaluation.max_new_tokens,
            on_ended=lambda ended: report(ended, len(examples), "rows", arm),
        )


def stop_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """What ends an answer: the tokenizer's end token, and those that the model's own configuration names."""
    configured = getattr(model.generation_config, "eos_token_id", None)
    named = configured if isinstance(configured, list) else [configured]
    return frozenset(token for token in (tokenizer.eos_token_id, *named) if token is not None)


def _score(
    texts: Sequence[str], rows: Sequence[Row], labels: Sequence[str], evaluation: EvaluationSection
) -> metrics.Scores:
    return metrics.score(
        evaluation.task,
        texts,
        [completion_of(row) for row in rows],
        labels=labels,
        json_schema=evaluation.json_schema.text if evaluation.json_schema else None,
    )


def _costs(answers: Answers, n_rows: int) -> dict[str, float]:
    """The figures that every task has, from the run itself."""
    return metrics.finite(
        {
            "perplexity": metrics.perplexity(sum(answers.nll), sum(answers.nll_tokens)),
            "latency_seconds_per_row": answers.seconds / n_rows,
            "generated_tokens_per_row": answers.generated_tokens / n_rows,
        }
    )


def _second_look(texts: Sequence[str], gone: Sequence[str]) -> float:
    """Values that other means find in the answers, per 1,000 of them, names aside: of what was to be gone."""
    return 1000 * look_again(texts, [entity for entity in gone if entity != "PERSON"]).total() / len(texts)


def _write_predictions(rows: Sequence[Row], arms: dict[Arm, ArmResult], workspace: Workspace) -> None:
    columns: dict[str, list[Any]] = {
        "id": [row["id"] for row in rows],
        "label": [row["label"] for row in rows],
        "prompt": [question_of(row) for row in rows],
        "expected": [completion_of(row) for row in rows],
        **{arm: result.texts for arm, result in arms.items()},
        **{f"{arm}_correct": list(result.scores.correct) for arm, result in arms.items()},
    }
    pq.write_table(pa.table(columns, schema=PREDICTIONS), workspace.folder / "predictions.parquet", compression="zstd")


def question_of(row: Row) -> str:
    """The prompt as a person reads it: without the system message, which is the same in every row."""
    return "\n".join(message["content"] for message in row["messages"][:-1] if message["role"] != "system")
