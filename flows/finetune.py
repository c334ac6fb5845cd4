"""From held-out sides to a candidate: everything that needs the model."""

from __future__ import annotations

from prefect import flow

from conf.schema import Recipe
from flows.forms import Overrides, RecipeName, recipe_of
from flows.prepare import prepare
from flows.runs import run_name
from flows.watch import publish, watched
from tasks import stages
from tasks.register.candidate import Judged
from tasks.results import Outcome, Prepared


@flow(name="finetune", flow_run_name=run_name, persist_result=False)
def finetune(recipe: RecipeName, overrides: Overrides = (), prepared: str = "") -> Outcome:
    """Smoke, train, evaluate, judge, register. A refused adapter is recorded, and challenges nobody.

    Args:
        recipe: one of conf/recipes.
        overrides: `KEY=VALUE` each, in sections that the policy leaves free, e.g. `training.seed=7`; empty as a rule.
        prepared: the key that a run of `prepare` ended with; empty: prepare here first.
    """
    loaded = recipe_of(recipe, overrides)
    with watched():
        ready = stages.take_over(prepared, loaded) if prepared else prepare(recipe, overrides)
        outcome = candidate_of(loaded, ready)
        publish(loaded, outcome)
        return outcome


def candidate_of(recipe: Recipe, prepared: Prepared) -> Outcome:
    """The stages, one a line."""
    base = stages.prepare_base(recipe.model)
    smoke = stages.smoke(prepared.split, base, recipe)
    adapter = stages.train(prepared.split, smoke, base, recipe)
    evaluation = stages.evaluate(prepared.split, base, adapter, recipe)
    champion = stages.evaluate_against(prepared.split, adapter, recipe)
    people = stages.scores_of_people(evaluation)
    recorded = stages.record(recipe, prepared, base, smoke, adapter, evaluation)
    verdict = stages.judge_gates(evaluation, champion, prepared.clean, people, recipe)
    page = stages.report(recipe, prepared, smoke, adapter, evaluation, champion, people, verdict, base, recorded)
    judged = Judged(evaluation=evaluation, champion=champion, people=people, verdict=verdict, page=page)
    candidate = stages.register(recipe, prepared.split, adapter, judged, recorded)
    return Outcome(
        prepared=prepared,
        adapter=adapter,
        evaluation=evaluation,
        champion=champion,
        verdict=verdict,
        page=page,
        candidate=candidate,
    )
