"""MLflow's users of the team set-up, and what each may write: run as its admin, at each start of docker/compose.yaml.

    user       NAME-candidates   NAME   experiments
    trainer    manage            read   edit
    promoter   manage            edit   read

The credentials on the GPU's machine can thus not make a champion. (Prefect has one password for all: with it, runs can
be started on the pool `cpu` too, and there the proofs of the approvers are what counts.) The models are made here, so
that nobody else owns one. Safe to repeat; a password that was changed takes effect.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.server import get_app_client

from conf.load import load_recipe, recipe_names
from conf.schema import candidates_of
from conf.settings import settings


def main() -> None:
    """Users, models, experiments, permissions."""
    uri = settings().tracking_uri
    registry, auth = MlflowClient(uri), get_app_client("basic-auth", tracking_uri=uri)
    for user in ("trainer", "promoter"):
        _put_user(auth, user, os.environ[f"MLFLOW_{user.upper()}_PASSWORD"])
    for name in recipe_names():
        recipe = load_recipe(Path(name), check_files=False)
        production, candidates = recipe.registered_name, candidates_of(recipe.registered_name)
        for model in (production, candidates):
            _make(registry.create_registered_model, model)
        _make(registry.create_experiment, recipe.experiment_name)
        experiment = registry.get_experiment_by_name(recipe.experiment_name).experiment_id
        for user, kind, what, permission in (
            ("trainer", "registered_model", candidates, "MANAGE"),  # to take an alias away is to delete
            ("trainer", "experiment", experiment, "EDIT"),
            ("promoter", "registered_model", candidates, "MANAGE"),
            ("promoter", "registered_model", production, "EDIT"),
        ):
            _make(auth.grant_user_permission, user, kind, what, permission)
        print(f"{production}: the trainer writes {candidates}, the promoter both")


def _put_user(auth: Any, user: str, password: str) -> None:
    try:
        auth.create_user(user, password)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        auth.update_user_password(user, password)


def _make(create: Any, *what: str) -> None:
    """Create what may be there already."""
    try:
        create(*what)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise


if __name__ == "__main__":
    main()
