"""Whose run a candidate is, and where its recipe was read: a file of the run beside the verdict, which a request binds.

From the request on, nothing in it can change unnoticed. Before, whoever may write the run's artifacts may write this
one as well: who trains and who keeps MLflow's artifacts should not be the same people.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from tasks.account import account
from tasks.errors import ModelError
from tasks.register.runs import USER_TAG
from tasks.results import Frozen

SUBMISSION = "submission.json"
STARTED_TAG = "started_by"  # for people who look at a version; nothing reads it back but a run from before this file


class Submission(Frozen):
    """What a request has to know of a candidate beside its figures.

    Attributes:
        started_by: the accounts that trained or judged it, sorted, each once.
        recipe_origin: `reviewed` where the recipe's file, and what lies beside it, are those of conf/recipes.
    """

    started_by: tuple[str, ...]
    recipe_origin: Literal["reviewed", "outside"]


def submitted(registry: Any, run_id: str, known: Iterable[str], origin: Literal["reviewed", "outside"]) -> Submission:
    """This account's submission of a run: whoever submitted it before stays among those whose run it is.

    Args:
        known: accounts that its version names already.

    Raises:
        ModelError: what the run says of earlier ones cannot be read.
    """
    trained = registry.get_run(run_id).data.tags[USER_TAG]
    accounts = {account(), trained, *known, *_before(registry, run_id)}
    return Submission(started_by=tuple(sorted(accounts)), recipe_origin=origin)


def _before(registry: Any, run_id: str) -> tuple[str, ...]:
    import mlflow

    if not holds(registry, run_id, SUBMISSION):
        return ()
    try:
        return Submission.model_validate(mlflow.artifacts.load_dict(f"runs:/{run_id}/{SUBMISSION}")).started_by
    except ValueError as error:  # no JSON, or another form of it
        raise ModelError(f"run {run_id}: its {SUBMISSION} cannot be read; who edited it?") from error


def holds(registry: Any, run_id: str, name: str) -> bool:
    """Whether the run has an artifact of this name."""
    folder = name.rpartition("/")[0]
    return name in {file.path for file in registry.list_artifacts(run_id, folder or None)}
