"""The training process: what it saves, how it goes on after a kill, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from conf.schema import Training
from conf.settings import PROJECT
from tasks.artifacts import Store, sha256_of
from tasks.errors import DataError, StoreError, TrainingError
from tasks.progress import Nobody, listening, stage
from tasks.results import Adapter, Base, SmokeTest, Split
from tasks.train import launch, smoke_test, train_adapter
from tasks.train.job import Job, TrackingRun
from tasks.train.launch import command
from tasks.train.model import load_tokenizer
from tasks.train.worker import build_trainer, encode_rows, load_again
from tests.builders import LORA, MODEL, PLAIN, QUANTIZATION, TRAINING, make_base, make_split
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Split, Base]:
    folder = tmp_path_factory.mktemp("store")
    store = Store(str(folder / "store"), folder / "cache")
    return store, make_split(store), make_base(store)


@pytest.fixture(scope="module")
def smoke(made: tuple[Store, Split, Base]) -> SmokeTest:
    store, split, base = made
    with store.writing("smoke", "s") as workspace:
        result = smoke_test(split, base, MODEL, PLAIN, QUANTIZATION, LORA, TRAINING, threads=1, workspace=workspace)
        store.commit(workspace, result, {})
    return result


def train(
    made: tuple[Store, Split, Base],
    smoke: SmokeTest,
    key: str,
    training: Training = TRAINING,
    tracking: TrackingRun | None = None,
) -> Adapter:
    store, split, base = made
    with store.writing("train", key) as workspace:
        result = train_adapter(
            split,
            smoke,
            base,
            MODEL,
            PLAIN,
            QUANTIZATION,
            LORA,
            training,
            tracking=tracking,
            threads=1,
            workspace=workspace,
        )
        store.commit(workspace, result, {})
    return result


@pytest.fixture(scope="module")
def adapter(made: tuple[Store, Split, Base], smoke: SmokeTest) -> Adapter:
    return train(made, smoke, "undisturbed")


def test_the_smoke_test_shows_one_row_whose_answer_alone_carries_loss(
    made: tuple[Store, Split, Base], smoke: SmokeTest
) -> None:
    tokens = json.loads(made[0].open(smoke.report).read_text())["tokens"]
    answer = "".join(token["text"] for token in tokens if token["loss"])
    question = "".join(token["text"] for token in tokens if not token["loss"])
    assert answer.removesuffix("<|end|>") in {"card", "outage", "closing", "login"}
    assert answer.endswith("<|end|>")
    assert "ticket" in question
    assert question.endswith("\n")


def test_an_adapter_is_safetensors_and_text_alone(made: tuple[Store, Split, Base], adapter: Adapter) -> None:
    suffixes = {Path(file.path).suffix for file in adapter.files}
    assert suffixes <= {".safetensors", ".json", ".jinja"}
    config = json.loads(next(made[0].open(f) for f in adapter.files if f.path.endswith("_config.json")).read_text())
    assert str(made[0].root) not in json.dumps(config)


def test_training_learns_and_keeps_its_history(made: tuple[Store, Split, Base], adapter: Adapter) -> None:
    lines = [json.loads(line) for line in made[0].open(adapter.history).read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    validations = {line["step"]: line["eval_loss"] for line in lines if "eval_loss" in line}
    assert losses[-1] < losses[0]
    assert adapter.eval_loss == min(validations.values())
    assert validations[adapter.best_step] == adapter.eval_loss
    assert adapter.steps == len(losses)


def test_mlflow_gets_the_figures_while_it_trains_and_a_listener_each_step(
    made: tuple[Store, Split, Base], smoke: SmokeTest, adapter: Adapter, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = MlflowClient(address, address)
    run = registry.create_run(registry.create_experiment("live", (tmp_path / "artifacts").as_uri())).info.run_id
    tracking = TrackingRun(tracking_uri=address, run_id=run, log_system_metrics=True)
    board = Heard()
    with listening(board), stage("train"):
        result = train(made, smoke, "tracked", tracking=tracking)
    assert result.weights.sha256 == adapter.weights.sha256  # to be watched changes nothing
    lines = [json.loads(line) for line in made[0].open(result.history).read_text().splitlines()]
    for name, key in (("train/loss", "loss"), ("validation/loss", "eval_loss")):
        told = {metric.step: metric.value for metric in registry.get_metric_history(run, name)}
        assert told == {line["step"]: line[key] for line in lines if key in line}
    figures = registry.get_run(run).data.metrics
    assert figures["cost/train_device_seconds"] > 0
    assert figures["system/cpu_utilization_percentage"] >= 0
    assert board.heard == [(step, result.steps) for step in range(1, result.steps + 1)]


class Heard(Nobody):
    """Keeps which steps it was told of."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, float | None]] = []

    def progress(self, name: str, done: float, total: float | None, unit: str, note: str) -> None:  # noqa: ARG002
        self.heard.append((done, total))


def test_figures_wait_while_mlflow_is_away_and_go_with_the_next(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from tasks.train.events import send

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    registry = MlflowClient(address, address)
    run = registry.create_run(registry.create_experiment("away", (tmp_path / "artifacts").as_uri())).info.run_id
    first, second = (Metric("train/loss", 1.0 / step, 1000 * step, step) for step in (1, 2))
    nowhere = TrackingRun(tracking_uri="http://127.0.0.1:9", run_id=run, log_system_metrics=False)
    waiting = send(nowhere, [first])
    assert waiting == [first]
    assert send(nowhere.model_copy(update={"tracking_uri": address}), [*waiting, second]) == []
    assert [metric.value for metric in registry.get_metric_history(run, "train/loss")] == [1.0, 0.5]


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning")  # trl 1.16 asks by the old name
def test_the_loss_of_our_trainer_is_that_of_trl(
    made: tuple[Store, Split, Base], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trl import SFTTrainer

    from tasks.train import trainer

    store, split, base = made
    job = job_of(store, split, base, tmp_path)
    tokenizer = load_tokenizer(job.base)
    rows = encode_rows(job.train, job, tokenizer)[:24]
    assert len({row["length"] for row in rows}) > 1, "rows that need no padding show little"
    ours = build_trainer(job, tokenizer, rows, rows, "cpu")
    monkeypatch.setattr(trainer, "AnswerTrainer", SFTTrainer)
    theirs = build_trainer(job, tokenizer, rows, rows, "cpu")
    assert type(ours) is not type(theirs)
    told, mine = theirs.evaluate(), ours.evaluate()
    for figure in ("eval_loss", "eval_mean_token_accuracy"):
        assert mine[figure] == pytest.approx(told[figure], rel=1e-3)


def test_a_smoke_test_takes_a_hundred_rows_and_four_steps(made: tuple[Store, Split, Base], tmp_path: Path) -> None:
    store = Store(str(tmp_path / "store"), tmp_path / "cache")
    split, base = make_split(store, 240), make_base(store)
    with store.writing("smoke", "many") as workspace:
        result = smoke_test(split, base, MODEL, PLAIN, QUANTIZATION, LORA, TRAINING, threads=1, workspace=workspace)
    assert split.train.n_rows > 100
    assert (result.n_rows, result.steps) == (100, 4)


@pytest.mark.filterwarnings("ignore:`gradient_checkpointing:FutureWarning")  # trl 1.16 asks by the old name
def test_an_adapter_that_loads_as_another_is_refused(made: tuple[Store, Split, Base], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    store, split, base = made
    job = job_of(store, split, base, tmp_path)
    tokenizer = load_tokenizer(job.base)
    trainer = build_trainer(job, tokenizer, *[encode_rows(job.train, job, tokenizer)[:8]] * 2, "cpu")
    trainer.save_model(str(job.out / "adapter"))
    load_again(job, trainer)
    file = job.out / "adapter" / "adapter_model.safetensors"
    weights = load_file(file)
    name = next(iter(weights))
    save_file({**weights, name: weights[name] + 1}, file, metadata={"format": "pt"})
    with pytest.raises(TrainingError, match="not the one that was saved"):
        load_again(job, trainer)


@pytest.mark.parametrize(
    ("written", "free", "kind", "says"),
    [
        ("RuntimeError: something else", 10**9, TrainingError, "ended with code 1: RuntimeError: something else"),
        ("SafetensorError: No space left on device (os error 28)\nAborted", 10**9, StoreError, "no space left"),
        ("RuntimeError: PytorchStreamWriter failed writing file", 10**6, StoreError, "no space left"),
        ("", 10**6, StoreError, "no space left"),
        ("", 10**9, TrainingError, "it left no message"),
    ],
)
def test_a_training_that_met_a_full_disk_says_so(
    written: str, free: int, kind: type[Exception], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = tmp_path / "train.log"
    log.write_text(written)
    usage = shutil.disk_usage(tmp_path)._replace(free=free)
    monkeypatch.setattr(launch.shutil, "disk_usage", lambda _folder: usage)
    error = launch._ended_badly(1, log)
    assert type(error) is kind
    assert says in str(error)


def test_a_training_killed_after_a_checkpoint_ends_with_the_same_adapter(
    made: tuple[Store, Split, Base], smoke: SmokeTest, adapter: Adapter
) -> None:
    store = made[0]
    killed = kill_after_first_checkpoint(made, smoke, "disturbed")
    assert killed
    again = train(made, smoke, "disturbed")
    assert again.weights.sha256 == adapter.weights.sha256
    assert store.open(again.history).read_text() == store.open(adapter.history).read_text()


@pytest.mark.parametrize("stops_early", [False, True])
def test_a_training_killed_after_its_last_step_is_not_trained_on(
    stops_early: bool, made: tuple[Store, Split, Base], smoke: SmokeTest
) -> None:
    store, split, base = made
    # 1.9 epochs end within an epoch, where transformers would go on; a rate that spoils the model stops it early
    hasty = {"learning_rate": 0.9, "early_stopping_patience": 1, "num_train_epochs": 6}
    training = TRAINING.model_copy(update=hasty if stops_early else {"num_train_epochs": 1.9})
    with store.writing("train", f"ended-{stops_early}") as workspace:
        results = []
        for _ in range(2):  # the checkpoints of the first stand, as they do after a kill
            results.append(
                train_adapter(
                    split, smoke, base, MODEL, PLAIN, QUANTIZATION, LORA, training,
                    tracking=None, threads=1, workspace=workspace,
                )
            )  # fmt: skip
            histories = (workspace.folder / "history.jsonl").read_text()
            shutil.rmtree(workspace.folder)
            workspace.folder.mkdir()
    first, again = results
    assert again.weights.sha256 == first.weights.sha256
    assert again == first
    assert len(histories.splitlines()) > first.steps
    assert (first.best_step < first.steps) == stops_early


def job_of(store: Store, split: Split, base: Base, folder: Path) -> Job:
    """A training that leaves its adapter in `folder`/out."""
    (folder / "out").mkdir()
    return Job(
        kind="train",
        base=store.open(base.files[0]).parent,
        train=store.open(split.train.rows),
        validation=store.open(split.validation.rows),
        out=folder / "out",
        checkpoints=folder / "checkpoints",
        max_rows=None,
        threads=1,
        model=MODEL,
        prompt=PLAIN,
        quantization=QUANTIZATION,
        lora=LORA,
        training=TRAINING,
        tracking=None,
    )


def kill_after_first_checkpoint(made: tuple[Store, Split, Base], smoke: SmokeTest, key: str) -> bool:
    """Start the worker of a training under `key` by hand and kill -9 it when its first checkpoint is whole."""
    store, split, base = made
    folder = store.scratch("train", key)
    job = job_of(store, split, base, folder)
    (folder / "job.json").write_text(job.model_dump_json())
    with subprocess.Popen(
        command(folder / "job.json", 1),
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        wait_for(lambda: bool(list(folder.glob("checkpoints/checkpoint-*/trainer_state.json"))))
        process.send_signal(signal.SIGKILL)
        return process.wait() == -signal.SIGKILL


def test_a_row_longer_than_max_length_stops_before_training(made: tuple[Store, Split, Base]) -> None:
    store, split, base = made
    short = TRAINING.model_copy(update={"max_length": 8})
    with store.writing("smoke", "long") as workspace, pytest.raises(DataError, match=r"max_length: .* rows have more"):
        smoke_test(split, base, MODEL, PLAIN, QUANTIZATION, LORA, short, threads=1, workspace=workspace)


def test_a_process_that_dies_is_named_with_its_log(made: tuple[Store, Split, Base], smoke: SmokeTest) -> None:
    store, split, base = made
    broken = base.model_copy(update={"files": (base.files[0],)})
    config = store.open(next(file for file in base.files if file.path.endswith("/config.json")))
    content = config.read_text()
    config.write_text(content.replace('"llama"', '"unheard-of"'))
    try:
        with (
            store.writing("train", "dies") as workspace,
            pytest.raises(TrainingError, match=r"whole log: .*train\.log"),
        ):
            train_adapter(
                split,
                smoke,
                broken,
                MODEL,
                PLAIN,
                QUANTIZATION,
                LORA,
                TRAINING,
                tracking=None,
                threads=1,
                workspace=workspace,
            )
    finally:
        config.write_text(content)


def test_the_worker_ends_when_the_process_that_started_it_is_killed(tmp_path: Path) -> None:
    starter = (
        "import subprocess, sys, time; from pathlib import Path; from tasks.train.launch import command;"
        "p = subprocess.Popen([sys.executable, '-c', 'import threading, time; from tasks.train import worker;"
        "threading.Thread(target=worker._end_with_parent).start(); print(1, flush=True); time.sleep(600)'],"
        "stdin=subprocess.PIPE, stdout=subprocess.PIPE); p.stdout.readline();"
        f"Path({str(tmp_path / 'pid')!r}).write_text(str(p.pid)); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", starter], cwd=PROJECT) as process:
        wait_for(lambda: (tmp_path / "pid").exists() and bool((tmp_path / "pid").read_text()))
        process.kill()
        process.wait()
    worker = int((tmp_path / "pid").read_text())
    wait_for(lambda: not is_running(worker), seconds=20)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def test_two_processes_train_through_torchrun(made: tuple[Store, Split, Base], smoke: SmokeTest) -> None:
    both = TRAINING.model_copy(update={"nproc_per_node": 2, "per_device_train_batch_size": 4})
    result = train(made, smoke, "two", both)
    assert result.eval_loss is not None
    assert sha256_of(made[0].open(result.weights)) == result.weights.sha256


def test_the_command_is_torchrun_only_for_more_than_one_process(tmp_path: Path) -> None:
    assert "torch.distributed.run" not in command(tmp_path / "job.json", 1)
    assert "torch.distributed.run" in command(tmp_path / "job.json", 2)
