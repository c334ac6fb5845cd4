"""From held-out sides to a candidate: everything that needs the model."""

from __future__ import annotations

from prefect import flow

from conf.schema import Recipe
from tasks import stages
from tasks.results import Outcome, Prepared


@flow(name="finetune", persist_result=False)
def finetune(recipe: Recipe, prepared: Prepared) -> Outcome:
    """Smoke, train, evaluate, judge, register. A refused adapter is recorded, and gets no version."""
    base = stages.prepare_base(recipe.model)
    smoke = stages.smoke(prepared.split, base, recipe)
    adapter = stages.train(prepared.split, smoke, base, recipe)
    evaluation = stages.evaluate(prepared.split, base, adapter, recipe)
    recorded = stages.record(recipe, prepared, base, smoke, adapter, evaluation)
    verdict = stages.judge_gates(evaluation, recipe.gates)
    page = stages.report(recipe, prepared, smoke, adapter, evaluation, verdict)
    candidate = stages.register(recipe, prepared.split, adapter, evaluation, verdict, page, recorded)
    return Outcome(
        prepared=prepared, adapter=adapter, evaluation=evaluation, verdict=verdict, page=page, candidate=candidate
    )
