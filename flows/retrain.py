"""The whole way of one recipe: at a terminal in one process, deployed on one work pool a kind of machine."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast

from prefect import flow, tags
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment

from flows.finetune import finetune
from flows.forms import Overrides, RecipeName
from flows.prepare import prepare
from flows.runs import deployed_run, run_name
from flows.watch import watched
from tasks.errors import TrainingError
from tasks.results import Outcome


@flow(name="retrain", flow_run_name=run_name, persist_result=False)
def retrain(recipe: RecipeName, overrides: Overrides = ()) -> Outcome | None:
    """Prepare, then finetune; what stands already is not done again.

    Args:
        recipe: one of conf/recipes.
        overrides: `KEY=VALUE` each, in sections that the policy leaves free, e.g. `training.seed=7`; empty as a rule.

    Returns:
        What the run ended with; None where another work pool did it.
    """
    run = deployed_run()
    with watched(), tags(*(("heartbeat",) if run else ())):  # so that a killed worker's sub-run is noticed too
        prepared = prepare(recipe, overrides)
    if run is None:
        return finetune(recipe, overrides, prepared.key)
    _finetune_on_its_pool(run, {"recipe": recipe, "overrides": overrides, "prepared": prepared.key})
    return None


def _finetune_on_its_pool(run: str, parameters: dict[str, object]) -> None:
    """Wait for the deployment; started again, this run finds the one that it began, unless that had ended badly.

    Raises:
        TrainingError: it did not end well; its own page tells why.
    """
    began, key = datetime.now(UTC), f"{run}-finetune"
    ended = _ended(parameters, key)
    if ended.state and not ended.state.is_completed() and ended.state.timestamp < began:  # this is a retry
        ended = _ended(parameters, f"{key}-{began:%Y%m%dT%H%M%S}")
    if ended.state is None or not ended.state.is_completed():
        state = ended.state
        raise TrainingError(f"{ended.name} ended as {state and state.name}: {state and state.message}")


def _ended(parameters: dict[str, object], key: str) -> FlowRun:
    # a coroutine only for a caller that is one
    return cast(FlowRun, run_deployment("finetune/finetune", parameters=parameters, idempotency_key=key))
