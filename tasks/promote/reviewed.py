"""Whether a candidate's recipe is one that was reviewed: a file of conf/recipes, but for what a run may set itself."""

from __future__ import annotations

from typing import Any

from conf.load import BadRecipe, load_recipe, recipe_file, recipe_names
from conf.policy import Rule
from conf.settings import Settings


def against_recipe(recipe: dict[str, Any], rule: Rule, settings: Settings) -> str:
    """Why no recipe of conf/recipes is this one, naming the sections that differ from the nearest; empty where one is.

    Args:
        recipe: resolved, as the candidate's record holds it.
    """
    nearest: list[str] | None = None
    for name in recipe_names():
        try:
            reviewed = load_recipe(recipe_file(name), (), settings.data, check_files=False).resolved()
        except BadRecipe:
            continue  # nobody can have trained by it as it stands
        differ = sorted(
            section
            for section in {*recipe, *reviewed} - set(rule.may_differ)
            if recipe.get(section) != reviewed.get(section)
        )
        if not differ:
            return ""
        nearest = differ if nearest is None or len(differ) < len(nearest) else nearest
    return f"its recipe is none of conf/recipes: {', '.join(nearest or ['all of it'])} differ"
