"""Start the training process, follow it, and turn what it leaves into results. Never imports torch itself."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

from conf.schema import Lora, Model, Prompt, Quantization, Training
from conf.settings import PROJECT
from tasks.artifacts import Workspace
from tasks.errors import DISK_FULL, DataError, StoreError, TrainingError, TunegateError
from tasks.progress import report
from tasks.results import Adapter, Base, SmokeTest, Split
from tasks.train.job import EVENT, Event, Job, Outcome, TrackingRun

SMOKE_ROWS = 100
FULL_BYTES = 64_000_000  # less than this free is a full disk: a checkpoint that did not fit was taken away again


def smoke_test(
    split: Split,
    base: Base,
    model: Model,
    prompt: Prompt,
    quantization: Quantization,
    lora: Lora,
    training: Training,
    *,
    threads: int,
    workspace: Workspace,
) -> SmokeTest:
    """Train some steps on 100 rows and save, before hours are spent; every row's length is checked.

    Raises:
        DataError: a row is too long, or the loss is not a number.
        TrainingError: the process ended badly.
    """
    job = Job(
        kind="smoke",
        base=workspace.open_folder(base.files),
        train=workspace.open(split.train.rows),
        validation=workspace.open(split.validation.rows),
        out=workspace.folder,
        checkpoints=workspace.folder / "checkpoints",
        max_rows=SMOKE_ROWS,
        threads=threads,
        model=model,
        prompt=prompt,
        quantization=quantization,
        lora=lora,
        training=training,
        tracking=None,
    )
    outcome = _run(job, workspace)
    return SmokeTest(
        key=workspace.key,
        parents=(split.digest, base.digest),
        report=workspace.artifact("smoke.json"),
        n_rows=outcome.n_rows,
        steps=outcome.steps,
        first_loss=outcome.first_loss,
        last_loss=outcome.last_loss,
    )


def train_adapter(
    split: Split,
    smoke: SmokeTest,
    base: Base,
    model: Model,
    prompt: Prompt,
    quantization: Quantization,
    lora: Lora,
    training: Training,
    *,
    tracking: TrackingRun | None,
    threads: int,
    workspace: Workspace,
) -> Adapter:
    """Train the adapter; a run that was killed goes on from its last checkpoint and ends with the same bytes.

    Raises:
        DataError: a row is too long, or the loss is not a number.
        TrainingError: the process ended badly.
    """
    job = Job(
        kind="train",
        base=workspace.open_folder(base.files),
        train=workspace.open(split.train.rows),
        validation=workspace.open(split.validation.rows),
        out=workspace.folder,
        checkpoints=workspace.scratch / "checkpoints",
        max_rows=None,
        threads=threads,
        model=model,
        prompt=prompt,
        quantization=quantization,
        lora=lora,
        training=training,
        tracking=tracking,
    )
    outcome = _run(job, workspace)
    files = sorted((workspace.folder / "adapter").iterdir())
    return Adapter(
        key=workspace.key,
        parents=(split.digest, smoke.digest, base.digest),
        files=tuple(workspace.artifact(f"adapter/{file.name}") for file in files),
        history=workspace.artifact("history.jsonl"),
        steps=outcome.steps,
        best_step=outcome.best_step,
        train_tokens=outcome.train_tokens,
        train_loss=outcome.train_loss,
        eval_loss=outcome.eval_loss,
    )


def command(job_file: Path, nproc_per_node: int) -> list[str]:
    """The process to start: plain Python for one, torchrun for more."""
    worker = ["-m", "tasks.train.worker", str(job_file)]
    if nproc_per_node == 1:
        return [sys.executable, *worker]
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(nproc_per_node)]
    return [sys.executable, *torchrun, *worker]


def _run(job: Job, workspace: Workspace) -> Outcome:
    job_file = workspace.scratch / f"{job.kind}.json"
    job_file.write_text(job.model_dump_json(indent=1), encoding="utf-8")
    log = workspace.scratch / f"{job.kind}.log"
    processes = job.training.nproc_per_node if job.kind == "train" else 1
    with (
        log.open("w", encoding="utf-8") as errors,
        subprocess.Popen(
            command(job_file, processes),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            cwd=PROJECT,
            text=True,
        ) as process,
    ):
        failed = _follow(process)
    if failed:
        raise DataError(failed)
    if process.returncode != 0:
        raise _ended_badly(process.returncode, log)
    return Outcome.model_validate_json((job.out / "outcome.json").read_text(encoding="utf-8"))


def _follow(process: subprocess.Popen[str]) -> str:
    """Pass progress on until the process ends; return the error that it told, if any."""
    failed = ""
    for line in process.stdout or ():
        if not line.startswith(EVENT):
            continue
        event = Event.model_validate_json(line.removeprefix(EVENT))
        if event.kind == "progress":
            report(event.step, event.steps, "steps", event.note)
        elif event.kind == "error":
            failed = event.error
    return failed


def _ended_badly(code: int, log: Path) -> TunegateError:
    """The error of a training process; a full disk has many words of torch's, or leaves none at all."""
    with log.open(encoding="utf-8", errors="replace") as stream:
        lines = [line.strip() for line in deque(stream, maxlen=50) if line.strip()]
    if shutil.disk_usage(log.parent).free < FULL_BYTES or any(words in line for words in DISK_FULL for line in lines):
        return StoreError(f"{log.parent}: no space left; free some or set TUNEGATE_HOME elsewhere; its log: {log}")
    last = lines[-1] if lines else "it left no message"
    how = f"was killed by signal {-code} (out of memory?)" if code < 0 else f"ended with code {code}"
    return TrainingError(f"the training process {how}: {last[:300]}; its whole log: {log}")
