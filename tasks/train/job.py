"""What a training process is told, and what it tells back: one JSON file in, one JSON line an event out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from conf.schema import Lora, Model, Prompt, Quantization, Training
from tasks.results import Frozen

EVENT = "@tunegate "  # marks our lines among what libraries print


class TrackingRun(Frozen):
    """The MLflow run that live metrics go to."""

    tracking_uri: str
    run_id: str
    log_system_metrics: bool


class Job(Frozen):
    """One training. Paths are local.

    Attributes:
        max_rows: train on the first rows only (the smoke test), or on all.
        out: where the adapter goes. checkpoints: where a run that was killed goes on from.
    """

    kind: Literal["smoke", "train"]
    base: Path
    train: Path
    validation: Path
    out: Path
    checkpoints: Path
    max_rows: int | None
    threads: int
    model: Model
    prompt: Prompt
    quantization: Quantization
    lora: Lora
    training: Training
    tracking: TrackingRun | None


class Event(Frozen):
    """Progress, the end, or an error that the user can act on."""

    kind: Literal["progress", "error", "done"]
    step: int = 0
    steps: int = 0
    note: str = ""
    error: str = ""


class Outcome(Frozen):
    """What a training leaves beside its files, as `outcome.json`."""

    steps: int
    best_step: int
    train_tokens: int
    train_loss: float
    eval_loss: float | None
    first_loss: float
    last_loss: float
    n_rows: int


def say(event: Event) -> None:
    """Tell the launcher, which reads our standard output."""
    print(EVENT + event.model_dump_json(), flush=True)  # noqa: T201  # that is the way to tell it
