"""What a training tells while it runs: steps to the launcher, figures to MLflow. Never prints a text of a row."""

from __future__ import annotations

import sys
import time
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric
from mlflow.exceptions import MlflowException
from transformers import TrainerCallback

from tasks.network import is_network
from tasks.train.job import Event, Job, TrackingRun, say

# What MLflow keeps of the trainer's figures, and under which names.
NAMES = {
    "loss": "train/loss",
    "grad_norm": "train/grad_norm",
    "learning_rate": "train/learning_rate",
    "eval_loss": "validation/loss",
    "eval_mean_token_accuracy": "validation/token_accuracy",
    "device_seconds": "cost/train_device_seconds",
}


class Events(TrainerCallback):  # type: ignore[misc]  # transformers is untyped
    """A callback that tells, and that counts the seconds, those before a kill included.

    A tracking server that is away for a while stops no training: what it missed goes with the next figures.
    """

    def __init__(self, job: Job) -> None:
        self.job = job
        self.note = ""
        self.before = 0.0
        self.began = time.monotonic()
        self.unsent: list[Metric] = []

    def on_train_begin(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Take up the clock where the checkpoint left it."""
        self.before = next((entry["seconds"] for entry in reversed(state.log_history) if "seconds" in entry), 0.0)
        self.began = time.monotonic()

    def on_log(self, _args: Any, state: Any, _control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        """Note the loss and the time, and log what has a name."""
        if not state.is_world_process_zero or not logs:
            return
        state.log_history[-1]["seconds"] = self.seconds()  # a checkpoint holds the history
        if "loss" in logs or "eval_loss" in logs:
            name = "loss" if "loss" in logs else "eval_loss"
            self.note = f"{name} {logs[name]:.3f}"
        self._log(logs, state.global_step)

    def seconds(self) -> float:
        """Since the training began, the time between a kill and the run that went on left out."""
        return self.before + time.monotonic() - self.began

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Tell the launcher."""
        if state.is_world_process_zero:
            say(Event(kind="progress", step=state.global_step, steps=state.max_steps, note=self.note))

    def on_train_end(self, args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Log what the training took: seconds times devices."""
        if state.is_world_process_zero:
            self._log({"device_seconds": self.seconds() * args.world_size}, state.global_step)

    def _log(self, figures: dict[str, float], step: int) -> None:
        now = int(time.time() * 1000)
        new = [Metric(NAMES[name], float(value), now, step) for name, value in figures.items() if name in NAMES]
        self.unsent = send(self.job.tracking, [*self.unsent, *new])


def send(tracking: TrackingRun | None, metrics: list[Metric]) -> list[Metric]:
    """Log the metrics; return those that have to wait, since MLflow is away."""
    if tracking is None or not metrics:
        return []
    try:
        MlflowClient(tracking.tracking_uri).log_batch(tracking.run_id, metrics)
    except MlflowException as error:
        if not is_network(error):
            raise
        sys.stderr.write(f"MLflow is away, {len(metrics)} figures wait: {error}\n")
        return metrics
    return []
