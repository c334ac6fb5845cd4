"""The registry's side of a promotion: each step is safe to repeat, so that a run killed between two of them goes on.

    1 copy the candidate's version to the production model   2 its tags and description   3 alias previous
    4 alias champion   5 the candidate's tag, alias challenger removed

Never decides: whoever calls this has verified the decision and the digests.
"""

from __future__ import annotations

from typing import Any, Literal

from tasks.ledger import Requested
from tasks.register.candidate import CHALLENGER, DECISION_TAG

CHAMPION, PREVIOUS = "champion", "previous"
DESCRIPTION_CHARACTERS = 5000  # the width of MLflow's column
REQUEST_TAG, ENTRY_TAG, ROLLBACK_TAG = "tunegate.request", "tunegate.ledger_entry", "tunegate.rollback_entry"


def production_version(
    registry: Any, asked: Requested, request: str, approvers: tuple[str, ...], description: str
) -> str:
    """Steps 1 and 2: the version of the production model that this request made.

    Args:
        description: what was decided on it and read before, as Markdown; MLflow keeps the first 5,000 characters.
    """
    name = asked.model
    # without a tag: a copy that was killed before its tags
    found = _versions(registry, name, request) or _copies(registry, asked)
    if not found:
        registry.copy_model_version(_source(asked), name)
        found = _copies(registry, asked)
    version = str(max(int(v.version) for v in found))
    tags = {"validation_status": "approved", "approved_by": ", ".join(approvers), REQUEST_TAG: request}
    for tag, value in tags.items():
        registry.set_model_version_tag(name, version, tag, value)
    registry.update_model_version(name, version, description[:DESCRIPTION_CHARACTERS])
    return version


def move_aliases(registry: Any, asked: Requested, version: str, told: str | None) -> str | None:
    """Steps 3 to 5; returns the version that was the champion before, or None where there was none.

    Args:
        told: the champion before as the ledger names it, if it names one: an alias may be moved by hand meanwhile.
    """
    name = asked.model
    before = told or alias(registry, name, CHAMPION)
    if before == version:  # killed after step 4
        before = alias(registry, name, PREVIOUS)
    if before is not None:
        registry.set_registered_model_alias(name, PREVIOUS, before)
    registry.set_registered_model_alias(name, CHAMPION, version)
    close(registry, asked, "approved")
    return before


def close(registry: Any, asked: Requested, decision: Literal["approved", "rejected"]) -> None:
    """Step 5: the candidate has been decided on, and no longer challenges."""
    for tag in (DECISION_TAG, "validation_status"):
        registry.set_model_version_tag(asked.candidates, asked.version, tag, decision)
    if alias(registry, asked.candidates, CHALLENGER) == asked.version:
        registry.delete_registered_model_alias(asked.candidates, CHALLENGER)


def swap_back(registry: Any, name: str, version: str, previous: str) -> None:
    """Make `version` the champion again and `previous` the one before."""
    registry.set_registered_model_alias(name, CHAMPION, version)
    registry.set_registered_model_alias(name, PREVIOUS, previous)


def mark_rolled_back(registry: Any, name: str, version: str, entry: str) -> None:
    """Write on the version that came back which ledger entry (its digest) brought it: that rollback is done."""
    registry.set_model_version_tag(name, version, ROLLBACK_TAG, entry)


def is_rolled_back(registry: Any, name: str, version: str, entry: str) -> bool:
    """Whether the rollback of this ledger entry was done."""
    return bool(registry.get_model_version(name, version).tags.get(ROLLBACK_TAG) == entry)


def is_champion_of(registry: Any, name: str, request: str) -> bool:
    """Whether the champion is the version that this request made: step 4 is done."""
    champion = alias(registry, name, CHAMPION)
    return champion is not None and champion in {str(v.version) for v in _versions(registry, name, request)}


def alias(registry: Any, name: str, wanted: str) -> str | None:
    """The version under an alias, or None; an outage is an error, and no answer."""
    from mlflow.exceptions import MlflowException

    try:
        aliases = registry.get_registered_model(name).aliases
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return {str(key): str(value) for key, value in aliases.items()}.get(wanted)


def _copies(registry: Any, asked: Requested) -> list[Any]:
    """Versions of the production model that no request claims, copied from this candidate."""
    return [
        v for v in registry.search_model_versions(f"name = '{asked.model}'")
        if REQUEST_TAG not in v.tags and v.source == _source(asked)
    ]  # fmt: skip


def _source(asked: Requested) -> str:
    return f"models:/{asked.candidates}/{asked.version}"


def _versions(registry: Any, name: str, request: str) -> list[Any]:
    return [v for v in registry.search_model_versions(f"name = '{name}'") if v.tags.get(REQUEST_TAG) == request]
