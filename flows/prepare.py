"""From sources to held-out sides: everything before a model is touched."""

from __future__ import annotations

from prefect import flow

from conf.schema import Recipe
from tasks import stages
from tasks.check import require
from tasks.results import Prepared


@flow(name="prepare", persist_result=False)
def prepare(recipe: Recipe) -> Prepared:
    """Ingest, scrub, check, split. A critical expectation that fails stops here."""
    raw = stages.read_sources(recipe)
    clean = stages.scrub_rows(raw, recipe.pii)
    checked = stages.check_rows(clean, recipe.quality)
    require(checked)
    split = stages.split_rows(checked, recipe.split)
    return Prepared(raw=raw, clean=clean, checked=checked, split=split)
