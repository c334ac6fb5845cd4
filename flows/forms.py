"""The parameters of the flows: what the Prefect UI shows as a form, and how a recipe's name becomes the recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from conf.load import load_policy, load_recipe, recipe_file, recipe_names
from conf.policy import NAME
from conf.schema import Recipe
from conf.settings import prepare_environment, settings
from flows.runs import deployed_run
from tasks.errors import RecipeError

# The server turns away what is not in the list; a terminal may also name a file. What a parameter means, the UI takes
# from the docstring of its flow.
RecipeName = Annotated[str, Field(json_schema_extra={"enum": recipe_names()})]
Overrides = tuple[str, ...]
ModelName = Annotated[str, Field(pattern=NAME)]
Text = Annotated[str, Field(min_length=1)]


def recipe_of(recipe: str, overrides: tuple[str, ...]) -> Recipe:
    """Load a flow's recipe. A deployment takes what could be promoted: those of conf/recipes, which were reviewed.

    Raises:
        BadRecipe: with all that is wrong at once.
        RecipeError: a deployment was given another file, or an override of what was reviewed.
    """
    current, file, is_deployed = settings(), Path(recipe), deployed_run() is not None
    if is_deployed:
        if recipe not in recipe_names():
            raise RecipeError(f"recipe: a deployment takes one of {', '.join(recipe_names())}")
        file = recipe_file(recipe)  # whatever lies in the working directory under that name
    prepare_environment(current)  # a worker starts the flow without the command line
    loaded = load_recipe(file, overrides, current.data)
    if is_deployed and overrides:
        _refuse_reviewed(loaded, overrides)
    return loaded


def _refuse_reviewed(recipe: Recipe, overrides: tuple[str, ...]) -> None:
    """Refuse now what a promotion would refuse once all the rows were read."""
    rule = load_policy().rule_for(recipe.registered_name)
    free = rule.may_differ if rule else ()
    sections = {override.partition("=")[0].partition(".")[0].strip() for override in overrides}
    if fixed := sorted(sections - set(free)):
        raise RecipeError(
            f"overrides: {', '.join(fixed)} of a deployed run must be as conf/recipes says; "
            f"conf/policies/promotion.yaml leaves free: {', '.join(free) or 'nothing'}"
        )
