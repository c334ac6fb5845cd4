"""The whole way of one recipe."""

from __future__ import annotations

from prefect import flow

from conf.schema import Recipe
from flows.finetune import finetune
from flows.prepare import prepare
from tasks.results import Outcome


@flow(name="retrain", flow_run_name="{recipe.name}", persist_result=False)
def retrain(recipe: Recipe) -> Outcome:
    """Prepare, then finetune; what stands already is not done again."""
    return finetune(recipe, prepare(recipe))
