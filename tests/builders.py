"""Small real results for tests: rows, a split and a base model in a store, made as a run makes them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conf.schema import Lora, Model, Prompt, Quality, Quantization, Training
from conf.schema import Split as SplitSection
from tasks.artifacts import Store, Workspace
from tasks.results import Base, CheckedData, RawData, ScrubbedData, Split
from tasks.rows import Row, row_id, write_rejected, write_rows
from tasks.split import split_rows
from tests.tiny import tiny_base

QUESTIONS = ("my card has not come", "the line is down", "please close my account", "how do I change my password")
ANSWERS = ("card", "outage", "closing", "login")

MODEL = Model(model_name_or_path="tiny", attn_implementation="eager")
PLAIN = Prompt(style="plain")
QUANTIZATION = Quantization()
LORA = Lora(r=4, lora_alpha=8, lora_dropout=0.05)
TRAINING = Training(
    num_train_epochs=2,
    per_device_train_batch_size=8,
    learning_rate=1.0e-2,
    max_length=64,
    logging_steps=1,
    evals_per_epoch=2,
    early_stopping_patience=10,
)
QUALITY = Quality()


def make_rows(count: int) -> list[Row]:
    """Rows of four classes, each text different, one group a row."""
    rows: list[Row] = []
    for number in range(count):
        kind = number % len(QUESTIONS)
        messages = [
            {"role": "user", "content": f"{QUESTIONS[kind]}, ticket {number * 7919 % 1000 + number // 1000 * 1000}"},
            {"role": "assistant", "content": ANSWERS[kind]},
        ]
        rows.append(
            {
                "id": row_id(messages),  # type: ignore[arg-type]  # plain dicts serve
                "group": hashlib.sha256(str(number).encode()).hexdigest(),
                "messages": messages,  # type: ignore[typeddict-item]
                "label": ANSWERS[kind],
                "source": "made",
                "meta": {"line": number + 1, "side": None},
            }
        )
    return rows


def raw_data(store: Store, rows: Iterable[Row], key: str = "k") -> RawData:
    """The rows as the ingest stage would leave them."""
    with store.writing("raw", key) as workspace:
        return store.commit(workspace, RawData(**_written(workspace, rows), sources=()), {})


def scrubbed_data(store: Store, rows: Iterable[Row], key: str = "k") -> ScrubbedData:
    """The rows as the scrub stage would leave them."""
    with store.writing("scrub", key) as workspace:
        result = ScrubbedData(**_written(workspace, rows), entities=(), rows_with_entities=0)
        return store.commit(workspace, result, {})


def checked_data(store: Store, rows: Iterable[Row], key: str = "checked") -> CheckedData:
    """The rows as the check stage would leave them."""
    with store.writing("check", key) as workspace:
        (workspace.folder / "report.json").write_text("{}")
        result = CheckedData(
            **_written(workspace, rows),
            report=workspace.artifact("report.json"),
            expectations_passed=1,
            expectations_failed=0,
            refusals=(),
        )
        return store.commit(workspace, result, {})


def _written(workspace: Workspace, rows: Iterable[Row]) -> dict[str, Any]:
    """What every result of rows says of them, none rejected."""
    shards, n_rows = write_rows(workspace, rows)
    rejected, n_rejected, reasons = write_rejected(workspace, [])
    return {
        "key": workspace.key,
        "rows": shards,
        "rejected": rejected,
        "n_rows": n_rows,
        "n_rejected": n_rejected,
        "reasons": reasons,
    }


def make_split(store: Store, count: int = 120, section: SplitSection | None = None) -> Split:
    """Train, validation and test of made rows."""
    checked = checked_data(store, make_rows(count))
    with store.writing("split", "split") as workspace:
        section = section or SplitSection(validation_size=0.15, test_size=0.2, min_test_rows=5)
        result = split_rows(checked, section, workspace=workspace)
        store.commit(workspace, result, {})
    return result


def make_base(store: Store) -> Base:
    """The tiny model in the store."""
    with store.writing("base", "base") as workspace:
        folder: Path = tiny_base(workspace.folder, [*QUESTIONS, *ANSWERS])
        result = Base(
            key="base",
            files=tuple(workspace.artifact(file.name) for file in sorted(folder.iterdir())),
            name="tiny",
            source_sha256="0" * 64,
            parameters=1,
        )
        store.commit(workspace, result, {})
    return result
