"""The whole way of one recipe."""

from __future__ import annotations

from pathlib import Path

from prefect import flow

from conf.load import load_recipe
from conf.settings import prepare_environment, settings
from flows.finetune import finetune
from flows.prepare import prepare
from tasks.results import Outcome


@flow(name="retrain", flow_run_name="retrain-{recipe}", persist_result=False)
def retrain(recipe: str, overrides: list[str] | None = None) -> Outcome:
    """Prepare, then finetune; what stands already is not done again.

    Args:
        recipe: a recipe's name, or the path of its file.
        overrides: `KEY=VALUE` each, e.g. `training.learning_rate=1.0e-4`.
    """
    current = settings()
    prepare_environment(current)  # a worker starts the flow without the command line
    loaded = load_recipe(Path(recipe), overrides or (), current.data)
    return finetune(loaded, prepare(loaded))
