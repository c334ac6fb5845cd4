"""Only a recipe of conf/recipes is promoted, but for the sections that the policy leaves free."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from conf.load import load_recipe
from conf.policy import Rule
from conf.settings import settings
from tasks.promote.reviewed import against_recipe

RULE = Rule(models=("*",), approvers=("ann",))


def resolved(*overrides: str) -> dict[str, Any]:
    return load_recipe(Path("demo"), overrides).resolved()


def test_a_recipe_of_the_folder_is_reviewed() -> None:
    assert against_recipe(resolved(), RULE, settings()) == ""


@pytest.mark.parametrize("override", ["training.seed=7", "lora.r=8", "description=another"])
def test_what_the_policy_leaves_free_may_differ(override: str) -> None:
    assert against_recipe(resolved(override), RULE, settings()) == ""


@pytest.mark.parametrize(
    ("overrides", "differ"),
    [
        (("gates.0.min=0.1",), "gates differ"),
        (("pii.score_threshold=0.9", "split.seed=3"), "pii, split differ"),
        (("name=other",), "name differ"),
    ],
)
def test_anything_else_is_named(overrides: tuple[str, ...], differ: str) -> None:
    why = against_recipe(resolved(*overrides), RULE, settings())
    assert why == f"its recipe is none of conf/recipes: {differ}"


def test_a_policy_that_leaves_nothing_free_takes_the_recipe_alone() -> None:
    strict = RULE.model_copy(update={"may_differ": ()})
    assert against_recipe(resolved(), strict, settings()) == ""
    assert against_recipe(resolved("training.seed=7"), strict, settings()).endswith("training differ")


def test_without_any_recipe_all_of_it_is_foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = resolved()
    monkeypatch.setenv("TUNEGATE_CONF", str(tmp_path))
    assert against_recipe(recipe, RULE, settings()) == "its recipe is none of conf/recipes: all of it differ"
