"""From sources to held-out sides: everything before a model is touched."""

from __future__ import annotations

from prefect import flow

from flows.forms import Overrides, RecipeName, recipe_of
from flows.runs import run_name
from flows.watch import watched
from tasks import stages
from tasks.check import require
from tasks.results import Prepared


@flow(name="prepare", flow_run_name=run_name, persist_result=False)
def prepare(recipe: RecipeName, overrides: Overrides = ()) -> Prepared:
    """Ingest, scrub, check, split. A critical expectation that fails stops here.

    Args:
        recipe: one of conf/recipes.
        overrides: `KEY=VALUE` each, in sections that the policy leaves free, e.g. `training.seed=7`; empty as a rule.
    """
    loaded = recipe_of(recipe, overrides)
    with watched():
        raw = stages.read_sources(loaded)
        clean = stages.scrub_rows(raw, loaded.pii)
        checked = stages.check_rows(clean, loaded.quality)
        require(checked)
        split = stages.split_rows(checked, loaded.split)
        return stages.hand_over(raw, clean, checked, split)
