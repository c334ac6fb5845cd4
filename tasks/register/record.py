"""Write a training's whole record into its MLflow run. Never logs a raw row, nor a text that scrubbing did not see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from conf.schema import Lora, Recipe, digest_of, flat
from conf.settings import Settings, without_password
from tasks.artifacts import Workspace, sha256_of
from tasks.evaluate.arms import label_set
from tasks.register.runs import client
from tasks.results import Adapter, Base, Evaluation, Prepared, Recorded, Side, SmokeTest, Source
from tasks.scrub.uploads import answers_in, look_over, texts_in, texts_of, texts_of_recipe

FORM = "tunegate.json"  # how to answer with the adapter: base, prompt and quantisation
FILES_TAG = "tunegate.files_sha256"
LINEAGE = "lineage.json"
PII = "scrub/pii.json"
SEEN = "scrub/uploads.json"  # what a second look saw in all this: counts

# A run belongs to an adapter. What may change without training anew is a tag, for MLflow never changes a parameter.
MAY_CHANGE = ("name", "description", "evaluation", "registry", "tracking", "pii.task_runner", "pii.upload_limit")


def record_run(
    recipe: Recipe,
    prepared: Prepared,
    base: Base,
    smoke: SmokeTest,
    adapter: Adapter,
    evaluation: Evaluation,
    *,
    evaluate_seconds: float | None = None,
    settings: Settings,
    run_id: str,
    workspace: Workspace,
) -> Recorded:
    """Log datasets, parameters, metrics, reports, predictions and the adapter. Safe to repeat after a crash.

    Args:
        evaluate_seconds: what the evaluation took; None where nobody knows any more.

    Raises:
        GateRefused: personal values stand in what would be logged; nothing was.
    """
    import mlflow

    files = _files(prepared, smoke, adapter, evaluation, workspace)
    lineage = _lineage(prepared, base, adapter, evaluation)
    labels = label_set(prepared.split, recipe.evaluation, workspace) if recipe.evaluation.constrained else ()
    asked = form(recipe, base, labels)
    texts = {"recipe": texts_of_recipe(recipe), FORM: texts_in(asked), LINEAGE: texts_in(lineage)}
    answers = answers_in(workspace.open(evaluation.predictions))
    texts |= {PII: texts_in(_pii(prepared)), **{name: texts_of(file) for name, file in files.items()}}
    seen = look_over(texts, recipe.pii, answers)
    registry = client(settings)
    with mlflow.start_run(run_id=run_id):
        mlflow.log_params(_values(recipe, may_change=False))
        mlflow.set_tags({**_values(recipe, may_change=True), **_tags(prepared, base, adapter, evaluation)})
        for source in prepared.raw.sources:
            _log_source(source)
        for context, side in _sides(prepared):
            _log_dataset(recipe, context, side, workspace)
        for name, file in files.items():
            mlflow.log_artifact(str(file), Path(name).parent.as_posix())
        for name, content in ((PII, _pii(prepared)), (LINEAGE, lineage), (SEEN, seen)):
            mlflow.log_dict(content, name)
        model_id = _log_adapter(asked, recipe.lora, adapter, run_id, workspace)
        for metric in evaluation.metrics:
            of_model = {"model_id": model_id} if metric.arm == "tuned" else {}
            mlflow.log_metric(f"test/{metric.arm}/{metric.name}", metric.value, **of_model)
        registry.log_metric(run_id, "train/tokens", adapter.train_tokens)
        if evaluate_seconds is not None:
            registry.log_metric(run_id, "cost/evaluate_seconds", evaluate_seconds)
    (workspace.folder / "recorded.json").write_text(json.dumps({"run_id": run_id, "model_id": model_id}))
    return Recorded(
        key=workspace.key,
        parents=(adapter.digest, evaluation.digest),
        note=workspace.artifact("recorded.json"),
        run_id=run_id,
        model_id=model_id,
    )


def form(recipe: Recipe, base: Base, labels: Sequence[str] = ()) -> dict[str, Any]:
    """What a reader of the adapter needs to ask it as it was trained and evaluated."""
    return {
        "base": base.model_dump(mode="json"),
        "model": recipe.model.model_dump(mode="json", exclude={"license"}),
        "prompt": recipe.prompt.model_dump(mode="json"),
        "quantization": recipe.quantization.model_dump(mode="json"),
        "max_new_tokens": recipe.evaluation.max_new_tokens,
        "labels": list(labels),  # what alone it may answer; empty where it is free
    }


def files_sha256(folder: Path) -> str:
    """Sha256 (64 hex digits) over the names and digests of the files of a folder: weights, tokenizer, form."""
    return digest_of(sorted([file.name, sha256_of(file)] for file in folder.iterdir() if file.is_file()))


def _values(recipe: Recipe, *, may_change: bool) -> dict[str, str]:
    """The recipe's values, at most 498 characters each; the gates stand in the verdict."""
    values = {
        name: str(value)
        for name, value in flat(recipe).items()
        if (section := name.partition(".")[0]) not in ("given", "gates")
        and (section in MAY_CHANGE or name in MAY_CHANGE or name.endswith(".license")) == may_change
    }
    return {name: value if len(value) <= 498 else f"{value[:497]}…" for name, value in values.items()}


def _tags(prepared: Prepared, base: Base, adapter: Adapter, evaluation: Evaluation) -> dict[str, str]:
    return {
        "tunegate.base_sha256": base.source_sha256,
        "tunegate.adapter_sha256": adapter.weights.sha256,
        "tunegate.split_digest": prepared.split.digest,
        "tunegate.evaluation_digest": evaluation.digest,
    }


def _sides(prepared: Prepared) -> list[tuple[str, Side]]:
    split = prepared.split
    return [("training", split.train), ("validation", split.validation), ("test", split.test)]


def _log_source(source: Source) -> None:
    """Log what was read: its digest, number of rows and address, and nothing of its content."""
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.meta_dataset import MetaDataset

    address = CodeDatasetSource({"path": without_password(source.path)})
    dataset = MetaDataset(address, name=Path(source.path).name or "source", digest=source.sha256[:36])
    mlflow.log_input(dataset, context="source", tags={"sha256": source.sha256, "rows": str(source.rows)})


def _log_dataset(recipe: Recipe, context: str, side: Side, workspace: Workspace) -> None:
    """Log the side's schema, size and digest; MLflow's own digest does not see every row, so ours is given."""
    import mlflow
    import pandas as pd
    from mlflow.data.code_dataset_source import CodeDatasetSource

    # a path of our store as a mere text would be taken for a file below the working directory
    source = CodeDatasetSource({"store_path": side.rows.path})
    frame = pd.read_parquet(workspace.open(side.rows), columns=["id", "group", "label", "source"])
    dataset = mlflow.data.from_pandas(
        frame, source=source, name=f"{recipe.name}-{context}", digest=side.rows.sha256[:36]
    )
    mlflow.log_input(dataset, context=context, tags={"sha256": side.rows.sha256, "rows": str(side.n_rows)})


def _files(
    prepared: Prepared, smoke: SmokeTest, adapter: Adapter, evaluation: Evaluation, workspace: Workspace
) -> dict[str, Path]:
    """What is logged as it stands in the store, by the name that it gets."""
    artifacts = (
        ("ingest", prepared.raw.rejected),
        ("scrub", prepared.clean.rejected),
        ("check", prepared.checked.report),
        ("check", prepared.checked.rejected),
        ("smoke", smoke.report),
        ("train", adapter.history),
        ("evaluation", evaluation.report),
        ("evaluation", evaluation.predictions),
        ("evaluation", evaluation.statistics),
    )
    files = ((folder, workspace.open(artifact)) for folder, artifact in artifacts)
    return {f"{folder}/{file.name}": file for folder, file in files}


def _pii(prepared: Prepared) -> dict[str, Any]:
    counts = {"n_rows", "rows_with_entities", "entities", "canaries", "second_look", "n_looked_at"}
    return prepared.clean.model_dump(mode="json", include=counts)


def _lineage(prepared: Prepared, base: Base, adapter: Adapter, evaluation: Evaluation) -> dict[str, Any]:
    """From source files to evaluation: each result as the stages handed it on, digests and counts only."""
    results = {**prepared.model_dump(mode="json", exclude={"key", "parents"}), "base": base.model_dump(mode="json")}
    return {**results, "adapter": adapter.model_dump(mode="json"), "evaluation": evaluation.model_dump(mode="json")}


def _log_adapter(asked: dict[str, Any], lora: Lora, adapter: Adapter, run_id: str, workspace: Workspace) -> str:
    """Log the adapter as a LoggedModel without a flavour: plain safetensors, no pickle, no code. Returns its id."""
    import mlflow

    mlflow_client = mlflow.MlflowClient()
    experiment = mlflow_client.get_run(run_id).info.experiment_id
    same = f"tags.`tunegate.adapter_sha256` = '{adapter.weights.sha256}'"
    form_digest = digest_of(asked)
    for model in mlflow_client.search_logged_models([experiment], same):
        same_form = model.tags.get("tunegate.form_digest") == form_digest  # e.g. other max_new_tokens, other answers
        if same_form and model.source_run_id == run_id and str(model.status) in ("READY", "LoggedModelStatus.READY"):
            return str(model.model_id)
    folder = workspace.folder / "upload"
    folder.mkdir()
    (folder / FORM).write_text(json.dumps(asked, indent=1, sort_keys=True), encoding="utf-8")
    for file in adapter.files:
        (folder / Path(file.path).name).symlink_to(workspace.open(file))
    logged = mlflow.initialize_logged_model(
        name="adapter",
        source_run_id=run_id,
        model_type="peft-adapter",
        params={name.removeprefix("lora."): str(value) for name, value in flat(lora, "lora.").items()},
        tags={
            "tunegate.adapter_sha256": adapter.weights.sha256,
            "tunegate.base_sha256": asked["base"]["source_sha256"],
            "tunegate.form_digest": form_digest,
            FILES_TAG: files_sha256(folder),
        },
    )
    mlflow_client.log_model_artifacts(logged.model_id, str(folder))
    for link in folder.iterdir():
        link.unlink()
    folder.rmdir()
    mlflow.finalize_logged_model(logged.model_id, "READY")
    return str(logged.model_id)
