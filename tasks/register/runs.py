"""The MLflow run of a training: opened before it starts, found again after a crash. Logs nothing itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from conf.schema import Recipe
from conf.settings import Settings
from tasks.account import account
from tasks.errors import TunegateError
from tasks.network import is_network

KEY_TAG = "tunegate.adapter_key"
USER_TAG = "mlflow.user"


def client(settings: Settings) -> Any:
    """An MLflow client of the settings' tracking server, with the fluent API pointed at the same."""
    import mlflow

    mlflow.set_tracking_uri(settings.tracking_uri)
    mlflow.set_registry_uri(settings.tracking_uri)
    return mlflow.MlflowClient(settings.tracking_uri, settings.tracking_uri)


def open_run(settings: Settings, experiment_name: str, key: str, run_name: str) -> str:
    """The id of the run whose adapter has this key, running again; a new one if there is none.

    Raises:
        TunegateError: the experiment was deleted, and MLflow keeps its name.
    """
    mlflow = client(settings)
    experiment = _experiment(mlflow, settings, experiment_name)
    found = mlflow.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", max_results=1)
    if found:
        mlflow.update_run(found[0].info.run_id, status="RUNNING")
        return str(found[0].info.run_id)
    tags = {KEY_TAG: key, USER_TAG: account()}  # MLflow's client does not set the user by itself
    return str(mlflow.create_run(experiment, tags=tags, run_name=run_name).info.run_id)


@contextmanager
def at_work(settings: Settings, run_id: str) -> Iterator[None]:
    """MLflow says of the run how the block ended; one that was killed stays RUNNING until it is opened again."""
    ended = "FAILED"
    try:
        yield
        ended = "FINISHED"
    finally:
        _say_ended(settings, run_id, ended)


def _say_ended(settings: Settings, run_id: str, status: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        client(settings).set_terminated(run_id, status)
    except MlflowException as error:
        if not is_network(error):
            raise
        logging.getLogger("tunegate").warning("MLflow is away, and was not told that run %s %s", run_id, status)


def run_name(recipe: Recipe) -> str:
    """The recipe's name with what a run set otherwise."""
    return " ".join((recipe.name, *recipe.given.overrides))


def run_page(settings: Settings, run_id: str) -> str | None:
    """The address of the run's page in MLflow's UI; None where no server of it is known.

    Raises:
        MlflowException: there is no such run, or the server is away.
    """
    if settings.mlflow_ui is None:
        return None
    experiment = client(settings).get_run(run_id).info.experiment_id
    return f"{settings.mlflow_ui}/#/experiments/{experiment}/runs/{run_id}"


def run_stands(settings: Settings, run_id: str) -> bool:
    """Whether the run is still there: a database may have been emptied, or a run deleted, since it was recorded."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client(settings).get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException:
        return False


def _experiment(mlflow: Any, settings: Settings, name: str) -> str:
    found = mlflow.get_experiment_by_name(name)
    if found is not None and found.lifecycle_stage == "deleted":
        raise TunegateError(
            f"tracking.experiment_name: {name} is deleted in MLflow; choose another, or "
            f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
        )
    if found is not None:
        return str(found.experiment_id)
    # beside the default database; a tracking server knows its own place
    local = settings.tracking_uri == f"sqlite:///{settings.home / 'mlflow.db'}"
    return str(mlflow.create_experiment(name, (settings.home / "mlartifacts").as_uri() if local else None))
