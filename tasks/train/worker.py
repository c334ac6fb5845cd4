"""The training process: `python -m tasks.train.worker job.json`, alone or under torchrun.

Builds TRL's SFTTrainer, goes on from the last checkpoint if there is one, and saves the adapter as safetensors.
Ends as soon as the process that started it is gone. Never prints a text of a row.
"""

from __future__ import annotations

import json
import math
import os
import sys
import threading
from pathlib import Path
from typing import Any

from tasks.errors import DataError, TrainingError, TunegateError
from tasks.rows import read_rows
from tasks.train.exact import decompress
from tasks.train.job import Event, Job, Outcome, say
from tasks.train.model import device_of, load_base, load_tokenizer
from tasks.train.prompts import encode

IGNORED = -100  # the label that cross-entropy leaves out
# Batches of every length leave holes in the heap: without this, a third more memory after 100 steps, and slower ones.
PAD_TO_MULTIPLE_OF = 16


def main(argument: str) -> int:
    """Run the job; 0 when the adapter is saved, 1 after an error that the last event names."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    job = Job.model_validate_json(Path(argument).read_text(encoding="utf-8"))
    try:
        run(job)
    except TunegateError as error:
        say(Event(kind="error", error=str(error)))
        return error.exit_code
    say(Event(kind="done"))
    return 0


def run(job: Job) -> None:
    """Train, save and describe.

    Raises:
        DataError: a row is longer than max_length, or the loss is no number.
    """
    import torch
    from transformers import set_seed

    torch.set_num_threads(job.threads)
    rank = int(os.environ.get("LOCAL_RANK", "0"))
    set_seed(job.training.seed)
    tokenizer = load_tokenizer(job.base)
    train = encode_rows(job.train, job, tokenizer)
    validation = encode_rows(job.validation, job, tokenizer)
    if job.max_rows is not None:
        train, validation = train[: job.max_rows], validation[: job.max_rows]
    trainer = build_trainer(job, tokenizer, train, validation, device_of(rank))
    last = last_checkpoint(job.checkpoints)
    with _tracking(job, rank):
        if last is not None and had_ended(last):
            take_up(trainer, last)
        else:
            trainer.train(resume_from_checkpoint=str(last) if last else None)
    if trainer.is_world_process_zero():
        save(job, trainer, tokenizer, train)


def encode_rows(file: Path, job: Job, tokenizer: Any) -> list[dict[str, Any]]:
    """`input_ids`, `labels` and `length` of every row, in the order of the file.

    Raises:
        DataError: rows are longer than training.max_length. They are never cut: a cut answer teaches to stop early.
    """
    examples: list[dict[str, Any]] = []
    lengths: list[int] = []
    for row in read_rows([file]):
        encoded = encode(row["messages"], job.prompt, tokenizer)
        ids = encoded.prompt_ids + encoded.completion_ids
        labels = [IGNORED] * len(encoded.prompt_ids) + encoded.completion_ids
        examples.append({"input_ids": ids, "labels": labels, "length": len(ids)})
        lengths.append(len(ids))
    longest = max(lengths, default=0)
    too_long = sum(length > job.training.max_length for length in lengths)
    if too_long:
        raise DataError(
            f"training.max_length: {too_long} of {len(examples)} rows have more than {job.training.max_length} tokens "
            f"(the longest {longest}); raise it, or lower quality.max_prompt_characters"
        )
    return examples


def build_trainer(
    job: Job, tokenizer: Any, train: list[dict[str, Any]], validation: list[dict[str, Any]], device: str
) -> Any:
    """TRL's SFTTrainer over rows that are already tokenised and masked."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import EarlyStoppingCallback
    from trl import SFTTrainer

    from tasks.train.events import Events
    from tasks.train.trainer import AnswerTrainer

    lora = LoraConfig(
        task_type="CAUSAL_LM",
        r=job.lora.r,
        lora_alpha=job.lora.lora_alpha,
        lora_dropout=job.lora.lora_dropout,
        target_modules=job.lora.target_modules
        if isinstance(job.lora.target_modules, str)
        else list(job.lora.target_modules),
        use_rslora=job.lora.use_rslora,
    )
    callbacks: list[Any] = [Events(job)]
    if job.kind == "train":
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=job.training.early_stopping_patience))
    base = load_base(job.base, job.model, job.quantization, device)
    decompress(base)
    trainer = (AnswerTrainer if device == "cpu" else SFTTrainer)(
        model=base,
        args=sft_config(job, len(train), device),
        train_dataset=Dataset.from_list(train),
        eval_dataset=Dataset.from_list(validation),
        processing_class=tokenizer,
        peft_config=lora,
        callbacks=callbacks,
    )
    # TRL casts LoRA weights of a quantised base to bf16, and a resumed run reads them back as fp32: its losses then
    # differ from an undisturbed run. fp32 from the start keeps resuming exact, and costs little: LoRA is small.
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    # PEFT 0.21 sees autocast on CUDA only, and elsewhere copies every input of a LoRA layer to fp32 just for autocast
    # to copy it back: the same numbers for more memory and time.
    for module in trainer.model.modules():
        if hasattr(module, "cast_input_dtype_enabled"):
            module.cast_input_dtype_enabled = False
    kept_all = len(trainer.train_dataset) == len(train) and len(trainer.eval_dataset) == len(validation)
    if not kept_all and not job.training.packing:
        raise DataError(f"training: the trainer kept {len(trainer.train_dataset)} of {len(train)} rows")
    return trainer


def sft_config(job: Job, n_rows: int, device: str) -> Any:
    """TRL's SFTConfig: the recipe's keys unchanged, and what the product decides for every recipe."""
    from trl import SFTConfig

    training = job.training
    world = int(os.environ.get("WORLD_SIZE", "1"))
    batch = training.per_device_train_batch_size * training.gradient_accumulation_steps * world
    steps = training.max_steps if training.max_steps > 0 else math.ceil(n_rows / batch * training.num_train_epochs)
    epochs = steps * batch / n_rows
    every = max(1, steps // max(1, round(epochs * training.evals_per_epoch)))  # so that the last one is near the end
    keys = set(type(training).model_fields) - {"early_stopping_patience", "evals_per_epoch", "nproc_per_node"}
    smoke = job.kind == "smoke"
    return SFTConfig(
        **{**training.model_dump(include=keys), **({"logging_steps": 1, "max_steps": 4} if smoke else {})},
        output_dir=str(job.checkpoints),
        use_cpu=device == "cpu",
        bf16=job.quantization.bnb_4bit_compute_dtype == "bfloat16",
        fp16=job.quantization.bnb_4bit_compute_dtype == "float16",
        eval_strategy="no" if smoke else "steps",
        save_strategy="no" if smoke else "steps",
        eval_steps=every,
        save_steps=every,
        save_total_limit=2,
        load_best_model_at_end=not smoke,
        restore_callback_states_from_checkpoint=True,  # early stopping goes on counting where a killed run was
        greater_is_better=training.metric_for_best_model != "eval_loss",
        length_column_name="length",
        pad_to_multiple_of=PAD_TO_MULTIPLE_OF,
        data_seed=training.seed,
        ddp_find_unused_parameters=False if world > 1 else None,
        ddp_backend="gloo" if world > 1 and device == "cpu" else None,
        dataloader_pin_memory=device != "cpu",
        include_num_input_tokens_seen="non_padding",  # TRL's own count starts anew when a run goes on
        report_to="none",
        disable_tqdm=True,
        logging_nan_inf_filter=False,  # a loss that is not a number must be seen
    )


def save(job: Job, trainer: Any, tokenizer: Any, train: list[dict[str, Any]]) -> None:
    """Write the adapter, its tokenizer, the history and the outcome; for a smoke test also the row with its mask."""
    trainer.save_model(str(job.out / "adapter"))
    tokenizer.save_pretrained(job.out / "adapter")
    (job.out / "adapter" / "training_args.bin").unlink(missing_ok=True)  # a pickle, and of no use to a reader
    (job.out / "adapter" / "README.md").unlink(missing_ok=True)  # a card of empty headings
    _settle_config(job)
    history = [_history_line(entry) for entry in trainer.state.log_history if "loss" in entry or "eval_loss" in entry]
    with (job.out / "history.jsonl").open("w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(line) + "\n" for line in history)
    losses = [line["loss"] for line in history if "loss" in line]
    if not losses or not all(math.isfinite(loss) for loss in losses):
        raise DataError("training: the loss is not a number; lower training.learning_rate")
    validations = {line["step"]: line["eval_loss"] for line in history if "eval_loss" in line}
    best = trainer.state.best_global_step or trainer.state.global_step
    outcome = Outcome(
        steps=trainer.state.global_step,
        best_step=best,
        train_tokens=int(trainer.state.num_input_tokens_seen),
        train_loss=losses[-1],
        eval_loss=validations.get(best),
        first_loss=losses[0],
        last_loss=losses[-1],
        n_rows=len(train),
    )
    (job.out / "outcome.json").write_text(outcome.model_dump_json(), encoding="utf-8")
    if job.kind == "smoke":
        load_again(job, trainer)
        report = {"tokens": decoded_with_mask(train[0], tokenizer), "steps": outcome.steps, "rows": len(train)}
        (job.out / "smoke.json").write_text(json.dumps(report, ensure_ascii=False), encoding="utf-8")


def load_again(job: Job, trainer: Any) -> None:
    """Load what was saved onto a fresh base, as a server would, and compare every weight.

    Raises:
        TrainingError: a weight is missing or differs.
    """
    import torch
    from peft import PeftModel, get_peft_model_state_dict

    fresh = load_base(job.base, job.model, job.quantization, device_of())
    loaded = get_peft_model_state_dict(PeftModel.from_pretrained(fresh, str(job.out / "adapter")))
    trained = get_peft_model_state_dict(trainer.accelerator.unwrap_model(trainer.model))
    same = loaded.keys() == trained.keys() and all(
        torch.equal(loaded[name].float().cpu(), trained[name].float().cpu()) for name in trained
    )
    if not same:
        raise TrainingError("smoke: the adapter that was loaded again is not the one that was saved")


def decoded_with_mask(example: dict[str, Any], tokenizer: Any) -> list[dict[str, Any]]:
    """Each token as text, and whether loss falls on it: what a person looks at before trusting a mask."""
    return [
        {"text": tokenizer.decode([token]), "loss": label != IGNORED}
        for token, label in zip(example["input_ids"], example["labels"], strict=True)
    ]


def last_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint: the trainer writes its state file last."""
    whole = [path.parent for path in folder.glob("checkpoint-*/trainer_state.json")]
    return max(whole, key=lambda path: int(path.name.removeprefix("checkpoint-")), default=None)


def had_ended(checkpoint: Path) -> bool:
    """Whether the training was over when this checkpoint was written: all steps done, or stopped early."""
    state = json.loads((checkpoint / "trainer_state.json").read_text(encoding="utf-8"))
    control = state["stateful_callbacks"]["TrainerControl"]["args"]
    return bool(control["should_training_stop"]) or state["global_step"] >= state["max_steps"]


def take_up(trainer: Any, last: Path) -> None:
    """Give the trainer the state and the best weights of a training that was killed after its last step.

    To resume it would train on: transformers asks whether to stop only after a step.
    """
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file
    from transformers import TrainerState

    trainer.state = TrainerState.load_from_json(str(last / "trainer_state.json"))
    trainer.state.is_world_process_zero = trainer.is_world_process_zero()
    best = last.with_name(f"checkpoint-{trainer.state.best_global_step or trainer.state.global_step}")
    loaded = set_peft_model_state_dict(trainer.model, load_file(best / "adapter_model.safetensors"))
    if loaded.unexpected_keys or any("lora_" in name for name in loaded.missing_keys):
        raise TrainingError(f"{best}: its weights are not those of this adapter; delete the folder, run again")


def _settle_config(job: Job) -> None:
    """Make adapter_config.json the same wherever and whenever it is written: no local path, sets in order."""
    file = job.out / "adapter" / "adapter_config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = job.model.model_name_or_path
    config["revision"] = job.model.model_revision
    if isinstance(config.get("target_modules"), list):
        config["target_modules"] = sorted(config["target_modules"])
    file.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _history_line(entry: dict[str, Any]) -> dict[str, Any]:
    kept = ("step", "epoch", "loss", "eval_loss", "eval_mean_token_accuracy", "learning_rate", "num_input_tokens_seen")
    return {name: entry[name] for name in kept if name in entry}


def _tracking(job: Job, rank: int) -> Any:
    """MLflow's system metrics (CPU, memory, GPU) of this process's machine for the time of the training."""
    import contextlib

    tracking = job.tracking
    if tracking is None or not tracking.log_system_metrics or rank != 0:
        return contextlib.nullcontext()
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    mlflow.set_tracking_uri(tracking.tracking_uri)

    @contextlib.contextmanager
    def monitored() -> Any:
        monitor = SystemMetricsMonitor(tracking.run_id, resume_logging=True)
        monitor.start()
        try:
            yield
        finally:
            monitor.finish()
            # What was sampled since the last interval would be lost: of a training shorter than one, everything.
            # As finish() has it: a server that is away costs these figures, not the training.
            with contextlib.suppress(MlflowException):
                if last := monitor.aggregate_metrics():
                    monitor.publish_metrics(last)
                    monitor.mlflow_logger.flush()

    return monitored()


def _end_with_parent() -> None:
    # standard input is a pipe that the launcher holds open and never writes to: its end is the launcher's end
    # (os.read, since a thread inside sys.stdin would hold its lock when the interpreter ends)
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
